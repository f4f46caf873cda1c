package op

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // registers what image.Decode knows
	_ "image/jpeg"
	_ "image/png"

	_ "golang.org/x/image/bmp"
	_ "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opImageDecoder = &Def{
	Name: "ImageDecoder",
	Versions: []Version{
		{Since: 20, Schema: `encoded_stream:T1 -> image:T2 | pixel_format:string="RGB" | T1: uint8; T2: uint8`},
	},
	Infer: func(f *Infer) error {
		if err := f.match("[?]"); err != nil {
			return err
		}
		channels := int64(3)
		if f.Str("pixel_format") == "Grayscale" {
			channels = 1
		}
		f.Set(0, f.Symbol(), f.Symbol(), dim.Of(channels))
		return nil
	},
	Eval: evalImageDecoder,
}

// evalImageDecoder gives [height, width, channels]; no pixels if the stream
// cannot be decoded, as the standard wants. JPEG 2000 is not known.
func evalImageDecoder(e *Eval) error {
	format := e.Str("pixel_format")
	channels := 3
	switch format {
	case "RGB", "BGR":
	case "Grayscale":
		channels = 1
	default:
		return fmt.Errorf("pixel_format %q", format)
	}
	pix, err := decodePixels(e, e.Tensor(0).Bytes())
	if err != nil {
		return err
	}
	out, err := e.New(tensor.Uint8, pix.height, pix.width, channels)
	if err != nil {
		return err
	}
	b := out.Bytes()
	for i := range pix.height * pix.width {
		p := pix.rgb[3*i : 3*i+3]
		switch format {
		case "RGB":
			copy(b[3*i:], p)
		case "BGR":
			b[3*i], b[3*i+1], b[3*i+2] = p[2], p[1], p[0]
		default:
			b[i] = luma(p)
		}
	}
	e.Set(0, out)
	return nil
}

// luma is the brightness of a color (ITU-R 601-2).
func luma(p []byte) byte {
	return byte((19595*uint32(p[0]) + 38470*uint32(p[1]) + 7471*uint32(p[2]) + 1<<15) >> 16)
}

// pixels is a decoded image.
type pixels struct {
	width, height int
	rgb           []byte
}

// decodePixels decodes a stream; damaged ones have no pixels. Its error is
// that of an image beyond the limit.
func decodePixels(e *Eval, stream []byte) (pix pixels, err error) {
	defer func() {
		if recover() != nil { // of a decoder
			pix, err = pixels{}, nil
		}
	}()
	conf, _, err := image.DecodeConfig(bytes.NewReader(stream))
	if err != nil {
		p, ok := parsePNM(stream)
		if !ok {
			return pixels{}, nil
		}
		if err := e.Fits(tensor.Uint8, []int{p.width, p.height, 8}); err != nil {
			return pixels{}, err
		}
		pix, _ = p.pixels()
		return pix, nil
	}
	if err := e.Fits(tensor.Uint8, []int{conf.Width, conf.Height, 8}); err != nil {
		return pixels{}, err
	}
	m, format, err := image.Decode(bytes.NewReader(stream))
	if err != nil {
		return pixels{}, nil
	}
	if y, ok := m.(*image.YCbCr); ok {
		return fromYCbCr(y, format), nil
	}
	return fromImage(m), nil
}

// fromImage takes the colors without alpha and the high byte of 16 bits.
func fromImage(m image.Image) pixels {
	r := m.Bounds()
	pix := pixels{width: r.Dx(), height: r.Dy(), rgb: make([]byte, 0, 3*r.Dx()*r.Dy())}
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			c := color.NRGBA64Model.Convert(m.At(x, y)).(color.NRGBA64)
			pix.rgb = append(pix.rgb, byte(c.R>>8), byte(c.G>>8), byte(c.B>>8))
		}
	}
	return pix
}

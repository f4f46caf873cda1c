package samples

import (
	"fmt"
	"image"
	_ "image/gif" // registers the formats that decode knows
	_ "image/jpeg"
	_ "image/png"
	"io"

	_ "golang.org/x/image/bmp"
	"golang.org/x/image/draw"
	_ "golang.org/x/image/tiff"
	_ "golang.org/x/image/webp"
)

// minBits is the least number of file bits for 64 pixels in a format whose
// compression has such a bound: PNG (DEFLATE of 1-bit pixels), JPEG (a bit of
// the DC scan for each 8x8 block).
var minBits = map[string]float64{"png": 64.0 / maxRatio, "jpeg": 1}

// decode reads an image of 8-bit pixels: grey if it is stored so, else red,
// green, blue. Alpha is dropped, 16-bit samples keep their high byte.
func decode(f *sizedFile, maxBytes int) (r raster, err error) {
	if f.form() == formLFS {
		return r, fmt.Errorf("a Git LFS pointer, not the file itself")
	}
	defer func() {
		if v := recover(); v != nil { // of a decoder
			err = fmt.Errorf("damaged image: %v", v)
		}
	}()
	if f.size > int64(maxBytes) {
		return r, fmt.Errorf("file of %d bytes, the limit is %d", f.size, maxBytes)
	}
	conf, format, err := image.DecodeConfig(io.NewSectionReader(f, 0, f.size))
	if err != nil {
		return r, damaged(err)
	}
	if conf.Width <= 0 || conf.Height <= 0 || conf.Width > maxBytes/8/conf.Height {
		return r, fmt.Errorf("%dx%d pixels exceed the limit of %d bytes", conf.Width, conf.Height, maxBytes)
	}
	pixels := float64(conf.Width) * float64(conf.Height)
	if bits := minBits[format]; pixels/64*bits > float64(f.size)*8 {
		return r, fmt.Errorf("truncated: %dx%d pixels cannot come from %d bytes of %s", conf.Width, conf.Height, f.size, format)
	}
	m, _, err := image.Decode(io.NewSectionReader(f, 0, f.size))
	if err != nil {
		return r, damaged(err)
	}
	return fromImage(m), nil
}

func fromImage(m image.Image) raster {
	b := m.Bounds()
	w, h := b.Dx(), b.Dy()
	switch m.(type) {
	case *image.Gray, *image.Gray16:
		g := image.NewGray(image.Rect(0, 0, w, h))
		draw.Draw(g, g.Rect, m, b.Min, draw.Src)
		return raster{w, h, 1, g.Pix}
	}
	var pix []byte
	if o, ok := m.(interface{ Opaque() bool }); ok && !o.Opaque() {
		n := image.NewNRGBA(image.Rect(0, 0, w, h))
		draw.Draw(n, n.Rect, m, b.Min, draw.Src)
		if src, ok := m.(*image.NRGBA); ok { // keep the colours that alpha 0 hides
			for y := range h {
				copy(n.Pix[y*n.Stride:][:4*w], src.Pix[y*src.Stride:])
			}
		}
		pix = n.Pix
	} else {
		n := image.NewRGBA(image.Rect(0, 0, w, h))
		draw.Draw(n, n.Rect, m, b.Min, draw.Src)
		pix = n.Pix
	}
	return raster{w, h, 3, dropAlpha(pix)}
}

// dropAlpha compacts 4-byte pixels to 3, in place.
func dropAlpha(pix []byte) []byte {
	n := len(pix) / 4
	for i := range n {
		copy(pix[3*i:3*i+3], pix[4*i:])
	}
	return pix[:3*n]
}

func (r raster) resize(w, h int, nearest bool) raster {
	if w == r.w && h == r.h {
		return r
	}
	var scaler draw.Scaler = draw.BiLinear
	if nearest {
		scaler = draw.NearestNeighbor
	}
	box := image.Rect(0, 0, w, h)
	if r.c == 1 {
		src := &image.Gray{Pix: r.pix, Stride: r.w, Rect: image.Rect(0, 0, r.w, r.h)}
		dst := image.NewGray(box)
		scaler.Scale(dst, box, src, src.Rect, draw.Src, nil)
		return raster{w, h, 1, dst.Pix}
	}
	src := image.NewRGBA(image.Rect(0, 0, r.w, r.h))
	for i := range r.w * r.h {
		copy(src.Pix[4*i:], r.pix[3*i:3*i+3])
		src.Pix[4*i+3] = 0xff
	}
	dst := image.NewRGBA(box)
	scaler.Scale(dst, box, src, src.Rect, draw.Src, nil)
	return raster{w, h, 3, dropAlpha(dst.Pix)}
}

// cropCorner is the upper left corner of the centre of w x h of an image of
// fromW x fromH.
func cropCorner(fromW, fromH, w, h int) (x, y int) { return (fromW - w + 1) / 2, (fromH - h + 1) / 2 }

// crop cuts out the centre; w and h are at most the image's.
func (r raster) crop(w, h int) raster {
	if w == r.w && h == r.h {
		return r
	}
	out := raster{w, h, r.c, make([]byte, w*h*r.c)}
	x, y := cropCorner(r.w, r.h, w, h)
	for row := range h {
		copy(out.pix[row*w*r.c:][:w*r.c], r.pix[((y+row)*r.w+x)*r.c:])
	}
	return out
}

// withChannels makes grey of colours by ITU-R 601-2 luma, or colours of grey.
func (r raster) withChannels(c int) raster {
	if c == r.c {
		return r
	}
	n := r.w * r.h
	out := raster{r.w, r.h, c, make([]byte, n*c)}
	for i := range n {
		if c == 3 {
			v := r.pix[i]
			out.pix[3*i], out.pix[3*i+1], out.pix[3*i+2] = v, v, v
			continue
		}
		p := r.pix[3*i : 3*i+3]
		out.pix[i] = byte((19595*uint32(p[0]) + 38470*uint32(p[1]) + 7471*uint32(p[2]) + 1<<15) >> 16)
	}
	return out
}

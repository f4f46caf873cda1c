package samples

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"onnxopt/onnx/tensor"
)

// Image says how pixels become values of an input. A pixel p in 0..255 becomes
// (p*Scale - Mean[c]) / Std[c].
type Image struct {
	// Resize changes the size of an image first, Crop then cuts out its centre.
	// An image that does not have the input's size in the end is an error.
	Resize, Crop Extent
	// Nearest takes the nearest pixel in Resize. The default is bilinear, over
	// all the pixels that fall on one of a smaller image.
	Nearest bool
	// Scale is 1/255 when 0. Inputs of integer type take the pixels as they
	// are when Scale, Mean and Std are not set.
	Scale float64
	// Mean and Std have one value for each channel, in the order of the
	// input's channels, or one for all.
	Mean, Std []float64
	// Layout is the order of the axes; the default is told from the input's
	// shape, NCHW where that leaves both open.
	Layout Layout
	// BGR swaps red and blue.
	BGR bool
}

// Layout is an order of batch, channel, height and width.
type Layout int

// The layouts.
const (
	AutoLayout Layout = iota
	NCHW
	NHWC
)

// ParseLayout reads "nchw" or "nhwc", in any case; "" is AutoLayout.
func ParseLayout(s string) (Layout, error) {
	switch strings.ToLower(s) {
	case "":
		return AutoLayout, nil
	case "nchw":
		return NCHW, nil
	case "nhwc":
		return NHWC, nil
	}
	return 0, fmt.Errorf("layout %q: nchw or nhwc", s)
}

// Extent is a size in pixels. The zero value changes nothing.
type Extent struct {
	// Side is the length of the shorter side (Resize) or of a square (Crop).
	Side int
	// Width and Height are an exact size.
	Width, Height int
	// Input is the exact size of the model's input.
	Input bool
}

// ParseExtent reads "256" (Side), "320x240" (Width x Height) or "input".
func ParseExtent(s string) (Extent, error) {
	if s == "" || s == "input" {
		return Extent{Input: s == "input"}, nil
	}
	w, h, exact := strings.Cut(s, "x")
	a, err := strconv.Atoi(w)
	if err == nil && a > 0 && !exact {
		return Extent{Side: a}, nil
	}
	b, err2 := strconv.Atoi(h)
	if err != nil || err2 != nil || a <= 0 || b <= 0 {
		return Extent{}, fmt.Errorf("size %q: want 256 (shorter side), 320x240 (width x height) or input", s)
	}
	return Extent{Width: a, Height: b}, nil
}

// raster is an image of 8-bit pixels, rows of interleaved channels: 1 (grey)
// or 3 (red, green, blue).
type raster struct {
	w, h, c int
	pix     []byte
}

// frames is a list of images.
type frames interface {
	len() int
	name(i int) string
	load(i int) (raster, error)
	// channels is 1 if all are grey, else 3.
	channels() int
}

// imageSource makes values of one input from images.
type imageSource struct {
	frames
	path     string
	in       Input
	inputs   int // of the model
	at       int // in is inputs[at]
	opt      Image
	maxBytes int
	dims     []int // of one sample as the model has it, -1 free; nil: any
	c, h, w  int   // 0: the image's own
	nhwc     bool
	alone    bool // the input has no batch axis
	size     int  // rows of the fixed batch axis, or 0
	dtype    tensor.DType
	lut      [][256]float64 // of each channel, then of one for all
}

// bindImages makes the set's source from images for input number at.
func (s *Set) bindImages(at int, f frames, opt *Options) error {
	in := s.inputs[at]
	p := &imageSource{frames: f, path: s.path, in: in, inputs: len(s.inputs), at: at, opt: opt.Image, maxBytes: opt.maxBytes(), dtype: elemType(in.Type)}
	if err := p.checkType(opt.Cast); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	if err := p.plan(); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	if err := p.table(); err != nil {
		return fmt.Errorf("%s: %w", s.path, err)
	}
	s.n, s.source = f.len(), p
	switch {
	case p.alone:
		return s.setBatchSize(1, in)
	case len(in.Shape) > 0 && in.Shape[0] > 0:
		p.size = in.Shape[0]
		return s.setBatchSize(p.size, in)
	}
	return nil
}

func (p *imageSource) checkType(cast bool) error {
	scaled := p.opt.Scale != 0 || p.opt.Mean != nil || p.opt.Std != nil
	switch {
	case p.dtype.IsFloat():
	case p.dtype == tensor.Uint8 && (!scaled || cast):
	case p.dtype == tensor.Uint8:
		return fmt.Errorf("model input %q is uint8 and takes pixels as they are: no scale, mean and std (--cast allows them)", p.in.Name)
	case !p.dtype.IsInt():
		return fmt.Errorf("images for model input %q of type %v", p.in.Name, p.dtype)
	case !cast:
		return fmt.Errorf("images for model input %q of type %v (--cast converts)", p.in.Name, p.dtype)
	}
	return nil
}

// plan finds the channels, height, width and layout in the input's shape.
func (p *imageSource) plan() error {
	shape := p.in.Shape
	isChannels := func(d int) bool { return d == 1 || d == 3 }
	p.nhwc = p.opt.Layout == NHWC
	switch r := len(shape); {
	case shape == nil:
		return nil
	case r == 0:
		return fmt.Errorf("images for model input %q, a scalar", p.in.Name)
	case r == 1:
		p.alone, p.dims = true, shape
		return nil
	case r == 3 && shape[0] > 0 && p.opt.Layout != NHWC && shape[0] == 3,
		r == 3 && shape[0] > 0 && p.opt.Layout != NCHW && shape[0] != 1 && shape[2] == 3:
		p.alone, p.dims = true, shape
	default:
		p.dims = shape[1:]
	}
	known := func(d int) int { return max(d, 0) }
	switch len(p.dims) {
	case 2:
		p.c, p.h, p.w = 1, known(p.dims[0]), known(p.dims[1])
	case 3:
		if p.opt.Layout == AutoLayout {
			p.nhwc = !isChannels(p.dims[0]) && isChannels(p.dims[2])
		}
		d := p.dims
		if p.nhwc {
			d = []int{d[2], d[0], d[1]}
		}
		p.c, p.h, p.w = known(d[0]), known(d[1]), known(d[2])
		if p.c != 0 && !isChannels(p.c) {
			return fmt.Errorf("images have 1 or 3 channels, model input %q wants %s", p.in.Name, wantShape(shape))
		}
	}
	return nil
}

// table fills lut.
func (p *imageSource) table() error {
	n := max(len(p.opt.Mean), len(p.opt.Std), 1)
	if c := max(p.c, 1); n != 1 && n != 3 || p.c != 0 && n > c {
		return fmt.Errorf("%d values of mean and %d of std for %d channels", len(p.opt.Mean), len(p.opt.Std), c)
	}
	at := func(list []float64, c int, other float64) (float64, error) {
		switch len(list) {
		case 0:
			return other, nil
		case 1:
			return list[0], nil
		case n:
			return list[c], nil
		}
		return 0, fmt.Errorf("%d values of mean and %d of std", len(p.opt.Mean), len(p.opt.Std))
	}
	scale := p.opt.Scale
	if scale == 0 {
		scale = 1
		if p.dtype.IsFloat() {
			scale = 1.0 / 255
		}
	}
	p.lut = make([][256]float64, n)
	for c := range n {
		mean, err := at(p.opt.Mean, c, 0)
		if err != nil {
			return err
		}
		std, err := at(p.opt.Std, c, 1)
		if err != nil {
			return err
		}
		if std == 0 {
			return fmt.Errorf("std of channel %d is 0", c)
		}
		for v := range p.lut[c] {
			p.lut[c][v] = (float64(v)*scale - mean) / std
		}
		if p.dtype.IsInt() {
			if err := checkRange(p.lut[c][:], p.dtype); err != nil {
				return fmt.Errorf("pixels for model input %q: %w", p.in.Name, err)
			}
		}
	}
	return nil
}

func (p *imageSource) expected(int, int) ([]tensor.Value, error) { return nil, nil }

func (p *imageSource) batch(from, to int) ([]tensor.Value, error) {
	var vals []float64
	var f32 []float32
	var shape []int
	rows := max(p.size, to-from)
	for i := from; i < to; i++ {
		r, err := p.load(i)
		var got []int
		if err == nil {
			r, got, err = p.fit(r)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.title(i), err)
		}
		n := len(r.pix)
		if shape == nil {
			shape = got
			if p.dtype == tensor.Float32 {
				f32 = make([]float32, rows*n)
			} else {
				vals = make([]float64, rows*n)
			}
		} else if !slices.Equal(shape, got) {
			return nil, fmt.Errorf("%s: shape %v, the others of the batch have %v (--resize makes them equal)",
				p.title(i), got, shape)
		}
		if f32 != nil {
			fill(f32[(i-from)*n:][:n], r, p)
		} else {
			fill(vals[(i-from)*n:][:n], r, p)
		}
	}
	full := shape
	if !p.alone {
		full = append([]int{rows}, shape...)
	}
	var t *tensor.Tensor
	if f32 != nil {
		repeat(f32, (to-from)*len(f32)/rows, rows-(to-from))
		t = tensor.Of(full, f32)
	} else {
		repeat(vals, (to-from)*len(vals)/rows, rows-(to-from))
		t = tensor.FromFloats(p.dtype, full, vals)
	}
	out := make([]tensor.Value, p.inputs)
	out[p.at] = t
	return out, nil
}

// title names image i in errors.
func (p *imageSource) title(i int) string {
	if name := p.name(i); name != "" {
		return title(i, name)
	}
	return title(i, p.path)
}

// repeat fills v from index end on with the row before it, count times.
func repeat[T any](v []T, end, count int) {
	if count <= 0 {
		return
	}
	row := (len(v) - end) / count
	for at := end; at < len(v); at += row {
		copy(v[at:], v[end-row:end])
	}
}

// fill writes the values of r's pixels in the layout of the input.
func fill[T float32 | float64](dst []T, r raster, p *imageSource) {
	area := r.w * r.h
	for c := range r.c {
		lut := &p.lut[min(c, len(p.lut)-1)]
		from := c
		if p.opt.BGR {
			from = r.c - 1 - c
		}
		at, step := c*area, 1
		if p.nhwc {
			at, step = c, r.c
		}
		for i := from; i < len(r.pix); i += r.c {
			dst[at] = T(lut[r.pix[i]])
			at += step
		}
	}
}

// fit brings an image to the input's size and channels and gives the shape of
// its sample.
func (p *imageSource) fit(r raster) (raster, []int, error) {
	w, h, err := p.resized(p.opt.Resize, r.w, r.h)
	if err != nil {
		return r, nil, err
	}
	if w > p.maxBytes/h/3 {
		return r, nil, fmt.Errorf("resize to %dx%d exceeds the limit of %d bytes", w, h, p.maxBytes)
	}
	r = r.resize(w, h, p.opt.Nearest)
	if w, h, err = p.cropped(p.opt.Crop, r.w, r.h); err != nil {
		return r, nil, err
	}
	r = r.crop(w, h)
	c := p.c
	if c == 0 {
		c = p.channels()
		if k, ok := p.flat(); ok {
			c = max(1, k/(r.w*r.h))
		}
	}
	if c == 1 || c == 3 {
		r = r.withChannels(c)
	}
	shape := []int{r.c, r.h, r.w}
	if p.nhwc {
		shape = []int{r.h, r.w, r.c}
	}
	if got, ok := p.reshape(shape); ok {
		return r, got, nil
	}
	hint := ""
	if p.opt.Resize == (Extent{}) && p.opt.Crop == (Extent{}) {
		hint = " (--resize and --crop change the size)"
	}
	return r, nil, fmt.Errorf("shape %v, model input %q wants %s%s", shape, p.in.Name, wantShape(p.dims), hint)
}

// flat is the number of elements of a sample when all its sizes are fixed.
func (p *imageSource) flat() (int, bool) {
	k, err := tensor.Count(p.dims)
	return k, err == nil && p.dims != nil
}

// reshape gives [C H W] or [H W C] the input's rank if the elements agree.
func (p *imageSource) reshape(shape []int) ([]int, bool) {
	if p.dims == nil || matches(p.dims, shape) {
		return shape, true
	}
	n := shape[0] * shape[1] * shape[2]
	if k, ok := p.flat(); ok && k == n && !p.sized() {
		return p.dims, true
	}
	switch len(p.dims) {
	case 1:
		return []int{n}, p.dims[0] < 0
	case 2: // grey, [H W]
		i := 0
		if p.nhwc {
			i = 2
		}
		flat := slices.Delete(slices.Clone(shape), i, i+1)
		return flat, shape[i] == 1 && matches(p.dims, flat)
	}
	return nil, false
}

// sized reports that the input tells height and width apart, so that another
// shape of as many elements is another image.
func (p *imageSource) sized() bool { return len(p.dims) == 2 || len(p.dims) == 3 }

// resized is the size that an image of w x h is resized to.
func (p *imageSource) resized(e Extent, w, h int) (int, int, error) {
	switch {
	case w <= 0 || h <= 0:
		return 0, 0, fmt.Errorf("image of %dx%d pixels", w, h)
	case e.Input:
		return p.inputSize()
	case e.Width > 0:
		return e.Width, e.Height, nil
	case e.Side > 0 && w <= h:
		return e.Side, max(1, int(float64(h)*float64(e.Side)/float64(w))), nil
	case e.Side > 0:
		return max(1, int(float64(w)*float64(e.Side)/float64(h))), e.Side, nil
	}
	return w, h, nil
}

func (p *imageSource) inputSize() (int, int, error) {
	if p.h == 0 || p.w == 0 {
		return 0, 0, fmt.Errorf("model input %q has no fixed height and width: give the size in pixels", p.in.Name)
	}
	return p.w, p.h, nil
}

// cropped is the size that is cut out of an image of w x h.
func (p *imageSource) cropped(e Extent, w, h int) (int, int, error) {
	cw, ch := e.Width, e.Height
	switch {
	case e.Input:
		var err error
		if cw, ch, err = p.inputSize(); err != nil {
			return 0, 0, err
		}
	case e.Side > 0:
		cw, ch = e.Side, e.Side
	case e.Width == 0:
		return w, h, nil
	}
	if cw > w || ch > h {
		return 0, 0, fmt.Errorf("crop of %dx%d from an image of %dx%d", cw, ch, w, h)
	}
	return cw, ch, nil
}

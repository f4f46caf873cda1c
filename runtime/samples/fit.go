package samples

import (
	"fmt"
	"slices"

	"onnxopt/onnx/tensor"
)

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

package op

import (
	"fmt"

	"onnxopt/onnx/dim"
)

// Window is the sliding-window geometry that convolutions and pools share:
// the attributes auto_pad, pads, strides and dilations.
type Window struct {
	auto               string
	Strides, Dilations []int
	Before, After      []int // pads; set by resolve when auto is set
}

// maxPad bounds a pad.
const maxPad = 1 << 31

func newWindow(a *Attrs, spatial int) (Window, error) {
	w := Window{auto: a.Str("auto_pad"), Strides: a.Ints("strides"), Dilations: a.Ints("dilations")}
	pads := a.Ints("pads")
	if w.auto == "" {
		w.auto = "NOTSET"
	}
	switch w.auto {
	case "NOTSET":
	case "SAME_UPPER", "SAME_LOWER", "VALID":
		pads = nil
	default:
		return w, fmt.Errorf("auto_pad %q", w.auto)
	}
	for _, l := range []*[]int{&w.Strides, &w.Dilations} {
		if *l == nil {
			*l = ones(spatial)
		}
		if len(*l) != spatial {
			return w, fmt.Errorf("%d strides or dilations for %d spatial dims", len(*l), spatial)
		}
		for _, v := range *l {
			if v < 1 {
				return w, fmt.Errorf("strides %v, dilations %v", w.Strides, w.Dilations)
			}
		}
	}
	if pads == nil {
		pads = make([]int, 2*spatial)
	}
	if len(pads) != 2*spatial {
		return w, fmt.Errorf("%d pads for %d spatial dims", len(pads), spatial)
	}
	for _, p := range pads {
		if p < -maxPad || p > maxPad {
			return w, fmt.Errorf("pads %v", pads)
		}
	}
	w.Before, w.After = pads[:spatial], pads[spatial:]
	return w, nil
}

func ones(n int) []int {
	o := make([]int, n)
	for i := range o {
		o[i] = 1
	}
	return o
}

// outDim is the output size of spatial axis i: floor or, with ceil, ceil of
// (in + pads - (k-1)*d - 1)/s, plus 1.
func (w *Window) outDim(i int, in, kernel dim.Dim, ceil bool) dim.Dim {
	s := dim.Of(int64(w.Strides[i]))
	switch w.auto {
	case "SAME_UPPER", "SAME_LOWER":
		return in.CeilDiv(s)
	}
	extent := kernel.Sub(dim.Of(1)).Mul(dim.Of(int64(w.Dilations[i]))).Add(dim.Of(1))
	span := in.Add(dim.Of(int64(w.Before[i] + w.After[i]))).Sub(extent)
	if !ceil {
		return span.FloorDiv(s).Add(dim.Of(1))
	}
	// The last window must start inside the input or its leading padding.
	return span.CeilDiv(s).Add(dim.Of(1)).Min(in.Add(dim.Of(int64(w.Before[i]))).CeilDiv(s))
}

// resolve computes the output sizes and, for auto_pad, the pads.
func (w *Window) resolve(in, kernel []int, ceil bool) ([]int, error) {
	out := make([]int, len(in))
	for i := range in {
		o, ok := w.outDim(i, dim.Of(int64(in[i])), dim.Of(int64(kernel[i])), ceil).Const()
		if !ok || o < 0 {
			return nil, fmt.Errorf("window %v does not fit input %v", kernel, in)
		}
		out[i] = int(o)
	}
	if w.auto != "SAME_UPPER" && w.auto != "SAME_LOWER" {
		return out, nil
	}
	w.Before, w.After = make([]int, len(in)), make([]int, len(in))
	for i := range in {
		total := max((out[i]-1)*w.Strides[i]+(kernel[i]-1)*w.Dilations[i]+1-in[i], 0)
		w.Before[i] = total / 2
		if w.auto == "SAME_LOWER" {
			w.Before[i] = total - total/2
		}
		w.After[i] = total - w.Before[i]
	}
	return out, nil
}

// EachTap visits every pair of output position o and kernel position k whose
// input position i = o*stride - pad + k*dilation lies inside the input; all
// are linear indices into the spatial dims.
func (w *Window) EachTap(in, out, kernel []int, f func(o, k, i int)) {
	rank := len(in)
	opos, kpos := make([]int, rank), make([]int, rank)
	for o := range volume(out) {
		unravel(o, out, opos)
	taps:
		for k := range volume(kernel) {
			unravel(k, kernel, kpos)
			at := 0
			for d := range rank {
				p := opos[d]*w.Strides[d] - w.Before[d] + kpos[d]*w.Dilations[d]
				if p < 0 || p >= in[d] {
					continue taps
				}
				at = at*in[d] + p
			}
			f(o, k, at)
		}
	}
}

// unravel writes the coordinates of linear index i.
func unravel(i int, shape, pos []int) {
	for d := len(shape) - 1; d >= 0; d-- {
		pos[d] = i % shape[d]
		i /= shape[d]
	}
}

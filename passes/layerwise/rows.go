package layerwise

import (
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/lattice"
)

// reader takes rows of X, what one output of a layer reads, from its input.
type reader struct {
	attrs  *op.Attrs       // of a Conv, nil for a product
	weight []int           // its shape
	conv   *patches        // for inputs of the last shape seen
	rows   int             // to take from one sample, at most
	grams  []*lattice.Gram // one for each group
}

// read takes evenly spaced rows of a batch of samples.
func (r *reader) read(x *tensor.Tensor, samples int) {
	v := x.Float32s()
	if r.attrs != nil {
		if r.conv == nil || !r.conv.fits(x.Shape) {
			var err error
			if r.conv, err = newPatches(r.attrs, x.Shape, r.weight); err != nil {
				return
			}
		}
		positions := spaced(r.conv.pixels(), r.rows)
		for s := range min(samples, x.Shape[0]) {
			for at := 0; at < len(positions); {
				n := 0
				for _, g := range r.grams { // all are filled alike
					n = min(g.Room(), len(positions)-at)
				}
				table := r.conv.table(positions[at : at+n])
				for k, g := range r.grams {
					dst, stride := g.Take(n)
					r.conv.read(v, s, k, table, dst, stride)
				}
				at += n
			}
		}
		return
	}
	g := r.grams[0]
	all := len(v) / g.N
	for _, row := range spaced(all, min(all, r.rows*samples)) {
		dst, stride := g.Take(1)
		for i, y := range v[row*g.N : (row+1)*g.N] {
			dst[i*stride] = y
		}
	}
}

// spaced is at most k of the integers below n, evenly spaced.
func spaced(n, k int) []int {
	k = min(k, n)
	at := make([]int, k)
	for i := range at {
		at[i] = (2*i + 1) * n / (2 * k)
	}
	return at
}

package layerwise

import (
	"slices"

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

// read takes evenly spaced rows of a batch of samples, which may be held with
// axis 1 last.
func (r *reader) read(x *tensor.Tensor, samples int, last bool) {
	v, shape := x.Float32s(), x.Shape
	if last {
		shape = slices.Concat(shape[:1], shape[len(shape)-1:], shape[1:len(shape)-1])
	}
	if r.attrs != nil {
		if r.conv == nil || !r.conv.fits(shape, last) {
			var err error
			if r.conv, err = newPatches(r.attrs, shape, r.weight, last); err != nil {
				return
			}
		}
		positions := spaced(r.conv.pixels(), r.rows)
		for s := range min(samples, shape[0]) {
			for at := 0; at < len(positions); {
				n := min(r.grams[0].Room(), len(positions)-at) // all are filled alike
				table := r.conv.table(positions[at : at+n])
				for k, g := range r.grams {
					r.conv.read(v, s, k, table, g.Take(n))
				}
				at += n
			}
		}
		return
	}
	if last { // rows are along the last axis of the others
		v = plain(v, shape)
	}
	g := r.grams[0]
	all := len(v) / g.N
	for _, row := range spaced(all, min(all, r.rows*samples)) {
		copy(g.Take(1), v[row*g.N:])
	}
}

// plain is values of a shape that are held with axis 1 last, in order.
func plain(v []float32, shape []int) []float32 {
	out := make([]float32, len(v))
	pixels, channels := volume(shape[2:]), shape[1]
	for i, x := range v {
		sample, pixel, channel := i/(pixels*channels), i/channels%pixels, i%channels
		out[(sample*channels+channel)*pixels+pixel] = x
	}
	return out
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

package grad

import (
	"math"

	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// maxPoolRule sends each gradient to the first largest element of its window.
func maxPoolRule(n *node) (func(), func(), error) {
	x, y := n.in[0], n.out[0]
	win, out, err := op.NewPoolGeometry(&n.Attrs, x.shape)
	if err != nil {
		return nil, nil, err
	}
	t := newTaps(win, x.shape[2:], out, n.Ints("kernel_shape"))
	planes := x.shape[0] * x.shape[1]
	best := make([]int32, len(y.v))
	pairs := t.pairs(x.shape[2:], out)
	forward := func() {
		if pairs {
			for p := range planes {
				kernel.MaxPool2(y.v[p*t.out:(p+1)*t.out], best[p*t.out:], x.v[p*t.in:(p+1)*t.in], out[0], out[1], x.shape[3])
			}
			return
		}
		for i := range y.v {
			y.v[i] = float32(math.Inf(-1))
		}
		for p := range planes {
			src, dst, at := x.v[p*t.in:(p+1)*t.in], y.v[p*t.out:(p+1)*t.out], best[p*t.out:(p+1)*t.out]
			for _, runs := range t.runs {
				for _, r := range runs {
					d, b := dst[r.out:r.out+r.n], at[r.out:r.out+r.n]
					for i, j := 0, r.in; i < len(d); i, j = i+1, j+r.stride {
						if v := src[j]; v > d[i] {
							d[i], b[i] = v, int32(j)
						}
					}
				}
			}
		}
	}
	backward := func() {
		for p := range planes {
			g, at := x.g[p*t.in:(p+1)*t.in], best[p*t.out:(p+1)*t.out]
			for i, d := range y.g[p*t.out : (p+1)*t.out] {
				g[at[i]] += d
			}
		}
	}
	return forward, backward, nil
}

// pairs reports windows of 2x2 side by side over planes of size in.
func (t *taps) pairs(in, out []int) bool {
	if len(in) != 2 || t.kernel != 4 {
		return false
	}
	for k, from := range []int{0, 1, in[1], in[1] + 1} {
		if !t.full[k] || len(t.runs[k]) != out[0] {
			return false
		}
		for y, r := range t.runs[k] {
			if r != (tapRun{out: y * out[1], in: 2*y*in[1] + from, n: out[1], stride: 2}) {
				return false
			}
		}
	}
	return true
}

// averagePoolRule weighs every tap by the share that the reference evaluation
// gives it: 1/count, with or without padding counted.
func averagePoolRule(n *node) (func(), func(), error) {
	x, y := n.in[0], n.out[0]
	win, out, err := op.NewPoolGeometry(&n.Attrs, x.shape)
	if err != nil {
		return nil, nil, err
	}
	t := newTaps(win, x.shape[2:], out, n.Ints("kernel_shape"))
	ones := make([]float32, t.in)
	for i := range ones {
		ones[i] = 1
	}
	ref, err := n.op.Run(n.Node, &op.Env{}, []tensor.Value{tensor.Of(append([]int{1, 1}, x.shape[2:]...), ones)})
	if err != nil {
		return nil, nil, err
	}
	weight, inside := append([]float32(nil), ref[0].(*tensor.Tensor).Float32s()...), make([]float32, t.out)
	for _, runs := range t.runs {
		for _, r := range runs {
			for i := range r.n {
				inside[r.out+i]++
			}
		}
	}
	for i := range weight {
		weight[i] /= max(inside[i], 1)
	}
	planes := x.shape[0] * x.shape[1]
	each := func(f func(p, o, i int)) {
		for p := range planes {
			for _, runs := range t.runs {
				for _, r := range runs {
					for i := range r.n {
						f(p, r.out+i, r.in+i*r.stride)
					}
				}
			}
		}
	}
	forward := func() {
		clear(y.v)
		each(func(p, o, i int) { y.v[p*t.out+o] += weight[o] * x.v[p*t.in+i] })
	}
	backward := func() {
		each(func(p, o, i int) { x.g[p*t.in+i] += weight[o] * y.g[p*t.out+o] })
	}
	return forward, backward, nil
}

func globalPoolRule(n *node) (func(), func(), error) {
	kind := "ReduceMean"
	if n.Node.Op == "GlobalMaxPool" {
		kind = "ReduceMax"
	}
	x := n.in[0]
	plane := count(x.shape[2:])
	group := make([]int32, len(x.v))
	for i := range group {
		group[i] = int32(i / plane)
	}
	return reduceBy(kind, x, n.out[0], group)
}

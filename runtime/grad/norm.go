package grad

import (
	"fmt"
	"math"

	"onnxopt/onnx/op"
	"onnxopt/runtime/kernel"
)

// normalization is y = scale*h + bias with h = (x-mean)/sqrt(var+eps) over
// rows of consecutive elements, or h = x/sqrt(mean square + eps).
type normalization struct {
	rows, size  int
	eps         float64
	centred     bool
	h           []float32 // normalized x
	inv         []float32 // 1/sqrt(var+eps) of each row
	scale, bias []int32   // their element for each element of x
	whole       bool      // they have one element for each of a row
}

func (z *normalization) rule(n *node) (func(), func(), error) {
	x, y := n.in[0], n.out[0]
	z.rows = len(x.v) / max(z.size, 1)
	z.h, z.inv = make([]float32, len(x.v)), make([]float32, z.rows)
	z.eps = n.Float("epsilon")
	var scale, bias []float32
	if scale = n.in[1].v; n.has(2) {
		bias = n.in[2].v
	}
	forward := func() {
		for r := range z.rows {
			z.normalize(r, x.v[r*z.size:(r+1)*z.size])
		}
		if z.whole {
			for r := 0; r < len(z.h); r += z.size {
				kernel.Affine(y.v[r:r+z.size], z.h[r:r+z.size], scale, bias)
			}
			return
		}
		for i, h := range z.h {
			y.v[i] = h * scale[z.scale[i]]
			if bias != nil {
				y.v[i] += bias[z.bias[i]]
			}
		}
	}
	gx, gs, gb := n.g(0), n.g(1), n.g(2)
	backward := func() {
		for i, g := range y.g {
			if gs != nil {
				gs[z.scale[i]] += g * z.h[i]
			}
			if gb != nil {
				gb[z.bias[i]] += g
			}
		}
		if gx == nil {
			return
		}
		for r := range z.rows {
			z.back(r, gx[r*z.size:], y.g[r*z.size:], scale)
		}
	}
	return forward, backward, nil
}

func (z *normalization) normalize(r int, x []float32) {
	mean, variance := 0.0, 0.0
	if z.centred {
		for _, v := range x {
			mean += float64(v)
		}
		mean /= float64(len(x))
	}
	for _, v := range x {
		variance += (float64(v) - mean) * (float64(v) - mean)
	}
	inv := 1 / math.Sqrt(variance/float64(len(x))+z.eps)
	z.inv[r] = float32(inv)
	h := z.h[r*z.size : (r+1)*z.size]
	for i, v := range x {
		h[i] = float32((float64(v) - mean) * inv)
	}
}

// back is dx = inv*(d - mean(d) - h*mean(d*h)) with d = scale*dy; mean(d) is
// left out where x is not centred.
func (z *normalization) back(r int, gx, gy, scale []float32) {
	h, at := z.h[r*z.size:(r+1)*z.size], z.scale[r*z.size:]
	sum, dot := 0.0, 0.0
	for i, v := range h {
		d := float64(gy[i] * scale[at[i]])
		sum += d
		dot += d * float64(v)
	}
	mean, slope := float32(sum/float64(z.size)), float32(dot/float64(z.size))
	if !z.centred {
		mean = 0
	}
	for i, v := range h {
		gx[i] += z.inv[r] * (gy[i]*scale[at[i]] - mean - v*slope)
	}
}

// indexOf is, for each element of shape, the element of a parameter that is
// broadcast to it.
func indexOf(shape, param []int) []int32 {
	out := make([]int32, count(shape))
	op.EachBroadcast(shape, [][]int{param}, func(o int, at []int) { out[o] = int32(at[0]) })
	return out
}

func layerNormRule(n *node) (func(), func(), error) {
	x := n.in[0]
	axis, ok := op.Axis(n.Int("axis"), len(x.shape))
	if !ok {
		return nil, nil, fmt.Errorf("axis %d of rank %d", n.Int("axis"), len(x.shape))
	}
	z := &normalization{size: count(x.shape[axis:]), centred: n.Node.Op == "LayerNormalization"}
	z.scale = indexOf(x.shape, n.in[1].shape)
	z.whole = n.has(2) && n.in[1].size() == z.size && n.in[2].size() == z.size
	if n.has(2) {
		z.bias = indexOf(x.shape, n.in[2].shape)
	}
	return z.rule(n)
}

// instanceNormRule is InstanceNormalization, a group for each channel, and
// GroupNormalization.
func instanceNormRule(n *node) (func(), func(), error) {
	x := n.in[0]
	c, plane, groups := x.shape[1], count(x.shape[2:]), x.shape[1]
	if n.Node.Op == "GroupNormalization" {
		groups = n.Int("num_groups")
	}
	z := &normalization{size: c / groups * plane, centred: true}
	z.scale = make([]int32, len(x.v))
	per := c / max(n.in[1].size(), 1) // version 18 of GroupNormalization has one scale for each group
	for i := range z.scale {
		z.scale[i] = int32(i / plane % c / per)
	}
	z.bias = z.scale
	return z.rule(n)
}

// batchNormRule is y = scale*(x-mean)/sqrt(var+eps) + bias by channel. In
// training mode the statistics are those of the batch and differentiated
// through.
func batchNormRule(n *node) (func(), func(), error) {
	if n.Int("training_mode") != 0 {
		return batchNormTraining(n)
	}
	if n.Since < 9 && n.Has("spatial") && n.Int("spatial") == 0 || n.Since < 7 && n.Has("is_test") && n.Int("is_test") == 0 && len(n.out) > 1 {
		return nil, nil, fmt.Errorf("this form of opset %d is not differentiated", n.Since)
	}
	x, y := n.in[0], n.out[0]
	c, plane := x.shape[1], count(x.shape[2:])
	scale, bias, mean, variance := n.in[1].v, n.in[2].v, n.in[3].v, n.in[4].v
	inv := make([]float32, c)
	forward := func() {
		for k := range inv {
			inv[k] = float32(1 / math.Sqrt(float64(variance[k])+n.Float("epsilon")))
		}
		for p := 0; p < len(x.v); p += plane {
			k := p / plane % c
			a := inv[k] * scale[k]
			b := bias[k] - mean[k]*a
			out := y.v[p : p+plane]
			for i, v := range x.v[p : p+plane] {
				out[i] = v*a + b
			}
		}
	}
	g := [5][]float32{n.g(0), n.g(1), n.g(2), n.g(3), n.g(4)}
	backward := func() {
		for p := 0; p < len(x.v); p += plane {
			k := p / plane % c
			a := inv[k] * scale[k]
			sum, dot := float32(0), float32(0)
			for i, d := range y.g[p : p+plane] {
				sum += d
				dot += d * (x.v[p+i] - mean[k])
				if g[0] != nil {
					g[0][p+i] += d * a
				}
			}
			for j, d := range [5]float32{1: dot * inv[k], 2: sum, 3: -sum * a, 4: -0.5 * dot * a * inv[k] * inv[k]} {
				if j > 0 && g[j] != nil {
					g[j][k] += d
				}
			}
		}
	}
	return forward, backward, nil
}

func batchNormTraining(n *node) (func(), func(), error) {
	x, y := n.in[0], n.out[0]
	batch, c, plane := x.shape[0], x.shape[1], count(x.shape[2:])
	size := batch * plane
	// h and its gradient have the channel first, so that rows are channels.
	z := &normalization{rows: c, size: size, centred: true, eps: n.Float("epsilon"),
		h: make([]float32, len(x.v)), inv: make([]float32, c), scale: make([]int32, len(x.v))}
	for i := range z.scale {
		z.scale[i] = int32(i / size)
	}
	rows, grads := make([]float32, len(x.v)), make([]float32, len(x.v))
	each := func(f func(row, x int)) { // planes
		for b := range batch {
			for k := range c {
				f(k*size+b*plane, (b*c+k)*plane)
			}
		}
	}
	scale, bias := n.in[1].v, n.in[2].v
	forward := func() {
		each(func(r, i int) { copy(rows[r:r+plane], x.v[i:]) })
		for k := range c {
			z.normalize(k, rows[k*size:(k+1)*size])
		}
		each(func(r, i int) {
			k := r / size
			for j, h := range z.h[r : r+plane] {
				y.v[i+j] = h*scale[k] + bias[k]
			}
		})
	}
	gx, gs, gb := n.g(0), n.g(1), n.g(2)
	backward := func() {
		each(func(r, i int) { copy(grads[r:r+plane], y.g[i:]) })
		for i, g := range grads {
			if gs != nil {
				gs[i/size] += g * z.h[i]
			}
			if gb != nil {
				gb[i/size] += g
			}
		}
		if gx == nil {
			return
		}
		clear(rows)
		for k := range c {
			z.back(k, rows[k*size:], grads[k*size:], scale)
		}
		each(func(r, i int) { addTo(gx[i:i+plane], rows[r:]) })
	}
	return forward, backward, nil
}

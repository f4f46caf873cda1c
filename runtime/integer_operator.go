package runtime

import (
	"math"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// matchIntegerOperator covers the operators that are quantized by themselves:
// QLinearConv, QLinearMatMul, ConvInteger and MatMulInteger with constant
// weights, and QLinearMatMul of two activations.
func matchIntegerOperator(l *lowerer, n *graph.Node) *lowered {
	switch n.Op {
	case "QLinearConv":
		return l.qlinearConv(n)
	case "QLinearMatMul":
		return l.qlinearMatMul(n)
	case "ConvInteger":
		x, w, ok := l.integerOperands(n)
		c := &integerConv{node: n, products: products{x: x, w: w}}
		if !ok || !c.match(l) || c.isDepthwise() {
			return nil
		}
		return c.lowered([]*graph.Value{n.In(0), n.In(2)}, n.Outputs(), nil)
	case "MatMulInteger":
		x, w, ok := l.integerOperands(n)
		m := &integerMatMul{node: n, raw: true, products: products{x: x, w: w}}
		if !ok || !m.matrix(l) {
			return nil
		}
		return m.lowered([]*graph.Value{n.In(0), n.In(2)}, n.Outputs(), nil)
	}
	return nil
}

func (l *lowerer) qlinearConv(n *graph.Node) *lowered {
	x, ok := l.parameters(n.In(1), n.In(2))
	w, ok2 := l.parameters(n.In(4), n.In(5))
	y, ok3 := l.parameters(n.In(6), n.In(7))
	if !ok || !ok2 || !ok3 || !y.is8bit() {
		return nil
	}
	x.value, w.value, w.consts = n.In(0), n.In(3), l.constant(n.In(3))
	t := newTarget(y)
	c := &integerConv{node: n, products: products{x: x, w: w, y: &t}}
	if !c.match(l) || !c.rawBias(l, n.In(8), c.shape[0]) {
		return nil
	}
	return c.lowered(n.Inputs(), n.Outputs(), nil)
}

// rawBias takes an int32 bias in units of the sums.
func (p *products) rawBias(l *lowerer, v *graph.Value, m int) bool {
	if v == nil {
		return true
	}
	b := l.constant(v)
	if b == nil || b.Type != tensor.Int32 || b.Len() != m {
		return false
	}
	p.bias = tensor.View[int32](b)
	return true
}

func (l *lowerer) qlinearMatMul(n *graph.Node) *lowered {
	a, ok := l.parameters(n.In(1), n.In(2))
	b, ok2 := l.parameters(n.In(4), n.In(5))
	y, ok3 := l.parameters(n.In(6), n.In(7))
	if !ok || !ok2 || !ok3 || !y.is8bit() || !a.is8bit() || !is8bit(b.dtype) {
		return nil
	}
	a.value, b.value, b.consts, b.axis = n.In(0), n.In(3), l.constant(n.In(3)), 1
	t := newTarget(y)
	if b.consts != nil {
		m := &integerMatMul{node: n, products: products{x: a, w: b, y: &t}}
		if !m.matrix(l) {
			return nil
		}
		return m.lowered(n.Inputs(), n.Outputs(), nil)
	}
	if !b.is8bit() {
		return nil
	}
	p := &integerProduct{node: n, a: a, b: b, y: &t}
	f := p.lowered(n.Inputs(), n.Outputs(), nil)
	f.run = func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		return p.run(f, []tensor.Value{in[0], in[3]})
	}
	return f
}

// integerOperands is the operands of ConvInteger or MatMulInteger, with scales
// of 1. The zero point of x may come at run time.
func (l *lowerer) integerOperands(n *graph.Node) (x, w *affine, ok bool) {
	one := []float32{1}
	x = &affine{value: n.In(0), scale: one, zero: []int64{0}, dtype: l.typeOf(n.In(0)).Elem}
	w = &affine{value: n.In(1), scale: one, zero: []int64{0}, consts: l.constant(n.In(1))}
	if w.consts == nil {
		return nil, nil, false
	}
	w.dtype = w.consts.Type
	if z := n.In(3); z != nil {
		c := l.constant(z)
		if c == nil || c.Type != w.dtype || c.Len() == 0 || c.Rank() > 1 {
			return nil, nil, false
		}
		w.zero = c.Ints()
		for range len(w.zero) - 1 {
			w.scale = append(w.scale, 1)
		}
		if n.Is("MatMulInteger") {
			w.axis = 1
		}
	}
	return x, w, is8bit(x.dtype)
}

// zeroPoint is the zero point of x: input 1 of a step whose operator takes it
// at run time.
func (p *products) zeroPoint(in []tensor.Value) (int32, error) {
	if p.y != nil || len(in) < 2 || in[1] == nil {
		return int32(p.x.zero[0]), nil
	}
	z, ok := in[1].(*tensor.Tensor)
	if !ok || z.Type != p.x.dtype || z.Len() != 1 {
		return 0, errFallback
	}
	return int32(z.Ints()[0]), nil
}

// matchDynamicQuantize covers DynamicQuantizeLinear.
func matchDynamicQuantize(_ *lowerer, n *graph.Node) *lowered {
	if !n.Is("DynamicQuantizeLinear") {
		return nil
	}
	return &lowered{in: n.Inputs(), out: n.Outputs(), run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		x, ok := in[0].(*tensor.Tensor)
		if !ok || x.Type != tensor.Float32 || x.Len() == 0 {
			return nil, errFallback
		}
		v := x.Float32s()
		y, s, z := f.new(tensor.Uint8, x.Shape...), f.new(tensor.Float32), f.new(tensor.Uint8)
		dst, scale, zero := y.Bytes(), tensor.View[float32](s), z.Bytes()
		f.do(1, func(_, _ int) {
			lo, hi := kernel.Bounds(v)
			scale[0] = (hi - lo) / 255
			if !(scale[0] > 0) || math.IsInf(float64(scale[0]), 0) {
				panic(errFallback)
			}
			zero[0] = uint8(math.RoundToEven(float64(min(max(-lo/scale[0], 0), 255))))
		})
		f.chunks(len(v), func(from, to int) {
			kernel.Quantize8(dst[from:to], v[from:to], kernel.Affine8{Scale: scale[0], Zero: int32(zero[0])}, 0, 255)
		})
		return []tensor.Value{y, s, z}, nil
	}}
}

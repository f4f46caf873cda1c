package runtime

import (
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

var negInf = float32(math.Inf(-1))

// matchGemm covers Gemm, and MatMul of any rank. A constant right operand is
// packed once.
func matchGemm(l *lowerer, n *graph.Node) *lowered {
	var m matrix
	switch {
	case n.Is("Gemm"):
		a, ok := l.attrs(n)
		if !ok || a.Int("transA") != 0 {
			return nil
		}
		m = matrix{alpha: float32(a.Float("alpha")), beta: float32(a.Float("beta")), transB: a.Int("transB") != 0, gemm: true}
	case n.Is("MatMul"):
		m = matrix{alpha: 1}
	default:
		return nil
	}
	m.constant = n.In(1).Const() != nil
	return &lowered{in: n.Inputs(), out: n.Outputs(), run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		t, ok := float32In(in)
		if !ok {
			return nil, errFallback
		}
		out, err := m.run(t)
		return []tensor.Value{out}, err
	}}
}

// matrix is a compiled Gemm or MatMul.
type matrix struct {
	alpha, beta            float32
	transB, gemm, constant bool
	packed                 []float32
	ready                  bool
}

func (m *matrix) run(t []*tensor.Tensor) (*tensor.Tensor, error) {
	as, bs := t[0].Shape, t[1].Shape
	if len(as) < 2 || len(bs) < 2 || m.gemm && (len(as) != 2 || len(bs) != 2) {
		return nil, errFallback
	}
	k, n := bs[len(bs)-2], bs[len(bs)-1]
	rowStride, colStride := n, 1
	if m.transB {
		k, n, rowStride, colStride = n, k, 1, n
	}
	if as[len(as)-1] != k {
		return nil, errFallback
	}
	batch, err := tensor.Broadcast(as[:len(as)-2], bs[:len(bs)-2])
	if err != nil {
		return nil, errFallback
	}
	rows := as[len(as)-2]
	out := tensor.New(tensor.Float32, append(slices.Clone(batch), rows, n)...)
	a, b, c := t[0].Float32s(), t[1].Float32s(), tensor.View[float32](out)
	if len(bs) == 2 { // one right operand for all rows
		if !m.ready {
			m.packed = kernel.PackB(m.packed, b, k, n, rowStride, colStride)
			m.ready = m.constant
		}
		kernel.Sgemm(out.Len()/max(n, 1), n, k, a, k, m.packed, c, n)
	} else {
		op.EachBroadcast(batch, [][]int{as[:len(as)-2], bs[:len(bs)-2]}, func(o int, at []int) {
			m.packed = kernel.PackB(m.packed, b[at[1]*k*n:], k, n, rowStride, colStride)
			kernel.Sgemm(rows, n, k, a[at[0]*rows*k:], k, m.packed, c[o*rows*n:], n)
		})
	}
	return out, m.finish(c, n, t, out.Shape)
}

// finish is alpha*Y + beta*C.
func (m *matrix) finish(c []float32, n int, t []*tensor.Tensor, shape []int) error {
	if m.alpha != 1 {
		for i := range c {
			c[i] *= m.alpha
		}
	}
	if len(t) < 3 || t[2] == nil || m.beta == 0 {
		return nil
	}
	bias := t[2].Float32s()
	if len(bias) == n && t[2].Shape[t[2].Rank()-1] == n {
		for i := range c {
			c[i] += m.beta * bias[i%n]
		}
		return nil
	}
	if s, err := tensor.Broadcast(shape, t[2].Shape); err != nil || !slices.Equal(s, shape) {
		return errFallback
	}
	op.EachBroadcast(shape, [][]int{t[2].Shape}, func(o int, at []int) { c[o] += m.beta * bias[at[0]] })
	return nil
}

var unaryFloat = map[string]func(x float32) float32{
	"Relu":    func(x float32) float32 { return max(x, 0) },
	"Neg":     func(x float32) float32 { return -x },
	"Abs":     func(x float32) float32 { return float32(math.Abs(float64(x))) },
	"Sqrt":    func(x float32) float32 { return float32(math.Sqrt(float64(x))) },
	"Erf":     func(x float32) float32 { return float32(math.Erf(float64(x))) },
	"Exp":     func(x float32) float32 { return float32(math.Exp(float64(x))) },
	"Tanh":    func(x float32) float32 { return float32(math.Tanh(float64(x))) },
	"Sigmoid": func(x float32) float32 { return float32(1 / (1 + math.Exp(-float64(x)))) },
}

var binaryFloat = map[string]func(a, b float32) float32{
	"Add": func(a, b float32) float32 { return a + b },
	"Sub": func(a, b float32) float32 { return a - b },
	"Mul": func(a, b float32) float32 { return a * b },
	"Div": func(a, b float32) float32 { return a / b },
}

func matchElementwise(l *lowerer, n *graph.Node) *lowered {
	if u := unaryFloat[n.Op]; u != nil {
		return &lowered{in: n.Inputs(), out: n.Outputs(), run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
			t, ok := float32In(in)
			if !ok {
				return nil, errFallback
			}
			out := tensor.New(tensor.Float32, t[0].Shape...)
			y := tensor.View[float32](out)
			for i, x := range t[0].Float32s() {
				y[i] = u(x)
			}
			return []tensor.Value{out}, nil
		}}
	}
	b := binaryFloat[n.Op]
	if b == nil || l.opset("") < 7 {
		return nil
	}
	return &lowered{in: n.Inputs(), out: n.Outputs(), run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		t, ok := float32In(in)
		if !ok {
			return nil, errFallback
		}
		shape, err := tensor.Broadcast(t[0].Shape, t[1].Shape)
		if err != nil {
			return nil, errFallback
		}
		out := tensor.New(tensor.Float32, shape...)
		x, w, y := t[0].Float32s(), t[1].Float32s(), tensor.View[float32](out)
		switch {
		case len(y) == 0:
		case len(x) == len(y) && repeats(t[1].Shape, shape): // w repeats along the leading axes
			for i := range y {
				y[i] = b(x[i], w[i%len(w)])
			}
		default:
			op.EachBroadcast(shape, [][]int{t[0].Shape, t[1].Shape}, func(o int, at []int) { y[o] = b(x[at[0]], w[at[1]]) })
		}
		return []tensor.Value{out}, nil
	}}
}

// repeats reports that a tensor of shape small, broadcast to big, is its own
// elements over and over.
func repeats(small, big []int) bool {
	for len(small) > 0 && small[0] == 1 {
		small = small[1:]
	}
	return len(small) <= len(big) && slices.Equal(small, big[len(big)-len(small):])
}

package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

// unary completes d as an element-wise operator of one float input: f is
// computed in float64 and rounded once.
func unary(d *Def, f func(a *Attrs) func(x float64) float64) *Def {
	d.Flags |= Elementwise
	d.Infer = sameShape
	d.Eval = func(e *Eval) error {
		x := e.Tensor(0)
		g, v := f(&e.Attrs), x.Floats()
		for i := range v {
			v[i] = g(v[i])
		}
		e.Set(0, tensor.FromFloats(x.Type, x.Shape, v))
		return nil
	}
	return d
}

// plain adapts a function without attributes to unary.
func plain(f func(float64) float64) func(*Attrs) func(float64) float64 {
	return func(*Attrs) func(float64) float64 { return f }
}

// sameShape is the shape rule of operators whose output 0 has the shape of
// input 0.
func sameShape(f *Infer) error {
	if s, ok := f.Shape(0); ok {
		f.Set(0, s...)
	}
	return nil
}

// arithmetic completes d as a broadcasting operator of two inputs of one
// type: floats are computed in float64 and rounded once, integers wrap.
func arithmetic(d *Def, float func(a, b float64) float64, signed func(a, b int64) int64,
	unsigned func(a, b uint64) uint64) *Def {
	d.Flags |= Elementwise
	d.Infer = inferBinary
	d.Eval = func(e *Eval) error {
		a, b, shape, err := e.operands()
		if err != nil {
			return err
		}
		if a.Type.IsFloat() {
			e.Set(0, tensor.FromFloats(a.Type, shape, mapPairs(shape, a, b, a.Floats(), b.Floats(), float)))
			return nil
		}
		f := signed
		if !a.Type.IsSigned() {
			f = func(x, y int64) int64 { return int64(unsigned(uint64(x), uint64(y))) }
		}
		e.Set(0, tensor.FromInts(a.Type, shape, mapPairs(shape, a, b, a.Ints(), b.Ints(), f)))
		return nil
	}
	return d
}

// operands is the two inputs of a binary operator and their common shape, for
// which a float64 each is small enough to hold. Before opset 7 the first input
// had that shape, and the attributes broadcast and axis aligned the second.
func (e *Eval) operands() (a, b *tensor.Tensor, shape []int, err error) {
	a, b = e.Tensor(0), e.Tensor(1)
	if e.Since < 7 && e.Int("broadcast") != 0 && b.Rank() < a.Rank() {
		if b, err = e.aligned(a, b); err != nil {
			return nil, nil, nil, err
		}
	}
	if shape, err = tensor.Broadcast(a.Shape, b.Shape); err != nil {
		return nil, nil, nil, err
	}
	if e.Since < 7 && !slices.Equal(shape, a.Shape) {
		return nil, nil, nil, fmt.Errorf("shape %v does not broadcast to %v", b.Shape, a.Shape)
	}
	return a, b, shape, e.Fits(tensor.Float64, shape)
}

// aligned appends axes of size 1 to b so that its first is that of a which the
// attribute axis names.
func (e *Eval) aligned(a, b *tensor.Tensor) (*tensor.Tensor, error) {
	axis := a.Rank() - b.Rank()
	if e.Node.Attr("axis") != nil {
		ok := false
		if axis, ok = Axis(e.Int("axis"), a.Rank()); !ok || axis+b.Rank() > a.Rank() {
			return nil, fmt.Errorf("axis %d for shapes %v and %v", axis, a.Shape, b.Shape)
		}
	}
	return b.Reshaped(append(slices.Clone(b.Shape), ones(a.Rank()-axis-b.Rank())...)...), nil
}

// mapPairs applies f to the broadcast pairs of elements of a and b.
func mapPairs[T, R any](shape []int, a, b *tensor.Tensor, av, bv []T, f func(x, y T) R) []R {
	n, _ := tensor.Count(shape)
	out := make([]R, n)
	EachBroadcast(shape, [][]int{a.Shape, b.Shape}, func(o int, at []int) {
		out[o] = f(av[at[0]], bv[at[1]])
	})
	return out
}

// EachBroadcast visits the elements of shape in order with the matching
// linear indices into inputs of shapes in.
func EachBroadcast(shape []int, in [][]int, f func(o int, at []int)) {
	strides := make([][]int, len(in))
	for k, s := range in {
		strides[k] = make([]int, len(shape))
		own := tensor.Strides(s)
		for i, d := range s {
			if d != 1 {
				strides[k][len(shape)-len(s)+i] = own[i]
			}
		}
	}
	index, at := make([]int, len(shape)), make([]int, len(in))
	n, _ := tensor.Count(shape)
	for o := range n {
		f(o, at)
		for i := len(shape) - 1; i >= 0; i-- {
			index[i]++
			for k := range at {
				at[k] += strides[k][i]
			}
			if index[i] < shape[i] {
				break
			}
			for k := range at {
				at[k] -= strides[k][i] * shape[i]
			}
			index[i] = 0
		}
	}
}

// inferBinary is the shape rule of broadcasting operators of two inputs, with
// partial data for the integer arithmetic of shapes.
func inferBinary(f *Infer) error {
	if f.Since < 7 {
		return sameShape(f)
	}
	a, ok := f.Shape(0)
	b, ok2 := f.Shape(1)
	if !ok || !ok2 {
		return nil
	}
	shape, err := BroadcastDims(a, b)
	if err != nil {
		return err
	}
	f.Set(0, shape...)
	return nil
}

// withShapeArithmetic adds the rule for partial data: g combines two elements
// of inputs of rank 0 or 1. Of floating-point quotients only exact ones are
// followed.
func withShapeArithmetic(d *Def, g func(a, b dim.Dim) dim.Dim) *Def {
	infer := d.Infer
	d.Infer = func(f *Infer) error {
		if err := infer(f); err != nil {
			return err
		}
		acc, ok := f.InData(0)
		if !ok {
			return nil
		}
		g := g
		if f.Type(0).Elem.IsFloat() && d.Name == "Div" {
			g = exactQuotient
		}
		for i := 1; i < len(f.In); i++ {
			next, ok := f.InData(i)
			if !ok || len(acc) != len(next) && len(acc) != 1 && len(next) != 1 {
				return nil
			}
			acc = zipDims(acc, next, g)
		}
		f.SetData(0, acc)
		return nil
	}
	return d
}

// exactQuotient is a / b where that is certainly whole.
func exactQuotient(a, b dim.Dim) dim.Dim {
	if q := a.FloorDiv(b); q.Mul(b).Equal(a) && !b.Is(0) {
		return q
	}
	return dim.Unknown
}

// passesWhole adds the rule that whole numbers pass through d: rounding.
func passesWhole(d *Def) *Def {
	infer := d.Infer
	d.Infer = func(f *Infer) error {
		err := infer(f)
		f.passData()
		return err
	}
	return d
}

// zipDims combines the elements of two lists of one length or of length 1.
func zipDims(a, b []dim.Dim, g func(a, b dim.Dim) dim.Dim) []dim.Dim {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	out := make([]dim.Dim, max(len(a), len(b)))
	for i := range out {
		out[i] = g(a[min(i, len(a)-1)], b[min(i, len(b)-1)])
	}
	return out
}

// compare completes d as a broadcasting comparison.
func compare(d *Def, float func(a, b float64) bool, signed func(a, b int64) bool,
	unsigned func(a, b uint64) bool) *Def {
	d.Flags |= Elementwise
	d.Check = Exact
	d.Infer = inferBinary
	d.Eval = func(e *Eval) error {
		a, b, shape, err := e.operands()
		if err != nil {
			return err
		}
		var out []bool
		switch {
		case a.Type.IsFloat():
			out = mapPairs(shape, a, b, a.Floats(), b.Floats(), float)
		case a.Type.IsSigned():
			out = mapPairs(shape, a, b, a.Ints(), b.Ints(), signed)
		default:
			out = mapPairs(shape, a, b, a.Ints(), b.Ints(), func(x, y int64) bool { return unsigned(uint64(x), uint64(y)) })
		}
		e.Set(0, tensor.FromBools(shape, out))
		return nil
	}
	return d
}

// unaryInt is unary for operators that also take integers.
func unaryInt(d *Def, float func(float64) float64, signed func(int64) int64, unsigned func(uint64) uint64) *Def {
	unary(d, plain(float))
	floats := d.Eval
	d.Eval = func(e *Eval) error {
		x := e.Tensor(0)
		if x.Type.IsFloat() {
			return floats(e)
		}
		v := x.Ints()
		for i := range v {
			if x.Type.IsSigned() {
				v[i] = signed(v[i])
			} else {
				v[i] = int64(unsigned(uint64(v[i])))
			}
		}
		e.Set(0, tensor.FromInts(x.Type, x.Shape, v))
		return nil
	}
	return d
}

// logical completes d as a broadcasting operator of two Bool inputs.
func logical(d *Def, f func(a, b bool) bool) *Def {
	d.Flags |= Elementwise
	d.Check = Exact
	d.Infer = inferBinary
	d.Eval = func(e *Eval) error {
		a, b, shape, err := e.operands()
		if err != nil {
			return err
		}
		e.Set(0, tensor.FromBools(shape, mapPairs(shape, a, b, a.Bools(), b.Bools(), f)))
		return nil
	}
	return d
}

// predicate completes d as a test of each element of one float input.
func predicate(d *Def, f func(a *Attrs) func(x float64) bool) *Def {
	d.Flags |= Elementwise
	d.Check = Exact
	d.Infer = sameShape
	d.Eval = func(e *Eval) error {
		x := e.Tensor(0)
		test, v := f(&e.Attrs), x.Floats()
		out := make([]bool, len(v))
		for i := range v {
			out[i] = test(v[i])
		}
		e.Set(0, tensor.FromBools(x.Shape, out))
		return nil
	}
	return d
}

// variadic completes d as a broadcasting reduction over its inputs; finish,
// if any, ends it with the number of inputs.
func variadic(d *Def, float func(a, b float64) float64, signed func(a, b int64) int64,
	unsigned func(a, b uint64) uint64, finish func(v float64, n int) float64) *Def {
	d.Flags |= Elementwise
	d.Infer = inferVariadic
	d.Eval = func(e *Eval) error {
		in := e.Tensors(0)
		shapes := make([][]int, len(in))
		for i, t := range in {
			shapes[i] = t.Shape
		}
		shape, err := tensor.Broadcast(shapes...)
		if err != nil {
			return err
		}
		typ := in[0].Type
		if err := e.Fits(tensor.Float64, shape); err != nil {
			return err
		}
		if !typ.IsFloat() {
			f := signed
			if !typ.IsSigned() {
				f = func(x, y int64) int64 { return int64(unsigned(uint64(x), uint64(y))) }
			}
			e.Set(0, tensor.FromInts(typ, shape, fold(shape, shapes, in, (*tensor.Tensor).Ints, f)))
			return nil
		}
		v := fold(shape, shapes, in, (*tensor.Tensor).Floats, float)
		for i := range v {
			if finish != nil {
				v[i] = finish(v[i], len(in))
			}
		}
		e.Set(0, tensor.FromFloats(typ, shape, v))
		return nil
	}
	return d
}

// fold combines the broadcast elements of all inputs from left to right.
func fold[T any](shape []int, shapes [][]int, in []*tensor.Tensor, elems func(*tensor.Tensor) []T, f func(a, b T) T) []T {
	n, _ := tensor.Count(shape)
	out, values := make([]T, n), make([][]T, len(in))
	for i, t := range in {
		values[i] = elems(t)
	}
	EachBroadcast(shape, shapes, func(o int, at []int) {
		acc := values[0][at[0]]
		for k := 1; k < len(values); k++ {
			acc = f(acc, values[k][at[k]])
		}
		out[o] = acc
	})
	return out
}

func inferVariadic(f *Infer) error {
	shapes := make([][]dim.Dim, len(f.In))
	for i := range f.In {
		s, ok := f.Shape(i)
		if !ok {
			return nil
		}
		shapes[i] = s
	}
	shape, err := BroadcastDims(shapes...)
	if err != nil {
		return err
	}
	f.Set(0, shape...)
	return nil
}

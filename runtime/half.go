package runtime

import (
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// A value of type float16 is held as float32: exactly the numbers that float16 has. So
// fast paths of float32 serve both; what computes numbers has its result rounded to float16,
// node by node, as the standard has it. Inputs, outputs, observed values and
// what is evaluated by its definition are converted at the edges.

// halfPaths is the fast paths that take float16 so, and whether they compute numbers that
// have to be rounded.
var halfPaths = map[string]bool{
	"conv": true, "conv-volume": true, "conv-transpose": true, "gemm": true, "pool": true, "global-pool": true, "softmax": true, "layer-norm": true,
	"batch-norm": true, "instance-norm": true, "reduce": true, "recurrent": true, "resize": true, "binary": true, "function": true, "square": true, "einsum": true,
	"view": false, "expand": false, "cast": false, "transpose": false, "concat": false, "split": false, "slice": false, "pad": false, "gather": false,
}

// wide reports that v is of type float16, and held as float32.
func (l *lowerer) wide(v *graph.Value) bool {
	if v == nil || l.s.opts.Reference {
		return false
	}
	if c := v.Const(); c != nil {
		return c.Type == tensor.Float16
	}
	t := l.s.types().Type(v)
	return t.Kind == graph.TensorKind && t.Elem == tensor.Float16
}

// roundsLater reports that it makes no difference whether v is rounded before or
// after the function that takes it: it is not float16, or the function is
// monotone and gives its argument or a bound.
func (l *lowerer) roundsLater(v *graph.Value) bool {
	if !l.wide(v) {
		return true
	}
	for _, u := range v.Uses() {
		if !u.Node.Is("Relu", "Clip") {
			return false
		}
	}
	return true
}

// round has a fast path round its results.
func (l *lowerer) round(f *lowered) {
	run, wide := f.run, l.areWide(f.out)
	f.run = func(fr *frame, in []tensor.Value) ([]tensor.Value, error) {
		out, err := run(fr, in)
		if err != nil {
			return nil, err
		}
		for i := range wide {
			if t, ok := out[i].(*tensor.Tensor); ok && wide[i] {
				roundHalf(fr, tensor.View[float32](t), tensor.View[float32](t))
			}
		}
		return out, nil
	}
}

func roundHalf(f *frame, y, x []float32) {
	f.chunks(len(y), func(from, to int) { kernel.Function{Kind: kernel.Half}.Apply(y[from:to], x[from:to]) })
}

// held is t, the constant value of v, as it is held.
func (l *lowerer) held(v *graph.Value, t *tensor.Tensor) *tensor.Tensor {
	if t.Type != tensor.Float16 || !l.wide(v) {
		return t
	}
	w, ok := l.s.widened[v]
	if !ok {
		w = widened(t).(*tensor.Tensor)
		l.s.widened[v] = w
	}
	return w
}

// widened is x, if it is float16, as float32.
func widened(x tensor.Value) tensor.Value {
	t, ok := x.(*tensor.Tensor)
	if !ok || t.Type != tensor.Float16 {
		return x
	}
	w := tensor.New(tensor.Float32, t.Shape...)
	kernel.Widen(tensor.View[float32](w), tensor.View[uint16](t))
	return w
}

// narrowed is x, if it is float32, as float16.
func narrowed(x tensor.Value) tensor.Value {
	t, ok := x.(*tensor.Tensor)
	if !ok || t.Type != tensor.Float32 {
		return x
	}
	h := tensor.New(tensor.Float16, t.Shape...)
	kernel.Narrow(tensor.View[uint16](h), t.Float32s())
	return h
}

// evaluates has a step that evaluates its node by its definition convert what
// is held otherwise.
func (l *lowerer) evaluates(st *step) {
	ins, outs := l.areWide(st.node.Inputs()), l.areWide(st.node.Outputs())
	if ins == nil && outs == nil || st.run == nil {
		return
	}
	run := st.run
	st.run = func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		out, err := run(f, converted(in, ins, narrowed))
		if err != nil {
			return nil, err
		}
		return converted(out, outs, widened), nil
	}
}

// converted is the values with those of which which says so converted.
func converted(values []tensor.Value, which []bool, convert func(tensor.Value) tensor.Value) []tensor.Value {
	if which == nil {
		return values
	}
	values = slices.Clone(values)
	for i, v := range values {
		if i < len(which) && which[i] && v != nil {
			values[i] = convert(v)
		}
	}
	return values
}

// areWide is wide of each value, nil if none is.
func (l *lowerer) areWide(values []*graph.Value) []bool {
	var wide []bool
	for i, v := range values {
		if l.wide(v) {
			if wide == nil {
				wide = make([]bool, len(values))
			}
			wide[i] = true
		}
	}
	return wide
}

// input is the slot that takes an input of the graph.
func (b *builder) input(v *graph.Value) int {
	if !b.l.wide(v) {
		return b.slotFor(v)
	}
	from := b.newSlot()
	if v.Data != nil { // the default
		if t, err := stored(v.Data); err == nil {
			b.consts = append(b.consts, binding{from, t})
		}
	}
	st := step{path: "layout", replay: &replay{}, ins: []int{from}, outs: []int{b.slotFor(v)}}
	st.run = func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		t, ok := in[0].(*tensor.Tensor)
		if !ok || t.Type != tensor.Float16 {
			return nil, fmt.Errorf("input %s is not of type float16", v.Name)
		}
		out, y := f.floats(t.Shape...)
		x := tensor.View[uint16](t)
		f.chunks(len(x), func(from, to int) { kernel.Widen(y[from:to], x[from:to]) })
		return f.one(out)
	}
	b.add(st, nil)
	return from
}

// output is the slot that holds an output of the graph in the end.
func (b *builder) output(v *graph.Value) int {
	from := b.plain(v)
	if !b.l.wide(v) {
		return from
	}
	st := step{node: v.Def(), path: "layout", replay: &replay{}, ins: []int{from}, outs: []int{b.newSlot()}}
	st.run = func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		t, ok := in[0].(*tensor.Tensor)
		if !ok || t.Type != tensor.Float32 {
			return nil, fmt.Errorf("output %s is not of type float16", v.Name)
		}
		out := f.new(tensor.Float16, t.Shape...)
		x, y := t.Float32s(), tensor.View[uint16](out)
		f.chunks(len(x), func(from, to int) { kernel.Narrow(y[from:to], x[from:to]) })
		return f.one(out)
	}
	b.add(st, nil)
	return st.outs[0]
}

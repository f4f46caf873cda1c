package encode

import (
	"cmp"
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

const (
	floatType = int64(tensor.Float32)
	int32Type = int64(tensor.Int32)
)

// emitter writes decoders before the first node. Constants that are alike are
// written once.
type emitter struct {
	c      *pass.Context
	g      *graph.Graph
	at     *graph.Node
	consts map[string]*graph.Value
}

// add makes a node of one output. Arguments are inputs, then attributes.
func (e *emitter) add(op string, args ...any) *graph.Value {
	var in []*graph.Value
	var attrs []*graph.Attr
	for _, a := range args {
		switch a := a.(type) {
		case *graph.Value:
			in = append(in, a)
		case *graph.Attr:
			attrs = append(attrs, a)
		}
	}
	return e.g.Add(e.at, op, "d", in, attrs...)
}

// constant is an initializer; small integers take fewest bytes as varints.
func (e *emitter) constant(t *tensor.Tensor, layout graph.Layout) *graph.Value {
	key := fmt.Sprint(t.Type, t.Shape, string(t.Bytes()))
	if v := e.consts[key]; v != nil {
		return v
	}
	v := e.g.AddInitializer("d", &graph.Data{Tensor: t, Layout: layout})
	if e.consts == nil {
		e.consts = map[string]*graph.Value{}
	}
	e.consts[key] = v
	return v
}

// ints is an int64 vector.
func (e *emitter) ints(v ...int) *graph.Value {
	wide := make([]int64, len(v))
	for i, x := range v {
		wide[i] = int64(x)
	}
	layout := graph.Typed
	if slices.Min(wide) < 0 && len(wide) == 1 { // ten bytes as a varint
		layout = graph.Raw
	}
	return e.constant(tensor.Of([]int{len(v)}, wide), layout)
}

// axis is the first axis, as CumSum wants it.
func (e *emitter) axis() *graph.Value {
	return e.constant(tensor.Scalar(int32(0)), graph.Typed)
}

// int32s is an int32 vector, a scalar for one element.
func (e *emitter) int32s(v ...int) *graph.Value {
	t := int32sOf(v)
	if len(v) == 1 {
		t = t.Reshaped()
	}
	return e.constant(t, graph.Typed)
}

// float32 is a scalar.
func (e *emitter) float32(v float32) *graph.Value { return e.constant(tensor.Scalar(v), graph.Raw) }

// filled is a vector of n times the one element of v.
func (e *emitter) filled(v *tensor.Tensor, n int) *graph.Value {
	return e.add("ConstantOfShape", e.ints(n), graph.TensorAttr("value", v))
}

func (e *emitter) int32Column(v ...int) *graph.Value {
	return e.constant(int32sOf(v).Reshaped(len(v), 1), graph.Typed)
}

func int32sOf(v []int) *tensor.Tensor {
	out := make([]int32, len(v))
	for i, x := range v {
		out[i] = int32(x)
	}
	return tensor.Of([]int{len(v)}, out)
}

func (e *emitter) floats(v []float32) *graph.Value {
	return e.constant(tensor.Of([]int{len(v)}, v), graph.Raw)
}

func (e *emitter) column(v []float32) *graph.Value {
	return e.constant(tensor.Of([]int{len(v), 1}, v), graph.Raw)
}

// bytes is a column of bytes, which broadcasts against the bits in a row.
func (e *emitter) bytes(b []uint8) *graph.Value {
	return e.constant(tensor.Of([]int{len(b), 1}, b), graph.Raw)
}

// split cuts a vector into parts of some sizes.
func (e *emitter) split(v *graph.Value, sizes []int) []*graph.Value {
	if len(sizes) == 1 {
		return []*graph.Value{v}
	}
	names := make([]string, len(sizes))
	for i := range names {
		names[i] = e.g.Fresh("d")
	}
	n := e.g.NewNode("Split", []*graph.Value{v, e.ints(sizes...)}, names)
	e.g.InsertBefore(e.at, n)
	return n.Outputs()
}

// replace makes all readers of an initializer read its decoded form.
func (e *emitter) replace(v, decoded *graph.Value, format string, args ...any) {
	v.ReplaceNodeUses(decoded)
	e.c.ChangedValue(v, format, args...)
	if !v.IsInput() {
		e.g.RemoveInitializer(v)
	}
}

// steps writes tensors of multiples of one step as int8, together where they
// can share the step.
func (e *emitter) steps(all []*stepped) {
	slices.SortStableFunc(all, func(a, b *stepped) int { return cmp.Compare(a.step, b.step) })
	for len(all) > 0 {
		group := []*stepped{all[0]}
		var rest []*stepped
		for _, s := range all[1:] {
			if same := s.scaled(all[0].step); same != nil {
				group = append(group, same)
			} else {
				rest = append(rest, s)
			}
		}
		e.step(group)
		all = rest
	}
}

// stepBytes is about what the decoder of a group takes, and each tensor in it.
const (
	stepBytes = 80
	stepEach  = 20
)

func (e *emitter) step(group []*stepped) {
	var all []int8
	sizes := make([]int, len(group))
	for i, s := range group {
		sizes[i] = len(s.k)
		for _, k := range s.k {
			all = append(all, int8(k))
		}
	}
	if 3*len(all) < stepBytes+stepEach*len(group) || !e.c.Allow() {
		return
	}
	codes := e.constant(tensor.Of([]int{len(all)}, all), graph.Raw)
	scale := e.float32(group[0].step)
	flat := e.add("Mul", e.add("Cast", codes, graph.Int("to", floatType)), scale)
	for i, part := range e.split(flat, sizes) {
		s := group[i]
		if shape := s.v.Const().Shape; len(shape) != 1 {
			part = e.add("Reshape", part, e.ints(shape...))
		}
		e.replace(s.v, part, "int8 multiples of %g", s.step)
	}
}

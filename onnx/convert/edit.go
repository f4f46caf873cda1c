package convert

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// attr is an attribute, nil if absent. One that a function's caller gives
// cannot be read: the step fails.
func (s *step) attr(n *graph.Node, name string) *graph.Attr {
	a := n.Attr(name)
	if a != nil && a.Ref != "" {
		s.err = fmt.Errorf("attribute %s is given by the caller of the function", name)
		return nil
	}
	return a
}

func (s *step) int(n *graph.Node, name string, def int64) int64 {
	if a := s.attr(n, name); a != nil {
		return a.I
	}
	return def
}

func (s *step) float(n *graph.Node, name string, def float32) float32 {
	if a := s.attr(n, name); a != nil {
		return a.F
	}
	return def
}

func (s *step) str(n *graph.Node, name, def string) string {
	if a := s.attr(n, name); a != nil {
		return a.S
	}
	return def
}

// constant is a new constant that can be read at n.
func (s *step) constant(n *graph.Node, name string, t *tensor.Tensor) *graph.Value {
	g := n.Graph()
	base := outName(n) + "_" + name
	switch {
	case s.initializers():
		return g.AddInitializer(base, &graph.Data{Tensor: t})
	case s.to < 9 && !t.Type.IsFloat():
		return s.floatConstant(n, t)
	}
	return g.Add(n, "Constant", base, nil, graph.TensorAttr("value", t))
}

// initializers reports that constants can be initializers: functions have
// none, and before IR version 4 they were graph inputs.
func (s *step) initializers() bool { return s.function == nil && s.model.IRVersion >= 4 }

// floatConstant is t as a double Constant and a Cast: before opset 9, Constant
// made only floats.
func (s *step) floatConstant(n *graph.Node, t *tensor.Tensor) *graph.Value {
	if t.Type == tensor.String || t.Type.IsComplex() {
		s.err = fmt.Errorf("a constant of type %v", t)
		return nil
	}
	if t.Type.IsInt() && slices.ContainsFunc(t.Ints(), func(x int64) bool { return x > 1<<53 || x < -1<<53 }) {
		s.err = fmt.Errorf("a constant beyond 2^53")
	}
	v := t.Floats()
	if t.Type == tensor.Bool {
		v = make([]float64, t.Len())
		for i, b := range t.Bools() {
			if b {
				v[i] = 1
			}
		}
	}
	wide := tensor.FromFloats(tensor.Float64, t.Shape, v)
	return s.cast(n, s.add(n, "Constant", nil, graph.TensorAttr("value", wide)), t.Type)
}

// cast inserts a Cast in the way of the opset.
func (s *step) cast(n *graph.Node, v *graph.Value, t tensor.DType) *graph.Value {
	c := s.add(n, "Cast", []*graph.Value{v}, graph.Int("to", int64(t)))
	if s.to < 6 {
		_ = castToName(s, c.Def())
	}
	return c
}

func (s *step) ints(n *graph.Node, name string, v ...int64) *graph.Value {
	return s.constant(n, name, tensor.Vector(v...))
}

// scalar is a constant of the element type of v.
func (s *step) scalar(n *graph.Node, name string, v *graph.Value, x float64) (*graph.Value, error) {
	t := s.info.Type(v).Elem
	if !t.IsFloat() && !t.IsInt() {
		return nil, fmt.Errorf("the element type of %s is not known", v)
	}
	return s.constant(n, name, tensor.FromFloats(t, nil, []float64{x})), nil
}

// add inserts a node before n and returns its output.
func (s *step) add(n *graph.Node, op string, in []*graph.Value, attrs ...*graph.Attr) *graph.Value {
	s.added = true
	return n.Graph().Add(n, op, outName(n)+"_"+op, in, attrs...)
}

// copyOf inserts a copy of n before it, with other inputs, outputs of fresh
// names and more attributes, or others of the same names.
func (s *step) copyOf(n *graph.Node, in []*graph.Value, attrs ...*graph.Attr) *graph.Node {
	s.added = true
	g := n.Graph()
	names := make([]string, len(n.Outputs()))
	for i, v := range n.Outputs() {
		if v != nil {
			names[i] = g.Fresh(v.Name + "_" + n.Op)
		}
	}
	c := g.NewNode(n.Op, in, names)
	for _, a := range append(slices.Clone(n.Attrs), attrs...) {
		b := a.Clone()
		if a.G != nil {
			b.G = g.CloneSubgraph(a.G, map[*graph.Value]*graph.Value{})
		}
		c.SetAttr(b)
	}
	g.InsertBefore(n, c)
	return c
}

func outName(n *graph.Node) string {
	for _, v := range n.Outputs() {
		if v != nil {
			return v.Name
		}
	}
	return n.Op
}

// replace puts values in the place of the outputs of n, which goes away. Nil
// stands for outputs that nothing reads.
func (s *step) replace(n *graph.Node, values ...*graph.Value) error {
	s.added = true
	name := n.Name
	for i, v := range values {
		old := n.Out(i)
		if old == nil || v == nil {
			continue
		}
		v.Type = old.Type
		if !old.Supersede(v) {
			return fmt.Errorf("output %s cannot be replaced", old.Name)
		}
	}
	in := slices.Clone(n.Inputs())
	n.Graph().Remove(n)
	for _, v := range in {
		s.release(v)
	}
	if values[0] != nil {
		values[0].Def().Name = name
	}
	return nil
}

// drop makes input i of n absent.
func (s *step) drop(n *graph.Node, i int) {
	v := n.In(i)
	if v == nil {
		return
	}
	n.SetIn(i, nil)
	n.SetInputs(slices.Clone(n.Inputs())...)
	s.release(v)
}

// become makes the only output of n the constant t.
func (s *step) become(n *graph.Node, t *tensor.Tensor) error {
	switch v := n.Out(0); {
	case s.to >= 9 || t.Type.IsFloat():
		return s.replace(n, s.add(n, "Constant", nil, graph.TensorAttr("value", t)))
	case s.initializers() && !v.IsOutput():
		s.added = true
		w := n.Graph().AddInitializer(v.Name, &graph.Data{Tensor: t})
		v.ReplaceNodeUses(w)
		v.Name, w.Name = w.Name, v.Name
		in := slices.Clone(n.Inputs())
		n.Graph().Remove(n)
		for _, x := range in {
			s.release(x)
		}
		return nil
	}
	v := s.floatConstant(n, t)
	if s.err != nil {
		return s.err
	}
	return s.replace(n, v)
}

// release removes a constant that nothing reads.
func (s *step) release(v *graph.Value) {
	switch {
	case v == nil || len(v.Uses()) > 0 || !v.Live():
	case v.Def() != nil && v.Def().Is("Constant"):
		v.Graph().Remove(v.Def())
	case v.Const() != nil:
		v.Graph().RemoveInitializer(v)
	}
}

// constInts is the content of an integer input that is known; ok is false if
// it is not, and the list nil if the input is absent.
func (s *step) constInts(n *graph.Node, i int) (list []int64, ok bool) {
	v := n.In(i)
	if v == nil {
		return nil, true
	}
	switch t := s.value(v); {
	case t == nil:
		return nil, false
	case t.Type.IsInt():
		return t.Ints(), true
	case t.Type.IsFloat(): // Split of opset 1
		for _, x := range t.Floats() {
			list = append(list, int64(x))
		}
		return list, true
	}
	return nil, false
}

// value is the tensor of a constant, nil if it is computed at run time.
func (s *step) value(v *graph.Value) *tensor.Tensor {
	if v == nil {
		return nil
	}
	if t := s.info.Const(v); t != nil {
		return t
	}
	if s.fixed && v.Data != nil {
		return v.Data.Tensor
	}
	if d := v.Def(); d != nil && d.Is("Constant") {
		if a := d.Attr("value"); a != nil && a.T != nil {
			return a.T.Tensor
		}
	}
	return nil
}

func (s *step) shape(v *graph.Value) ([]dim.Dim, error) {
	t := s.info.Type(v)
	if !t.Ranked {
		return nil, fmt.Errorf("the rank of %s is not known", v)
	}
	return t.Shape, nil
}

func (s *step) rank(v *graph.Value) (int, error) {
	d, err := s.shape(v)
	return len(d), err
}

// used reports that something reads output i of n.
func used(n *graph.Node, i int) bool { return n.Out(i) != nil && len(n.Out(i).Uses()) > 0 }

// positive makes negative axes count from the front.
func positive(axes []int64, rank int) []int64 {
	out := slices.Clone(axes)
	for i, a := range out {
		if a < 0 {
			out[i] = a + int64(rank)
		}
	}
	return out
}

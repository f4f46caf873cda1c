// Package rewrite is how passes change graphs locally: an editor that keeps
// inferred types up to date and leaves no dead nodes behind, and rules that are
// written as small ONNX texts.
package rewrite

import (
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// Editor changes one model for one pass.
type Editor struct {
	*pass.Context
	Model *graph.Model
	Shape *shape.Info
	stale bool // types of readers could be inferred better
}

// Local is a rewrite of one node of the given operators: it changes the graph
// around n through e, asking Allow before each change, and returns.
type Local struct {
	Ops   []string // operators of the standard domain
	Apply func(e *Editor, n *graph.Node)
}

// Run tries every rule at every node of m, in subgraphs too. New nodes behind
// the present one are visited as well.
func Run(c *pass.Context, m *graph.Model, rules []Local) {
	e := &Editor{Context: c, Model: m, Shape: c.Shapes()}
	byOp := map[string][]Local{}
	for _, r := range rules {
		for _, o := range r.Ops {
			byOp[o] = append(byOp[o], r)
		}
	}
	for n := range m.Graph.All() {
		if graph.CanonicalDomain(n.Domain) != "" {
			continue
		}
		for _, r := range byOp[n.Op] {
			if n.Graph() == nil {
				break
			}
			r.Apply(e, n)
		}
	}
	if e.stale {
		e.Shape = nil
	}
	c.KeepShapes(e.Shape)
}

// Opset is the version of the standard domain.
func (e *Editor) Opset() int64 { return e.Model.Opset("") }

// Attrs reads the attributes of n with their defaults; nil for an operator
// that is not known.
func (e *Editor) Attrs(n *graph.Node) *op.Attrs {
	r, err := op.Resolve(n, e.Model.Opset)
	if err != nil {
		return nil
	}
	return &op.Attrs{Node: n, Since: r.Since, Schema: r.Schema}
}

// Type is the inferred type of v.
func (e *Editor) Type(v *graph.Value) graph.Type { return e.Shape.Type(v) }

// Rank is the inferred rank of v, -1 if unknown.
func (e *Editor) Rank(v *graph.Value) int { return e.Shape.Type(v).Rank() }

// Add makes a node before at and infers its type.
func (e *Editor) Add(at *graph.Node, name string, in []*graph.Value, attrs ...*graph.Attr) *graph.Value {
	v := at.Graph().Add(at, name, at.Out(0).Name, in, attrs...)
	e.Shape.Update(v.Def())
	return v
}

// Ints is a new integer constant of rank 1 in the graph of at.
func (e *Editor) Ints(at *graph.Node, v ...int64) *graph.Value {
	return e.Const(at, tensor.Vector(v...))
}

// Const is a new constant in the graph of at.
func (e *Editor) Const(at *graph.Node, t *tensor.Tensor) *graph.Value {
	return at.Graph().AddInitializer("c", &graph.Data{Tensor: t})
}

// Replace makes v stand for old, which the node n computes, records why, and
// removes what nothing reads any more. If v is new it takes old's name. It
// reports whether that was possible; then v, if new, is gone again.
func (e *Editor) Replace(n *graph.Node, old, v *graph.Value, format string, args ...any) bool {
	ok, more := false, e.Shape.KnowsMore(v, old)
	if v.Def() != nil && len(v.Uses()) == 0 {
		ok = old.Supersede(v)
	} else {
		ok = old.ReplaceAll(v)
	}
	if !ok {
		if v.Def() != nil {
			e.Drop(v.Def())
		}
		return false
	}
	e.stale = e.stale || more
	e.Changed(n, format, args...)
	e.KeepShapes(e.Shape)
	e.Drop(n)
	return true
}

// Drop removes n, and what it alone read, if nothing reads it. Operators that
// are not known stay.
func (e *Editor) Drop(n *graph.Node) {
	if n.Graph() == nil || e.Attrs(n) == nil {
		return
	}
	for _, v := range n.Outputs() {
		if v != nil && len(v.Uses()) > 0 {
			return
		}
	}
	in := slices.Clone(n.Inputs())
	n.Graph().Remove(n)
	for _, v := range in {
		if v != nil && v.Def() != nil {
			e.Drop(v.Def())
		}
	}
}

// CloneAttrs is copies of attributes, without those of the given names.
func CloneAttrs(attrs []*graph.Attr, without ...string) []*graph.Attr {
	var out []*graph.Attr
	for _, a := range attrs {
		if !slices.Contains(without, a.Name) {
			out = append(out, a.Clone())
		}
	}
	return out
}

// Alone is the node that computes v for one reader only, if it is one of ops.
func Alone(v *graph.Value, ops ...string) *graph.Node {
	if v == nil || v.Def() == nil || v.Only() == nil || !v.Def().Is(ops...) {
		return nil
	}
	return v.Def()
}

// Axes is the constant axes of n: attribute or, from version since on, input
// slot; sorted or not, as given, not negative. False if unknown.
func (e *Editor) Axes(n *graph.Node, slot, rank int) ([]int, bool) {
	var axes []int
	if a := n.Attr("axes"); a != nil {
		for _, x := range a.Ints {
			axes = append(axes, int(x))
		}
	} else if v := n.In(slot); v != nil {
		t := e.Shape.Const(v)
		if t == nil {
			return nil, false
		}
		for _, x := range t.Ints() {
			axes = append(axes, int(x))
		}
	} else {
		return nil, true
	}
	for i, x := range axes {
		k, ok := op.Axis(x, rank)
		if !ok {
			return nil, false
		}
		axes[i] = k
	}
	return axes, true
}

// Uniform is the value of a constant whose elements are all equal.
func Uniform(t *tensor.Tensor) (float64, bool) {
	if t == nil || t.Len() == 0 || t.Type == tensor.String || t.Type.IsComplex() {
		return 0, false
	}
	if t.Len() > 1 {
		if t.Len() > 4096 || t.Type == tensor.Undefined {
			return 0, false
		}
	}
	v := t.Floats()
	for _, x := range v[1:] {
		if x != v[0] {
			return 0, false
		}
	}
	return v[0], true
}

// Near reports that a constant of element type d stands for want: equal after
// rounding to d or to 1e-6.
func Near(d tensor.DType, got, want float64) bool {
	if math.Abs(got-want) <= 1e-6*math.Abs(want) {
		return true
	}
	return d.IsFloat() && tensor.FromFloats(d, nil, []float64{want}).Floats()[0] == got
}

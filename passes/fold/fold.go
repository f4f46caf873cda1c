// Package fold computes at compile time what does not depend on inputs.
package fold

import (
	"cmp"
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// Constants replaces the results of constant expressions, and of shape
// computations that inference knows, by initializers, in subgraphs too. Only
// values that something else reads are stored, so intermediate results cost
// nothing.
var Constants = pass.Pass{
	Name:  "constant-folding",
	Doc:   "compute constant expressions and known shapes, within a size limit",
	Group: "simplify",
	Gives: pass.Folded,
	Run: func(c *pass.Context, m *graph.Model) error {
		f := &folder{c: c, m: m, shapes: c.Shapes(), room: c.Room(), values: map[*graph.Value]*tensor.Tensor{}, unpacked: map[*graph.Value]*tensor.Tensor{}}
		f.evaluate(m.Graph)
		f.store(m.Graph)
		c.KeepShapes(f.shapes)
		return nil
	},
}

const (
	// maxFold is the default of Settings.MaxFold.
	maxFold = 4 << 20
	// nodeBytes is about what a node takes in a file beside its names.
	nodeBytes = 32
	// maxSteps bounds the iterations of one constant loop, maxNodes the nodes
	// that all constant loops together evaluate.
	maxSteps, maxNodes = 1000, 100000
)

// foldedName is what folded constants are called, with a number: the names of
// the computations that they replace mean nothing any more, and cost space.
const foldedName = "c"

type folder struct {
	c        *pass.Context
	m        *graph.Model
	shapes   *shape.Info
	values   map[*graph.Value]*tensor.Tensor // results of constant nodes
	unpacked map[*graph.Value]*tensor.Tensor // floats made of weights in fewer bits; nil where there are many
	room     int                             // bytes by which the model may grow
	nodes    int                             // evaluated in constant loops
}

// constant is the value of v if it is an initializer or evaluated.
func (f *folder) constant(v *graph.Value) *tensor.Tensor {
	return cmp.Or(v.Const(), f.values[v], f.unpacked[v])
}

// evaluate fills in values for g and its subgraphs.
func (f *folder) evaluate(g *graph.Graph) {
	for n := range g.Nodes() {
		out, reason := f.fold(n)
		if reason != "" {
			f.c.Kept(n, "%s", reason)
		}
		for i, t := range out {
			if v := n.Out(i); v != nil && t != nil {
				f.values[v] = t
			}
		}
		if out == nil {
			for sub := range n.Subgraphs() {
				f.evaluate(sub)
			}
		}
	}
}

// fold is the constant outputs of n, or why there are none; no reason is given
// for nodes that depend on inputs.
func (f *folder) fold(n *graph.Node) ([]*tensor.Tensor, string) {
	unpacks := f.unpacks(n)
	if graph.CanonicalDomain(n.Domain) == "" && len(n.Outputs()) == 1 && n.Out(0) != nil && !n.Is("Constant") {
		if known := f.shapes.Const(n.Out(0)); known != nil && !(known.Type.IsFloat() && unpacks) {
			return []*tensor.Tensor{known}, ""
		}
	}
	r, err := op.Resolve(n, f.m.Opset)
	if err != nil || r.Flags&op.Random != 0 || r.Eval == nil {
		return nil, ""
	}
	in, given, largest := make([]tensor.Value, len(n.Inputs())), 0, 0
	for i, v := range n.Inputs() {
		if v == nil {
			continue
		}
		t := f.constant(v)
		if t == nil {
			return nil, ""
		}
		in[i] = t
		given, largest = given+len(t.Bytes()), max(largest, t.Len())
	}
	if unpacks && largest > shape.MaxConst {
		return nil, ""
	}
	env := op.Env{Context: f.c, MaxBytes: f.limit(n, given), MaxSteps: maxSteps}
	if r.Flags&op.Control != 0 {
		if !f.closed(n) {
			return nil, ""
		}
		scope := &scope{f, map[*graph.Value]tensor.Value{}, &env}
		env.Run = scope.run
	}
	out, err := r.Run(n, &env, in)
	switch {
	case unpacks && err == nil:
		f.unpacked[n.Out(0)] = tensors(out)[0]
		return nil, ""
	case err != nil:
		return nil, fmt.Sprintf("constant, but not folded: %v", err)
	}
	return tensors(out), ""
}

// unpacks reports that n makes floats of what is stored in fewer bits, which is
// how it stays, or moves such floats. What reads few of them can be folded, as
// where inference computes them.
func (f *folder) unpacks(n *graph.Node) bool {
	moves := n.Is("Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity")
	_, moved := f.unpacked[n.In(0)]
	yes := n.Is("DequantizeLinear") || moves && moved
	if yes {
		f.unpacked[n.Out(0)] = nil
	}
	return yes
}

// limit is the largest result of n in bytes. Constant nodes only move.
func (f *folder) limit(n *graph.Node, given int) int {
	if n.Is("Constant") {
		return op.DefaultMaxBytes
	}
	most := f.c.Settings.MaxFold
	if most == 0 {
		most = maxFold
	}
	return max(most, given) + nodeBytes
}

// tensors is out if all of it are tensors, else nil.
func tensors(out []tensor.Value) []*tensor.Tensor {
	list := make([]*tensor.Tensor, len(out))
	for i, v := range out {
		if v == nil {
			continue
		}
		t, ok := v.(*tensor.Tensor)
		if !ok {
			return nil
		}
		list[i] = t
	}
	return list
}

// store replaces the evaluated values that something else reads, and removes
// their nodes where nothing reads them any more.
func (f *folder) store(g *graph.Graph) {
	for n := range g.Nodes() {
		for i, v := range n.Outputs() {
			if t := f.values[v]; t != nil && f.needed(v) {
				f.replace(n, i, v, t)
			}
		}
		if n.Graph() != nil {
			for sub := range n.Subgraphs() {
				f.store(sub)
			}
		}
	}
	for n := range g.Backward() {
		if f.unread(n) {
			g.Remove(n)
		}
	}
}

// needed reports that v is read by something that is not folded itself.
func (f *folder) needed(v *graph.Value) bool {
	for _, u := range v.Uses() {
		if u.Node == nil || f.values[first(u.Node)] == nil {
			return true
		}
	}
	return false
}

// unread reports a node whose results are all folded and read by nothing.
func (f *folder) unread(n *graph.Node) bool {
	if f.values[first(n)] == nil {
		return false
	}
	for _, v := range n.Outputs() {
		if v != nil && len(v.Uses()) > 0 {
			return false
		}
	}
	return true
}

func first(n *graph.Node) *graph.Value {
	for _, v := range n.Outputs() {
		if v != nil {
			return v
		}
	}
	return nil
}

func (f *folder) replace(n *graph.Node, i int, v *graph.Value, t *tensor.Tensor) {
	if v.IsOutput() && n.Is("Constant") {
		return
	}
	freed := f.freed(n)
	cost := len(t.Bytes()) - freed
	var rows *rows
	if cost > 0 && cost > f.room && f.c.Settings.MaxFold == 0 {
		if rows = distinctRows(t); rows == nil || n.Is("Gather") || v.IsOutput() || rows.bytes()-freed > f.room {
			f.c.Kept(n, "constant, but not folded: the model would grow by %d bytes", cost)
			return
		}
		cost = rows.bytes() - freed
	}
	if !f.c.Allow() {
		return
	}
	f.room -= cost
	g, data := n.Graph(), &graph.Data{Tensor: t}
	switch {
	case rows != nil:
		k := rows.add(g, n)
		f.shapes.Update(k.Def())
		v.Supersede(k)
		f.c.Changed(n, "folded to a constant, stored as %d distinct rows", rows.table.Shape[rows.axis])
		return
	case v.IsOutput():
		k := g.Add(n, "Constant", foldedName, nil, &graph.Attr{Name: "value", Kind: graph.AttrTensor, T: data})
		f.shapes.Update(k.Def())
		v.ReplaceAll(k)
		f.values[k] = t
	default:
		v.ReplaceAll(g.AddInitializer(foldedName, data))
	}
	f.c.Changed(n, "folded to a constant")
}

// freed is about how many bytes the model loses when nothing reads n any more:
// those of n, of the constant nodes that then have no reader either, and of
// the initializers that only these read.
func (f *folder) freed(n *graph.Node) int {
	dead := map[*graph.Node]bool{n: true}
	allDead := func(v *graph.Value) bool {
		return !slices.ContainsFunc(v.Uses(), func(u graph.Use) bool { return !dead[u.Node] })
	}
	var stored []*graph.Value
	for work := []*graph.Node{n}; len(work) > 0; {
		k := work[len(work)-1]
		work = work[:len(work)-1]
		for _, v := range k.Inputs() {
			switch {
			case v == nil:
			case v.Const() != nil:
				stored = append(stored, v)
			case v.Def() != nil && !dead[v.Def()] && f.values[v] != nil && allDead(v):
				dead[v.Def()] = true
				work = append(work, v.Def())
			}
		}
	}
	bytes := 0
	for k := range dead {
		bytes += nodeSize(k)
	}
	seen := map[*graph.Value]bool{}
	for _, v := range stored {
		if !seen[v] && allDead(v) {
			seen[v] = true
			bytes += len(v.Const().Bytes()) + len(v.Name)
		}
	}
	return bytes
}

// nodeSize is about how many bytes n takes in the file.
func nodeSize(n *graph.Node) int {
	bytes := nodeBytes + len(n.Name) + len(n.Doc)
	for _, p := range n.Metadata {
		bytes += len(p.Key) + len(p.Value)
	}
	for _, v := range n.Outputs() {
		if v != nil {
			bytes += len(v.Name)
		}
	}
	for _, a := range n.Attrs {
		if a.T != nil && a.T.Tensor != nil {
			bytes += len(a.T.Tensor.Bytes())
		}
	}
	return bytes
}

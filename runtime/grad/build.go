package grad

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime"
)

// builder makes a program.
type builder struct {
	*Program
	shapes map[*graph.Value]tensor.Value // what the example gave
	arrays map[*graph.Value]*array
	nodes  []*node
}

// node is a node to be run, with its operands. Absent operands are nil.
type node struct {
	op.Attrs
	op   op.Resolved
	rule *Rule
	pool *pool
	in   []*array
	out  []*array
	move *movement // of data movement
}

// Compile prepares m for inputs of the types and shapes of the example, which
// it runs once. Values that depend on neither inputs nor parameters, shape
// computations among them, are computed now and stay.
func Compile(m *graph.Model, example []tensor.Value, o Options) (*Program, error) {
	p := &Program{model: m, opts: o, pool: newPool(o.Threads)}
	b := &builder{Program: p, arrays: map[*graph.Value]*array{}}
	if err := b.build(example); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func (b *builder) build(example []tensor.Value) error {
	if err := b.trace(example); err != nil {
		return err
	}
	b.parameters()
	for i, v := range b.model.Graph.Inputs() {
		if v.Data != nil && (i >= len(example) || example[i] == nil) {
			b.inputs = append(b.inputs, b.arrays[v]) // keeps its default
			continue
		}
		a, err := b.newArray(example[i], false)
		if err != nil {
			return fmt.Errorf("input %s: %w", v.Name, err)
		}
		if a.typ != tensor.Float32 {
			a.moving = example[i].(*tensor.Tensor)
		}
		b.arrays[v] = a
		b.inputs = append(b.inputs, a)
	}
	live := b.live()
	for n := range b.model.Graph.Nodes() {
		if !live[n] {
			continue
		}
		if err := b.add(n); err != nil {
			return fmt.Errorf("node %s: %w", n.Title(), err)
		}
	}
	for _, v := range b.model.Graph.Outputs() {
		a := b.arrays[v]
		if a == nil || a.typ != tensor.Float32 {
			return fmt.Errorf("output %s is no float32 tensor", v.Name)
		}
		if a.static != nil {
			a.v = a.static.Float32s()
		}
		b.outputs = append(b.outputs, a)
	}
	return b.link()
}

// trace runs the example and keeps every value.
func (b *builder) trace(example []tensor.Value) error {
	b.shapes = map[*graph.Value]tensor.Value{}
	s, err := runtime.Compile(b.model, runtime.Options{Threads: b.opts.Threads,
		Observe: func(v *graph.Value, t tensor.Value) { b.shapes[v] = t }})
	if err != nil {
		return err
	}
	_, err = s.Run(context.Background(), example)
	return err
}

// parameters makes the arrays of the initializers.
func (b *builder) parameters() {
	chosen := b.opts.Params
	if chosen == nil && !b.opts.NoGradients {
		chosen = Weights(b.model)
	}
	for v := range b.model.Graph.Initializers() {
		t := v.Data.Tensor
		if t == nil {
			t, _ = v.Data.Sparse.Dense(op.DefaultMaxBytes) // trace has made it before
		}
		a := &array{shape: t.Shape, typ: t.Type, static: t, buffer: &buffer{}}
		if slices.Contains(chosen, v) && t.Type == tensor.Float32 {
			a.static = nil
			a.buffer = &buffer{v: slices.Clone(t.Float32s()), param: true, wants: !b.opts.NoGradients}
			b.Params = append(b.Params, &Param{Name: v.Name, Shape: t.Shape, Value: a.v, value: v})
		} else if t.Type == tensor.Float32 {
			a.v = t.Float32s()
		}
		b.arrays[v] = a
	}
}

// Weights is the float32 initializers of more than one element that training
// changes: all but the statistics of BatchNormalization.
func Weights(m *graph.Model) []*graph.Value {
	var out []*graph.Value
	for v := range m.Graph.Initializers() {
		t := v.Const()
		if t == nil || t.Type != tensor.Float32 || t.Len() < 2 {
			continue
		}
		if slices.ContainsFunc(v.Uses(), func(u graph.Use) bool {
			return u.Node != nil && u.Node.Is("BatchNormalization") && u.Index > 2
		}) {
			continue
		}
		out = append(out, v)
	}
	return out
}

// live is the nodes that the outputs depend on.
func (b *builder) live() map[*graph.Node]bool {
	need := map[*graph.Value]bool{}
	for _, v := range b.model.Graph.Outputs() {
		need[v] = true
	}
	live := map[*graph.Node]bool{}
	for n := range b.model.Graph.Backward() {
		if !slices.ContainsFunc(n.Outputs(), func(v *graph.Value) bool { return need[v] }) {
			continue
		}
		live[n] = true
		for _, v := range n.Inputs() {
			need[v] = true
		}
		n.Captures(func(v *graph.Value) { need[v] = true })
	}
	delete(need, nil)
	return live
}

func (b *builder) newArray(v tensor.Value, wants bool) (*array, error) {
	t, ok := v.(*tensor.Tensor)
	if !ok {
		return nil, errors.New("it is no tensor")
	}
	a := &array{shape: t.Shape, typ: t.Type, buffer: &buffer{wants: wants}}
	if t.Type == tensor.Float32 {
		a.v = make([]float32, t.Len())
	}
	return a, nil
}

// add makes the arrays of n's outputs and plans its step.
func (b *builder) add(n *graph.Node) error {
	if n.Captures(func(*graph.Value) {}); len(slices.Collect(n.Subgraphs())) > 0 {
		return fmt.Errorf("operators with subgraphs are not differentiated")
	}
	r, err := op.Resolve(n, b.model.Opset)
	if err != nil {
		return err
	}
	d := &node{Attrs: op.Attrs{Node: n, Since: r.Since, Schema: r.Schema}, op: r, rule: findRule(n), pool: b.pool}
	static, wants := r.Flags&op.Random == 0, false
	for _, v := range n.Inputs() {
		var a *array
		if v != nil {
			a = b.arrays[v]
			static = static && a.static != nil
			wants = wants || a.wants
		}
		d.in = append(d.in, a)
	}
	static = static || n.Is("Shape", "Size")
	for _, v := range n.Outputs() {
		var a *array
		if v != nil {
			out := b.shapes[v]
			if out == nil {
				return fmt.Errorf("output %s was not computed", v.Name)
			}
			float := false
			if t, ok := out.(*tensor.Tensor); ok {
				float = t.Type == tensor.Float32
			}
			if a, err = b.newArray(out, wants && float); err != nil {
				return err
			}
			if static {
				a.static = out.(*tensor.Tensor)
				a.buffer = &buffer{}
				if float {
					a.v = a.static.Float32s()
				}
			}
			b.arrays[v] = a
		}
		d.out = append(d.out, a)
	}
	if static {
		return nil
	}
	if d.rule == nil && slices.ContainsFunc(d.out, func(a *array) bool { return a != nil && a.wants }) {
		return fmt.Errorf("operator %s has no gradient rule", n.Op)
	}
	if d.rule != nil && d.rule.moves && d.float() {
		if err := d.planMove(); err != nil {
			return err
		}
	}
	b.nodes = append(b.nodes, d)
	return nil
}

// link decides who writes each gradient first, allocates gradients and
// compiles the steps.
func (b *builder) link() error {
	shared := &node{} // stands for the caller, who writes the outputs' gradients
	for _, a := range b.outputs {
		a.first = shared
	}
	for i := len(b.nodes) - 1; i >= 0; i-- {
		n := b.nodes[i]
		for k, a := range n.in {
			switch {
			case a == nil || n.aliases():
			case a.first == nil:
				a.first, a.firstIn = n, k
			case a.first == n: // read twice by one node
				a.first = shared
			}
		}
	}
	seen := map[*buffer]bool{}
	var wanted []*buffer
	note := func(a *array) {
		if a != nil && a.wants && !seen[a.buffer] {
			seen[a.buffer] = true
			a.g = make([]float32, len(a.v))
			wanted = append(wanted, a.buffer)
		}
	}
	for _, q := range b.Params {
		note(b.arrays[q.value])
		q.Grad = b.arrays[q.value].g
	}
	for _, n := range b.nodes {
		for _, a := range n.out {
			note(a)
		}
	}
	for _, n := range b.nodes {
		if n.aliases() {
			continue
		}
		st := step{node: n.Node}
		if n.rule == nil || !n.float() {
			st.forward = n.fallback()
		} else {
			if err := n.checkOutputs(); err != nil {
				return fmt.Errorf("node %s: %w", n.Node.Title(), err)
			}
			forward, backward, err := n.rule.make(n)
			if err != nil {
				return fmt.Errorf("node %s: %w", n.Node.Title(), err)
			}
			st.forward = func() error { forward(); return nil }
			if slices.ContainsFunc(n.in, func(a *array) bool { return a != nil && a.wants }) {
				st.backward = backward
			}
		}
		b.steps = append(b.steps, st)
	}
	given := map[*buffer]bool{}
	for _, a := range b.outputs {
		given[a.buffer] = true
		if a.g == nil && !b.opts.NoGradients {
			a.g = make([]float32, len(a.v))
		}
	}
	for _, w := range wanted {
		if !w.assigned && !given[w] {
			b.clears = append(b.clears, w.g)
		}
	}
	return nil
}

// float reports that the node computes float32.
func (n *node) float() bool {
	return !slices.ContainsFunc(n.out, func(a *array) bool { return a != nil && a.typ != tensor.Float32 })
}

// checkOutputs fails if something reads an output that the rule leaves out.
func (n *node) checkOutputs() error {
	for i, v := range n.Node.Outputs() {
		if i > 0 && !n.rule.all && v != nil && len(v.Uses()) > 0 {
			return fmt.Errorf("output %d of %s is not differentiated", i, n.Node.Op)
		}
	}
	return nil
}

// fallback runs the reference evaluation.
func (n *node) fallback() func() error {
	in := make([]tensor.Value, len(n.in))
	env := &op.Env{}
	return func() error {
		for i, a := range n.in {
			if a != nil {
				in[i] = a.value()
			}
		}
		out, err := n.op.Run(n.Node, env, in)
		if err != nil {
			return err
		}
		for i, a := range n.out {
			switch {
			case a == nil:
			case a.typ == tensor.Float32:
				copy(a.v, out[i].(*tensor.Tensor).Float32s())
			default:
				a.moving = out[i].(*tensor.Tensor)
			}
		}
		return nil
	}
}

// has reports that input i is given.
func (n *node) has(i int) bool { return i < len(n.in) && n.in[i] != nil }

// g is the gradient of input i, to be added to; nil if nobody wants it.
func (n *node) g(i int) []float32 {
	if !n.has(i) || !n.in[i].wants {
		return nil
	}
	return n.in[i].g
}

// sink is the gradient of input i and whether the rule must write every
// element of it (true) or add to it.
func (n *node) sink(i int) (g []float32, write bool) {
	if g = n.g(i); g == nil {
		return nil, false
	}
	if b := n.in[i].buffer; b.first == n && b.firstIn == i {
		b.assigned = true
		return g, true
	}
	return g, false
}

// constant is static input i.
func (n *node) constant(i int) (*tensor.Tensor, error) {
	if !n.has(i) {
		return nil, nil
	}
	if n.in[i].static == nil {
		return nil, fmt.Errorf("input %s is computed from the samples", n.op.Schema.InParam(i).Name)
	}
	return n.in[i].static, nil
}

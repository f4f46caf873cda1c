package runtime

import (
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
)

// builder assigns slots to the values of one graph.
type builder struct {
	*program
	slot map[*graph.Value]int
}

func (b *builder) slotFor(v *graph.Value) int {
	if v == nil {
		return -1
	}
	if i, ok := b.slot[v]; ok {
		return i
	}
	i := b.slots
	b.slots++
	b.slot[v] = i
	if v.Graph() != b.graph {
		b.captures = append(b.captures, capture{v, i})
	}
	return i
}

// compile makes the program of g and of the subgraphs below it. opset gives
// the imports in force.
func (s *Session) compile(g *graph.Graph, opset func(string) int64) (*program, error) {
	if s.depth++; s.depth > maxDepth {
		s.depth--
		return nil, fmt.Errorf("graphs and functions nest deeper than %d", maxDepth)
	}
	defer func() { s.depth-- }()
	b := &builder{&program{graph: g, opset: opset}, map[*graph.Value]int{}}
	for v := range g.Initializers() {
		t, err := stored(v.Data)
		if err != nil {
			return nil, fmt.Errorf("initializer %s: %w", v.Name, err)
		}
		b.consts = append(b.consts, binding{b.slotFor(v), t})
	}
	for _, v := range g.Inputs() {
		b.inputs = append(b.inputs, b.slotFor(v))
	}
	l := &lowerer{s, g, opset}
	for n := range g.Nodes() {
		st, err := s.compileNode(b, n)
		if err != nil {
			return nil, err
		}
		if f := l.lower(n); f != nil {
			st = b.fastStep(st, f)
		}
		b.steps = append(b.steps, st)
	}
	for _, v := range g.Outputs() {
		b.outputs = append(b.outputs, b.slotFor(v))
	}
	b.dropUnused(s)
	b.setFree()
	b.program.index = b.slot
	return b.program, nil
}

// stored is the run-time value of an initializer.
func stored(d *graph.Data) (tensor.Value, error) {
	if d.Tensor != nil {
		return d.Tensor, nil
	}
	return d.Sparse.Dense(op.DefaultMaxBytes)
}

func (p *program) slotOf(v *graph.Value) int { return p.index[v] }

func (s *Session) compileNode(b *builder, n *graph.Node) (step, error) {
	st := step{node: n}
	for _, v := range n.Inputs() {
		st.ins = append(st.ins, b.slotFor(v))
	}
	for _, v := range n.Outputs() {
		st.outs = append(st.outs, b.slotFor(v))
	}
	for g := range n.Subgraphs() {
		p, err := s.compile(g, b.opset)
		if err != nil {
			return st, fmt.Errorf("node %s: %w", n.Title(), err)
		}
		s.subs[g] = p
		for _, c := range p.captures { // keep captured values alive, and pass deeper captures through
			b.slotFor(c.value)
		}
	}
	if f := s.model.Function(n.Domain, n.Op, n.Overload); f != nil {
		return st, s.compileCall(&st, f)
	}
	r, err := op.Resolve(n, b.opset)
	if err != nil {
		return st, err
	}
	if r.Eval == nil {
		return st, fmt.Errorf("node %s: operator %s of opset %d has no evaluation", n.Title(), n.Op, r.Since)
	}
	st.run = func(f *frame, in []tensor.Value) ([]tensor.Value, error) { return r.Run(n, &f.env, in) }
	return st, nil
}

func (s *Session) compileCall(st *step, fn *graph.Function) error {
	g, err := fn.Instantiate(st.node)
	if err != nil {
		return err
	}
	p, err := s.compile(g, fn.Opset)
	if err != nil {
		return fmt.Errorf("function %s: %w", fn.Name, err)
	}
	st.run = func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		out, err := f.s.run(p, in, f)
		if err != nil {
			return nil, fmt.Errorf("function %s: %w", fn.Name, err)
		}
		return out, nil
	}
	return nil
}

// fastStep puts a fast path in place of the step of its last node. A fast path
// of that node alone falls back to the reference.
func (b *builder) fastStep(reference step, f *lowered) step {
	st := step{node: reference.node, run: f.run}
	for _, v := range f.in {
		st.ins = append(st.ins, b.slotFor(v))
	}
	for _, v := range f.out {
		st.outs = append(st.outs, b.slotFor(v))
	}
	if slices.Equal(st.ins, reference.ins) {
		st.run = func(fr *frame, in []tensor.Value) ([]tensor.Value, error) {
			out, err := f.run(fr, in)
			if err == errFallback {
				return reference.run(fr, in)
			}
			return out, err
		}
	}
	return st
}

// dropUnused removes steps whose results nothing needs: what fused steps have
// taken over.
func (b *builder) dropUnused(s *Session) {
	need := make([]bool, b.slots)
	for _, i := range b.outputs {
		need[i] = true
	}
	keep := make([]bool, len(b.steps))
	for i := len(b.steps) - 1; i >= 0; i-- {
		st := &b.steps[i]
		for k, slot := range st.outs {
			if slot >= 0 && (need[slot] || b.graph == s.model.Graph && s.watches(st.node.Out(k))) {
				keep[i] = true
			}
		}
		if !keep[i] {
			continue
		}
		for _, slot := range st.ins {
			if slot >= 0 {
				need[slot] = true
			}
		}
		st.node.Captures(func(v *graph.Value) {
			if slot, ok := b.slot[v]; ok {
				need[slot] = true
			}
		})
	}
	kept := b.steps[:0]
	for i, st := range b.steps {
		if keep[i] {
			kept = append(kept, st)
		}
	}
	b.steps = kept
}

// setFree marks each slot to be forgotten after its last reader. Values that
// subgraphs capture count as read by the node that holds the subgraph.
func (b *builder) setFree() {
	keep := make([]bool, b.slots)
	for _, i := range b.outputs {
		keep[i] = true
	}
	for _, c := range b.consts {
		keep[c.slot] = true
	}
	seen := make([]bool, b.slots)
	for i := len(b.steps) - 1; i >= 0; i-- {
		st := &b.steps[i]
		last := func(slot int) {
			if slot >= 0 && !seen[slot] && !keep[slot] {
				seen[slot] = true
				st.free = append(st.free, slot)
			}
		}
		for _, slot := range st.ins {
			last(slot)
		}
		for _, slot := range st.outs {
			last(slot)
		}
		st.node.Captures(func(v *graph.Value) {
			if slot, ok := b.slot[v]; ok {
				last(slot)
			}
		})
	}
}

package runtime

import (
	"fmt"
	"maps"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
)

// builder makes the program of one graph: every value gets a slot for each
// layout that somebody wants it in.
type builder struct {
	*program
	l    *lowerer
	slot map[*graph.Value]int
	last map[*graph.Value]lastSlot
	// shapes is the values computed from shapes and constants alone.
	shapes map[*graph.Value]bool
}

// compile makes the program of g and of the subgraphs below it. opset gives
// the imports in force.
func (s *Session) compile(g *graph.Graph, opset func(string) int64) (*program, error) {
	if s.depth++; s.depth > maxDepth {
		s.depth--
		return nil, fmt.Errorf("graphs and functions nest deeper than %d", maxDepth)
	}
	defer func() { s.depth-- }()
	l := &lowerer{s: s, graph: g, opset: opset, folded: map[*graph.Value]*tensor.Tensor{}, resolved: map[*graph.Node]op.Resolved{}}
	b := &builder{&program{graph: g, opset: opset}, l, map[*graph.Value]int{}, map[*graph.Value]lastSlot{}, map[*graph.Value]bool{}}
	for v := range g.Initializers() {
		t, err := stored(v.Data)
		if err != nil {
			return nil, fmt.Errorf("initializer %s: %w", v.Name, err)
		}
		b.consts = append(b.consts, binding{b.slotFor(v), l.held(v, t)})
	}
	for _, v := range g.Inputs() {
		b.inputs = append(b.inputs, b.input(v))
	}
	if err := b.resolve(); err != nil {
		return nil, err
	}
	fast, needed := b.choose()
	for n := range g.Nodes() {
		if err := b.node(n, fast[n], needed); err != nil {
			return nil, err
		}
	}
	for _, v := range g.Outputs() {
		b.outputs = append(b.outputs, b.output(v))
	}
	b.dropUnused()
	b.setFree()
	b.program.index = b.slot
	for i := range b.steps {
		if p := b.steps[i].prepare; p != nil {
			if err := p(); err != nil {
				return nil, fmt.Errorf("node %s: %w", b.steps[i].node.Title(), err)
			}
			s.releaseWeights(b.steps[i].covered)
		}
	}
	return b.program, nil
}

// resolve finds the nodes' operators, and fails on one that is not of its
// operator's form. Unknown operators fail only if they have to run.
func (b *builder) resolve() error {
	for n := range b.graph.Nodes() {
		if b.l.s.model.Function(n.Domain, n.Op, n.Overload) != nil {
			continue
		}
		if r, err := op.Resolve(n, b.opset); err == nil {
			if err := r.Fits(n); err != nil {
				return err
			}
			b.l.resolved[n] = r
		}
	}
	return nil
}

// choose finds the fast paths, from the last node back, so that each covers as
// many nodes before it as it can, and the values that somebody needs.
func (b *builder) choose() (fast map[*graph.Node]*lowered, needed map[*graph.Value]bool) {
	fast, needed = map[*graph.Node]*lowered{}, map[*graph.Value]bool{}
	for _, v := range b.graph.Outputs() {
		needed[v] = true
	}
	for _, n := range slices.Backward(slices.Collect(b.graph.Nodes())) {
		if !slices.ContainsFunc(n.Outputs(), func(v *graph.Value) bool { return needed[v] || b.main() && b.l.s.watches(v) }) && len(n.Outputs()) > 0 {
			continue
		}
		for _, v := range n.Outputs() {
			needed[v] = true
		}
		in := n.Inputs()
		if f := b.l.lower(n); f != nil {
			fast[n], in = f, f.in
		}
		for _, v := range in {
			needed[v] = true
		}
		n.Captures(func(v *graph.Value) { needed[v] = true })
	}
	return fast, needed
}

func (b *builder) main() bool { return b.graph == b.l.s.model.Graph }

// node appends the steps of n: none if nobody needs it, its constant value,
// its fast path, or its evaluation.
func (b *builder) node(n *graph.Node, f *lowered, needed map[*graph.Value]bool) error {
	if !slices.ContainsFunc(n.Outputs(), func(v *graph.Value) bool { return needed[v] }) && len(n.Outputs()) > 0 {
		return nil
	}
	if b.constant(n) {
		return nil
	}
	shapes := (f == nil || slices.Equal(f.in, n.Inputs())) && b.ofShapes(n)
	if f != nil && !shapes {
		return b.fastStep(n, f)
	}
	st, err := b.l.s.compileNode(b, n)
	if err != nil {
		return err
	}
	if shapes {
		st.memo, st.path = &memo{}, "shape"
		for _, v := range n.Outputs() {
			b.shapes[v] = true
		}
	}
	b.add(st, n.Outputs())
	return nil
}

// ofShapes reports that n computes with nothing but constants and shapes.
func (b *builder) ofShapes(n *graph.Node) bool {
	r, err := b.l.resolve(n)
	if err != nil || b.l.s.opts.Reference || !b.main() || r.Flags&(op.Random|op.Control) != 0 || !b.l.tensorsOnly(n) ||
		b.l.s.model.Function(n.Domain, n.Op, n.Overload) != nil || n.Domain != "" || len(n.Inputs()) == 0 {
		return false
	}
	if n.Is("Shape", "Size") {
		return true
	}
	for _, v := range n.Inputs() {
		if v != nil && !b.shapes[v] && b.l.constant(v) == nil {
			return false
		}
	}
	return true
}

// constant binds the outputs of n if they are known. A watched one stays a
// step, so that it is seen.
func (b *builder) constant(n *graph.Node) bool {
	for _, v := range n.Outputs() {
		if v != nil && b.l.constant(v) == nil {
			return false
		}
	}
	var values []tensor.Value
	st := step{node: n, path: "constant"}
	for _, v := range n.Outputs() {
		if v != nil {
			values = append(values, b.l.constant(v))
			st.outs = append(st.outs, b.slotFor(v))
		} else {
			values, st.outs = append(values, nil), append(st.outs, -1)
		}
	}
	if b.main() && slices.ContainsFunc(n.Outputs(), b.l.s.watches) {
		st.run = func(*frame, []tensor.Value) ([]tensor.Value, error) { return values, nil }
		b.add(st, n.Outputs())
		return true
	}
	for i, slot := range st.outs {
		if slot >= 0 {
			b.consts = append(b.consts, binding{slot, values[i]})
		}
	}
	return true
}

// add appends a step, and has watched outputs observed where they are plain,
// or at a glance.
func (b *builder) add(st step, out []*graph.Value) {
	for i, v := range out {
		if v == nil || !b.main() || !b.l.s.watches(v) {
			continue
		}
		if slot, plain := b.slot[v]; plain && slot == st.outs[i] || b.l.s.opts.Glance {
			at, last := b.last[v]
			st.observe = append(st.observe, observed{v, i, last && at.slot == st.outs[i], b.l.wide(v)})
		}
	}
	b.steps = append(b.steps, st)
}

// stored is the run-time value of an initializer.
func stored(d *graph.Data) (*tensor.Tensor, error) {
	if d.Tensor != nil {
		return d.Tensor, nil
	}
	return d.Sparse.Dense(op.DefaultMaxBytes)
}

func (p *program) slotOf(v *graph.Value) int { return p.index[v] }

// compileNode is the step that evaluates n by its definition.
func (s *Session) compileNode(b *builder, n *graph.Node) (step, error) {
	st := step{node: n, path: "reference"}
	for _, v := range n.Inputs() {
		st.ins = append(st.ins, b.plain(v))
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
			b.plain(c.value)
		}
	}
	n.Captures(func(v *graph.Value) {
		if slot, ok := b.slot[v]; ok {
			st.captures = append(st.captures, slot)
		}
	})
	if f := s.model.Function(n.Domain, n.Op, n.Overload); f != nil {
		st.retains = true
		err := s.compileCall(&st, f)
		b.l.evaluates(&st)
		return st, err
	}
	r, err := b.l.resolve(n)
	if err != nil {
		return st, err
	}
	if r.Eval == nil {
		return st, fmt.Errorf("node %s: operator %s of opset %d has no evaluation", n.Title(), n.Op, r.Since)
	}
	st.retains = !b.l.tensorsOnly(n)
	st.run = func(f *frame, in []tensor.Value) ([]tensor.Value, error) { return r.Run(n, &f.env, in) }
	b.l.evaluates(&st)
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

// fastStep appends the fast path f, whose last node is n. If it finds inputs
// that it is not made for, the nodes that it covers are evaluated instead.
func (b *builder) fastStep(n *graph.Node, f *lowered) error {
	if f.nodes == nil {
		f.nodes = []*graph.Node{n}
	}
	if f.place != nil {
		f.place(b)
	}
	st := step{node: n, prepare: f.prepare, covered: f.nodes, path: f.path, replay: &replay{}}
	inLast := make([]bool, len(f.in))
	for i, v := range f.in {
		if inLast[i] = v != nil && i < len(f.inLast) && f.inLast[i] > 0; inLast[i] {
			st.ins = append(st.ins, b.channelsLast(v, f.inLast[i]))
		} else {
			st.ins = append(st.ins, b.plain(v))
		}
	}
	for _, v := range f.out {
		switch {
		case v == nil:
			st.outs = append(st.outs, -1)
		case f.outLast > 0:
			st.outs = append(st.outs, b.newLast(v, f.outLast))
		default:
			st.outs = append(st.outs, b.slotFor(v))
		}
	}
	reference := b.interpret(f, inLast)
	st.run = func(fr *frame, in []tensor.Value) ([]tensor.Value, error) {
		out, err := guard(n, func() ([]tensor.Value, error) { return f.run(fr, in) })
		if err == errFallback && reference != nil {
			fr.varies()
			return guard(n, func() ([]tensor.Value, error) { return reference(fr, in) })
		}
		return out, err
	}
	b.add(st, f.out)
	if f.outLast > 0 && b.main() && !b.l.s.opts.Glance {
		for _, v := range f.out {
			if b.l.s.watches(v) {
				b.plain(v)
			}
		}
	}
	return nil
}

// guard makes a panic of a step an error that names its node, which is nil for
// a graph input in another layout.
func guard(n *graph.Node, run func() ([]tensor.Value, error)) (out []tensor.Value, err error) {
	defer func() {
		switch p := recover(); {
		case p == any(errFallback):
			out, err = nil, errFallback
		case p != nil && n == nil:
			out, err = nil, fmt.Errorf("layout: %v", p)
		case p != nil:
			out, err = nil, fmt.Errorf("node %s: %v", n.Title(), p)
		}
	}()
	return run()
}

// interpret evaluates the nodes that f covers, nil if f does not say what it
// needs for that.
func (b *builder) interpret(f *lowered, inLast []bool) stepFunc {
	var resolved []op.Resolved
	known := map[*graph.Value]tensor.Value{}
	for _, v := range f.in {
		known[v] = nil
	}
	for _, n := range f.nodes {
		r, err := b.l.resolve(n)
		if err != nil {
			return nil
		}
		resolved = append(resolved, r)
		for _, v := range n.Inputs() {
			if _, ok := known[v]; v == nil || ok {
				continue
			}
			c := b.l.exact(v)
			if c == nil {
				return nil
			}
			known[v] = c
		}
		for _, v := range n.Outputs() {
			known[v] = nil
		}
	}
	wideIn, wideOut := b.l.areWide(f.in), b.l.areWide(f.out)
	return func(fr *frame, in []tensor.Value) ([]tensor.Value, error) {
		values := maps.Clone(known)
		for i, v := range f.in {
			if t, ok := in[i].(*tensor.Tensor); ok && inLast[i] {
				values[v] = toPlain(fr, t)
			} else if in[i] != nil {
				values[v] = in[i]
			}
			if wideIn != nil && wideIn[i] {
				values[v] = narrowed(values[v])
			}
		}
		for i, n := range f.nodes {
			args := make([]tensor.Value, len(n.Inputs()))
			for k, v := range n.Inputs() {
				if v != nil {
					args[k] = values[v]
				}
			}
			out, err := resolved[i].Run(n, &fr.env, args)
			if err != nil {
				return nil, err
			}
			for k, v := range n.Outputs() {
				values[v] = out[k]
			}
		}
		out := make([]tensor.Value, len(f.out))
		for i, v := range f.out {
			if out[i] = values[v]; wideOut != nil && wideOut[i] {
				out[i] = widened(out[i])
			}
			if f.outLast > 0 {
				out[i] = toLast(fr, out[i].(*tensor.Tensor), f.outLast)
			}
		}
		return out, nil
	}
}

// dropUnused removes steps whose results nothing needs: conversions that a
// later choice has made superfluous.
func (b *builder) dropUnused() {
	need := make([]bool, b.slots)
	for _, i := range b.outputs {
		need[i] = true
	}
	keep := make([]bool, len(b.steps))
	for i := len(b.steps) - 1; i >= 0; i-- {
		st := &b.steps[i]
		keep[i] = len(st.observe) > 0 || len(st.outs) == 0
		for _, slot := range st.outs {
			keep[i] = keep[i] || slot >= 0 && need[slot]
		}
		if !keep[i] {
			continue
		}
		for _, slots := range [][]int{st.ins, st.captures} {
			for _, slot := range slots {
				if slot >= 0 {
					need[slot] = true
				}
			}
		}
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
		for _, slots := range [][]int{st.ins, st.outs, st.captures} {
			for _, slot := range slots {
				if slot >= 0 && !seen[slot] && !keep[slot] {
					seen[slot] = true
					st.free = append(st.free, slot)
				}
			}
		}
	}
}

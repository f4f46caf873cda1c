package runtime

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
	"unsafe"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
)

// frame is one execution of a program.
type frame struct {
	s     *Session
	p     *program
	slots []tensor.Value
	held  []*allocation // the memory of a slot, if it is the arena's
	in    []tensor.Value
	out   [1]tensor.Value
	now   *step
	work  int64  // of the step, see Step.Work
	arena *arena // nil below the main graph
	env   op.Env
	// record is the recording of the step, nil if there is none.
	record *replay
	random *rand.PCG
}

func (s *Session) newFrame(p *program, outer *frame) *frame {
	if outer == nil && s.frame != nil {
		f := s.frame
		clear(f.slots)
		clear(f.held)
		f.start(outer)
		return f
	}
	most := 0
	for i := range p.steps {
		most = max(most, len(p.steps[i].ins))
	}
	f := &frame{s: s, p: p, slots: make([]tensor.Value, p.slots), held: make([]*allocation, p.slots), in: make([]tensor.Value, most)}
	f.env.Run = func(g *graph.Graph, in []tensor.Value) ([]tensor.Value, error) { return s.run(s.subs[g], in, f) }
	f.env.Node = func(n *graph.Node, in []tensor.Value) ([]tensor.Value, error) {
		r, err := op.Resolve(n, p.opset)
		if err != nil {
			return nil, err
		}
		return r.Run(n, &f.env, in)
	}
	if outer == nil {
		f.arena, s.frame = &s.arena, f
	}
	f.env.Type = func(v *graph.Value) graph.Type { return s.typeNow(v) }
	f.start(outer)
	return f
}

// typeNow is what inference knows of v, with the sizes of the run's inputs for
// their symbols.
func (s *Session) typeNow(v *graph.Value) graph.Type {
	info := s.types()
	t := info.Type(v)
	sizes := map[string]dim.Dim{}
	for i, x := range s.in {
		x, ok := x.(*tensor.Tensor)
		for k, d := range info.Type(s.main.graph.Inputs()[i]).Shape {
			if name := d.String(); ok && k < x.Rank() && d.Equal(dim.Sym(name)) {
				sizes[name] = dim.Of(int64(x.Shape[k]))
			}
		}
	}
	t.Shape = slices.Clone(t.Shape)
	for i, d := range t.Shape {
		t.Shape[i] = d.Substitute(sizes)
	}
	return t
}

func (f *frame) start(outer *frame) {
	s := f.s
	f.env.Context, f.env.MaxBytes, f.env.MaxSteps = s.context, s.opts.MaxBytes, cmp.Or(s.opts.MaxSteps, DefaultMaxSteps)
	if outer != nil {
		f.env.Rand = outer.env.Rand
		return
	}
	if f.random == nil {
		f.random = rand.NewPCG(0, 0)
		f.env.Rand = rand.New(f.random)
	}
	f.random.Seed(s.opts.Seed, 0)
}

func (s *Session) run(p *program, in []tensor.Value, outer *frame) ([]tensor.Value, error) {
	if s.depth++; s.depth > maxDepth {
		s.depth--
		return nil, fmt.Errorf("graphs and functions nest deeper than %d", maxDepth)
	}
	defer func() { s.depth-- }()
	f := s.newFrame(p, outer)
	if f.arena != nil {
		f.arena.begin(s.borrows)
		defer func() {
			if !f.arena.end() { // packing weights in a first run takes more than running
				clear(s.workers.scratch)
				p.forget()
			}
		}()
	}
	for _, b := range p.consts {
		f.slots[b.slot] = b.value
	}
	for i, v := range p.graph.Inputs() {
		if i < len(in) && in[i] != nil {
			f.slots[p.inputs[i]] = in[i]
		} else if v.Type.Kind == graph.OptionalKind {
			f.slots[p.inputs[i]] = &tensor.Optional{}
		} else if v.Data == nil && outer == nil {
			return nil, fmt.Errorf("input %s is missing", v.Name)
		}
	}
	for _, c := range p.captures {
		f.slots[c.slot] = outer.lookup(c.value)
	}
	for i := range p.steps {
		if err := f.step(&p.steps[i]); err != nil {
			return nil, err
		}
	}
	out := s.results
	if !s.borrows || outer != nil {
		out = make([]tensor.Value, len(p.outputs))
	}
	for i, slot := range p.outputs {
		if !s.borrows {
			f.escape(slot)
		}
		out[i] = f.slots[slot]
	}
	return out, nil
}

func (f *frame) lookup(v *graph.Value) tensor.Value { return f.slots[f.p.slotOf(v)] }

func (f *frame) step(st *step) error {
	if c := f.env.Context; c != nil && c.Err() != nil {
		return c.Err()
	}
	if st.retains {
		for _, slots := range [][]int{st.ins, st.captures} {
			for _, slot := range slots {
				f.escape(slot)
			}
		}
	}
	in := f.in[:len(st.ins)]
	for i, slot := range st.ins {
		in[i] = nil
		if slot >= 0 {
			in[i] = f.slots[slot]
		}
	}
	first := 0
	if f.arena != nil {
		f.arena.clock++
		first = len(f.arena.allocs)
	}
	f.now = st
	profile := f.s.opts.Profile
	var start time.Time
	if f.work = 0; profile != nil && f.arena != nil {
		start = time.Now()
	}
	out, err := f.compute(st, in, first)
	if profile != nil && f.arena != nil {
		profile(Step{st.node, st.covered, st.path, start, time.Since(start), f.work})
	}
	if err != nil {
		return err
	}
	for i, slot := range st.outs {
		if slot < 0 {
			continue
		}
		if out[i] == nil {
			return fmt.Errorf("node %s: output %d was not computed", st.node.Title(), i)
		}
		f.slots[slot] = out[i]
		f.hold(slot, st, first)
	}
	for _, o := range st.observe {
		if !f.s.opts.Glance {
			f.escape(st.outs[o.i])
		}
		see := f.s.opts.Observe
		if o.last && f.s.opts.ObserveLast != nil {
			see = f.s.opts.ObserveLast
		}
		v := f.slots[st.outs[o.i]]
		if o.wide {
			v = narrowed(v)
		}
		see(o.value, v)
	}
	for _, slot := range st.free {
		f.slots[slot] = nil
		if a := f.held[slot]; a != nil {
			f.held[slot] = nil
			f.arena.release(a)
		}
	}
	if f.arena != nil {
		for _, a := range f.arena.allocs[first:] {
			if a.refs == 0 && a.died == 0 { // used within the step alone
				a.refs = 1
				f.arena.release(a)
			}
		}
	}
	return nil
}

// maxMemo bounds what a step of shapes keeps.
const maxMemo = 1 << 20

// remembered runs the step, or takes what it gave before for the same shapes.
func (f *frame) remembered(st *step, in []tensor.Value) ([]tensor.Value, error) {
	m := st.memo
	if m == nil {
		return st.run(f, in)
	}
	if t, ok := in[0].(*tensor.Tensor); st.node.Is("Shape", "Size") {
		if ok && m.out != nil && slices.Equal(m.shape, t.Shape) {
			return m.out, nil
		}
		if m.out = nil; ok {
			m.shape = slices.Clone(t.Shape)
		}
	} else {
		if m.out != nil && slices.Equal(m.in, in) {
			return m.out, nil
		}
		m.out, m.in = nil, append(m.in[:0], in...)
	}
	out, err := st.run(f, in)
	if err != nil {
		return nil, err
	}
	size := 0
	for _, v := range out {
		t, ok := v.(*tensor.Tensor)
		if !ok {
			return out, nil
		}
		size += len(t.Bytes())
	}
	if size <= maxMemo {
		m.out = out
	}
	return out, nil
}

// hold counts the slot among those that need the memory of its tensor: that
// of a new tensor, or of an input, when a step has given out a part or
// another shape of it.
func (f *frame) hold(slot int, st *step, first int) {
	t, ok := f.slots[slot].(*tensor.Tensor)
	if !ok || f.arena == nil || len(t.Bytes()) == 0 {
		return
	}
	p := uintptr(unsafe.Pointer(&t.Bytes()[0]))
	inside := func(a *allocation) bool {
		b := a.tensor.Bytes()
		if len(b) == 0 {
			return false
		}
		from := uintptr(unsafe.Pointer(&b[0]))
		return p >= from && p < from+uintptr(len(b))
	}
	for _, a := range f.arena.allocs[first:] {
		if inside(a) {
			a.refs++
			f.held[slot] = a
			return
		}
	}
	for _, s := range st.ins {
		if s >= 0 && f.held[s] != nil && inside(f.held[s]) {
			f.held[s].refs++
			f.held[slot] = f.held[s]
			return
		}
	}
}

// escape lets the value of a slot outlive the run.
func (f *frame) escape(slot int) {
	if slot < 0 || f.held[slot] == nil {
		return
	}
	a := f.held[slot]
	if a.fixed { // the plan did not foresee it
		f.slots[slot] = f.slots[slot].(*tensor.Tensor).Clone()
		f.arena.match = false
		f.held[slot] = nil
		a.escaped = true
		f.arena.release(a)
		return
	}
	a.escaped = true
}

// new is an unset tensor for the result of a step, or for use within it. It
// panics, which the step reports, if the tensor exceeds the session's limit.
func (f *frame) new(t tensor.DType, shape ...int) *tensor.Tensor {
	if f == nil {
		return tensor.New(t, shape...)
	}
	size, err := tensor.ByteSize(t, shape)
	if limit := f.s.maxBytes(); err != nil || size > limit {
		panic(fmt.Sprintf("tensor of %d bytes exceeds the limit of %d", size, limit))
	}
	if f.arena == nil {
		return tensor.New(t, shape...)
	}
	return f.arena.new(t, shape).tensor
}

// floats is new for float32, with its elements.
func (f *frame) floats(shape ...int) (*tensor.Tensor, []float32) {
	t := f.new(tensor.Float32, shape...)
	return t, tensor.View[float32](t)
}

// one is the result of a step with one output.
func (f *frame) one(t *tensor.Tensor) ([]tensor.Value, error) {
	f.out[0] = t
	return f.out[:], nil
}

// like is an unset tensor of the shape of t, input i of the step: t itself if
// it is no other input, and nobody reads it afterwards.
func (f *frame) like(t *tensor.Tensor, i int) *tensor.Tensor {
	if f.mine(i, t) {
		if f.record != nil {
			f.record.over = append(f.record.over, i)
		}
		return t
	}
	return f.new(t.Type, t.Shape...)
}

// mine reports that the memory of t, input i of the step, is that input's
// alone, and that nobody reads it afterwards.
func (f *frame) mine(i int, t *tensor.Tensor) bool {
	st := f.now
	if st == nil || f.arena == nil {
		return false
	}
	slot := st.ins[i]
	for k, other := range st.ins {
		if k != i && other == slot {
			return false
		}
	}
	a := f.held[slot]
	return a != nil && a.refs == 1 && !a.escaped && slices.Contains(st.free, slot) && len(a.tensor.Bytes()) == len(t.Bytes())
}

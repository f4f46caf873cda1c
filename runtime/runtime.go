// Package runtime executes graphs: the reference evaluation of every
// operator, and fast paths in front of it.
package runtime

import (
	"context"
	"fmt"
	"math/rand/v2"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
)

// Options of a session. The zero value is right for most uses.
type Options struct {
	// Reference turns all fast paths off.
	Reference bool
	// Threads is the number of threads of fast paths, 0 is 1. Results do not
	// depend on it.
	Threads int
	// MaxBytes bounds one tensor; 0 is op.DefaultMaxBytes.
	MaxBytes int
	// MaxSteps bounds the iterations of one loop when positive.
	MaxSteps int
	// Seed seeds random operators that have no seed of their own.
	Seed uint64
	// Observe sees every value of the main graph that a node computes, in
	// execution order. Fast paths then keep those values; see Watch.
	Observe func(v *graph.Value, t tensor.Value)
	// Watch limits Observe to these values, so that fast paths may fuse
	// everything else. Nil watches all.
	Watch map[*graph.Value]bool
}

// Session is a model ready to run. It must not be used by two goroutines at
// once.
type Session struct {
	model   *graph.Model
	opts    Options
	main    *program
	subs    map[*graph.Graph]*program
	depth   int
	context context.Context
}

// maxDepth bounds nested subgraphs and function calls.
const maxDepth = 64

// Compile prepares m, which it does not change and which must not change
// while the session is in use. It fails on nodes that cannot run, naming node,
// operator and opset.
func Compile(m *graph.Model, opts Options) (*Session, error) {
	s := &Session{model: m, opts: opts, subs: map[*graph.Graph]*program{}}
	var err error
	s.main, err = s.compile(m.Graph, m.Opset)
	return s, err
}

// Run computes the outputs of the graph, in order, from its inputs, in order.
// A nil input takes the initializer of the same name; one of an optional type
// is empty.
func (s *Session) Run(ctx context.Context, in []tensor.Value) ([]tensor.Value, error) {
	s.context = ctx
	if len(in) > len(s.main.graph.Inputs()) {
		return nil, fmt.Errorf("%d inputs for a graph of %d", len(in), len(s.main.graph.Inputs()))
	}
	return s.run(s.main, in, nil)
}

// RunNamed is Run with inputs and outputs by name.
func (s *Session) RunNamed(ctx context.Context, in map[string]*tensor.Tensor) (map[string]tensor.Value, error) {
	list := make([]tensor.Value, len(s.main.graph.Inputs()))
	for i, v := range s.main.graph.Inputs() {
		if t, ok := in[v.Name]; ok {
			list[i] = t
		}
	}
	out, err := s.Run(ctx, list)
	if err != nil {
		return nil, err
	}
	named := make(map[string]tensor.Value, len(out))
	for i, v := range s.main.graph.Outputs() {
		named[v.Name] = out[i]
	}
	return named, nil
}

// program is one graph as a list of steps over numbered slots.
type program struct {
	graph    *graph.Graph
	slots    int
	consts   []binding // initializers
	inputs   []int
	outputs  []int
	captures []capture
	steps    []step
	opset    func(string) int64
	index    map[*graph.Value]int // the slot of a value
}

type binding struct {
	slot  int
	value tensor.Value
}

// capture is a value of an enclosing graph: its slot there and here.
type capture struct {
	value *graph.Value
	slot  int
}

// step computes outs from ins and then forgets the slots in free. A slot of
// -1 is an absent optional value.
type step struct {
	node *graph.Node
	run  func(f *frame, in []tensor.Value) ([]tensor.Value, error)
	ins  []int
	outs []int
	free []int
}

// frame is one execution of a program.
type frame struct {
	s     *Session
	p     *program
	slots []tensor.Value
	env   op.Env
}

func (s *Session) run(p *program, in []tensor.Value, outer *frame) ([]tensor.Value, error) {
	if s.depth++; s.depth > maxDepth {
		s.depth--
		return nil, fmt.Errorf("graphs and functions nest deeper than %d", maxDepth)
	}
	defer func() { s.depth-- }()
	f := &frame{s: s, p: p, slots: make([]tensor.Value, p.slots)}
	f.env = op.Env{Context: s.context, MaxBytes: s.opts.MaxBytes, MaxSteps: s.opts.MaxSteps}
	if outer == nil {
		f.env.Rand = rand.New(rand.NewPCG(s.opts.Seed, 0))
	} else {
		f.env.Rand = outer.env.Rand
	}
	f.env.Run = func(g *graph.Graph, in []tensor.Value) ([]tensor.Value, error) { return s.run(s.subs[g], in, f) }
	f.env.Node = func(n *graph.Node, in []tensor.Value) ([]tensor.Value, error) {
		r, err := op.Resolve(n, p.opset)
		if err != nil {
			return nil, err
		}
		return r.Run(n, &f.env, in)
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
	out := make([]tensor.Value, len(p.outputs))
	for i, slot := range p.outputs {
		out[i] = f.slots[slot]
	}
	return out, nil
}

func (f *frame) lookup(v *graph.Value) tensor.Value { return f.slots[f.p.slotOf(v)] }

func (f *frame) step(st *step) error {
	if c := f.env.Context; c != nil && c.Err() != nil {
		return c.Err()
	}
	in := make([]tensor.Value, len(st.ins))
	for i, slot := range st.ins {
		if slot >= 0 {
			in[i] = f.slots[slot]
		}
	}
	out, err := st.run(f, in)
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
		if o := f.s.opts.Observe; o != nil && f.p == f.s.main {
			if v := st.node.Out(i); f.s.opts.Watch == nil || f.s.opts.Watch[v] {
				o(v, out[i])
			}
		}
	}
	for _, slot := range st.free {
		f.slots[slot] = nil
	}
	return nil
}

// Package runtime executes graphs: the reference evaluation of every
// operator, and fast paths in front of it.
package runtime

import (
	"context"
	"fmt"
	"slices"
	"time"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
)

// Options of a session. The zero value is right for most uses.
type Options struct {
	// Reference turns all fast paths off.
	Reference bool
	// Threads is the number of threads of fast paths, 0 is 1. Results do not
	// depend on it.
	Threads int
	// Device, if not "", is another processor whose integers are computed bit
	// for bit: AVX2Saturating.
	Device string
	// MaxBytes bounds one tensor; 0 is op.DefaultMaxBytes.
	MaxBytes int
	// MaxSteps bounds the iterations of one loop; 0 is DefaultMaxSteps.
	MaxSteps int
	// Seed seeds random operators that have no seed of their own.
	Seed uint64
	// Observe sees every value of the main graph that a node computes, in
	// execution order. Fast paths then keep those values; see Watch.
	Observe func(v *graph.Value, t tensor.Value)
	// Watch limits Observe to these values, so that fast paths may fuse
	// everything else. Nil watches all.
	Watch map[*graph.Value]bool
	// Glance says that Observe keeps no tensor after it returns and does not mind
	// axis 1 being the last: values are then seen as they are held.
	Glance bool
	// ObserveLast, if set, is told instead of Observe of values whose axis 1 is
	// the last, at a glance.
	ObserveLast func(v *graph.Value, t tensor.Value)
	// Profile, if set, is told of every step of the main graph after it.
	Profile func(Step)
}

// Step is one step of a run: a node, with those before it that it covers.
type Step struct {
	Node     *graph.Node
	Covered  []*graph.Node // nil: evaluated by its definition
	Path     string        // the fast path, "layout" or "reference"
	Start    time.Time
	Duration time.Duration
	Work     int64 // multiplications and additions of matrix products
}

// DefaultMaxSteps bounds the iterations of one loop.
const DefaultMaxSteps = 1 << 20

// AVX2Saturating is a Device: onnxruntime on an x86 processor with AVX2 and
// without VNNI. Products of uint8 (or int8, as uint8 with its zero point moved)
// and constant int8 weights without zero point are added in pairs along the sum
// (kernel row, column, input channel, or rows of a matrix) in int16, with
// saturation. Depthwise convolutions, uint8 weights, products of two
// activations and convolutions with a float result are exact there too.
const AVX2Saturating = "avx2-saturating"

// Session is a model ready to run. It must not be used by two goroutines at
// once.
type Session struct {
	model   *graph.Model
	opts    Options
	main    *program
	subs    map[*graph.Graph]*program
	depth   int
	context context.Context
	info    *shape.Info                     // made when asked for
	widened map[*graph.Value]*tensor.Tensor // float16 constants as float32, while compiling
	arena   arena
	workers *workers
	frame   *frame         // of the main program, kept between runs
	in      []tensor.Value // of this run
	borrows bool           // this run's results stay in the arena
	results []tensor.Value
}

// maxDepth bounds nested subgraphs and function calls.
const maxDepth = 64

// Compile prepares m, which it does not change and which must not change
// while the session is in use. It fails on nodes that cannot run, naming node,
// operator and opset.
func Compile(m *graph.Model, opts Options) (*Session, error) {
	if opts.Device != "" && opts.Device != AVX2Saturating {
		return nil, fmt.Errorf("device %q is not known; there is %s", opts.Device, AVX2Saturating)
	}
	if opts.Device != "" && opts.Reference {
		return nil, fmt.Errorf("device %s has no reference evaluation", opts.Device)
	}
	s := &Session{model: m, opts: opts, subs: map[*graph.Graph]*program{}, widened: map[*graph.Value]*tensor.Tensor{}, workers: newWorkers(opts.Threads)}
	var err error
	s.main, err = s.compile(m.Graph, m.Opset)
	s.info, s.widened = nil, nil
	return s, err
}

// Run computes the outputs of the graph, in order, from its inputs, in order.
// A nil input takes the initializer of the same name; one of an optional type
// is empty.
func (s *Session) Run(ctx context.Context, in []tensor.Value) ([]tensor.Value, error) {
	s.context, s.in = ctx, in
	if len(in) > len(s.main.graph.Inputs()) {
		return nil, fmt.Errorf("%d inputs for a graph of %d", len(in), len(s.main.graph.Inputs()))
	}
	s.workers.start()
	defer s.workers.stop()
	defer func() { s.in = nil }()
	return s.run(s.main, in, nil)
}

// RunInto is Run with the results copied into out, which has an element for each
// output: into its tensors where type and shape are the result's, else it is set to a new one.
// A run on the same tensors of the same shapes as the one before allocates nothing if
// fast paths take every step.
func (s *Session) RunInto(ctx context.Context, in, out []tensor.Value) error {
	if len(out) != len(s.main.outputs) {
		return fmt.Errorf("%d results for a graph of %d outputs", len(out), len(s.main.outputs))
	}
	if s.results == nil {
		s.results = make([]tensor.Value, len(out))
	}
	s.borrows = true
	defer func() { s.borrows = false }()
	got, err := s.Run(ctx, in)
	if err != nil {
		return err
	}
	for i, v := range got {
		t, ok := v.(*tensor.Tensor)
		if !ok {
			out[i] = v
			continue
		}
		if o, ok := out[i].(*tensor.Tensor); ok && o.Type == t.Type && t.Type != tensor.String && slices.Equal(o.Shape, t.Shape) {
			copy(o.Bytes(), t.Bytes())
		} else {
			out[i] = t.Clone()
		}
	}
	return nil
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

// forget drops what steps would repeat.
func (p *program) forget() {
	for i := range p.steps {
		if r := p.steps[i].replay; r != nil {
			*r = replay{}
		}
	}
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
	node     *graph.Node
	covered  []*graph.Node // by a fast path
	path     string
	run      stepFunc
	prepare  func() error
	ins      []int
	outs     []int
	captures []int // slots that subgraphs of node read
	free     []int
	observe  []observed
	retains  bool // the evaluation may keep its inputs beyond the step
	memo     *memo
	replay   *replay // nil if the step's work is not all in jobs
}

// memo is the last inputs and outputs of a step that computes with shapes
// alone: with the same again, it is not run. What it reads is constant, the
// output of another such step, or, for Shape and Size, only a shape.
type memo struct {
	shape   []int // of the input of Shape and Size
	in, out []tensor.Value
}

// observed is a watched value: output i of a step, maybe with axis 1 last, or
// float16 that is held as float32.
type observed struct {
	value      *graph.Value
	i          int
	last, wide bool
}

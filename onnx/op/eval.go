package op

import (
	"context"
	"fmt"
	"math/rand/v2"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// Eval is one evaluation of a node.
type Eval struct {
	Attrs
	Resolved Resolved
	In       []tensor.Value // absent optional inputs are nil
	Out      []tensor.Value // to be set; one for each output of the node
	Env      *Env
}

// Env is what evaluations of one run share.
type Env struct {
	Context context.Context // cancels loops; nil never does
	// MaxBytes bounds one output tensor; 0 is DefaultMaxBytes.
	MaxBytes int
	// MaxSteps bounds the iterations of one Loop, Scan or SequenceMap when
	// positive.
	MaxSteps int
	// Run evaluates a subgraph on its inputs; captured values are bound.
	Run func(g *graph.Graph, in []tensor.Value) ([]tensor.Value, error)
	// Node evaluates another node of the same graph.
	Node func(n *graph.Node, in []tensor.Value) ([]tensor.Value, error)
	// Rand draws for random operators without a seed attribute.
	Rand *rand.Rand
	// Type is what inference knows of an output of a subgraph, with the sizes of
	// this run. Nil: nothing.
	Type func(v *graph.Value) graph.Type
}

// DefaultMaxBytes bounds one tensor that an evaluation makes.
const DefaultMaxBytes = 8 << 30

// Run evaluates r on in. Panics of the evaluation, which malformed inputs can
// cause, come back as errors.
func (r Resolved) Run(n *graph.Node, env *Env, in []tensor.Value) ([]tensor.Value, error) {
	if r.Eval == nil {
		return nil, fmt.Errorf("node %s: operator %s version %d has no evaluation", n.Title(), qualified(r.Domain, r.Name), r.Since)
	}
	e := &Eval{Attrs: Attrs{n, r.Since, r.Schema}, Resolved: r, In: in, Out: make([]tensor.Value, len(n.Outputs())), Env: env}
	err := e.guard(func() error {
		if err := e.check(); err != nil {
			return err
		}
		return r.Eval(e)
	})
	if err != nil {
		return nil, err
	}
	return e.Out, nil
}

// guard does a part of an evaluation: its errors name the node, and its panics
// come back as errors.
func (e *Eval) guard(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("node %s: %v", e.Node.Title(), p)
		}
	}()
	if err := do(); err != nil {
		return fmt.Errorf("node %s: %w", e.Node.Title(), err)
	}
	return nil
}

// check rejects inputs that the schema does not allow.
func (e *Eval) check() error {
	for i, p := range e.Schema.In {
		if !p.Optional && !p.Variadic && e.Value(i) == nil {
			return fmt.Errorf("input %s is missing", p.Name)
		}
	}
	return e.agree()
}

// agree rejects tensors of unequal element types for one type variable.
func (e *Eval) agree() (err error) {
	tensorAt := func(i int) *tensor.Tensor { t, _ := e.In[i].(*tensor.Tensor); return t }
	e.Schema.Ties(len(e.In), func(i int) bool { return tensorAt(i) != nil }, func(first, i int) {
		if t, u := tensorAt(first), tensorAt(i); t.Type != u.Type && err == nil {
			err = fmt.Errorf("inputs %s and %s have types %v and %v, want one type", e.Schema.InParam(first).Name, e.Schema.InParam(i).Name, t.Type, u.Type)
		}
	})
	return err
}

// Value is input i, nil if absent.
func (e *Eval) Value(i int) tensor.Value {
	if i < len(e.In) {
		return e.In[i]
	}
	return nil
}

// Tensor is tensor input i, nil if absent. It panics, which Run reports, if
// the input is no tensor.
func (e *Eval) Tensor(i int) *tensor.Tensor {
	v := e.Value(i)
	if v == nil {
		return nil
	}
	t, ok := v.(*tensor.Tensor)
	if !ok {
		panic(fmt.Sprintf("input %d is %T, want a tensor", i, v))
	}
	return t
}

// Sequence is sequence input i; it panics if the input is none.
func (e *Eval) Sequence(i int) *tensor.Sequence {
	s, ok := e.Value(i).(*tensor.Sequence)
	if !ok {
		panic(fmt.Sprintf("input %d is %T, want a sequence", i, e.Value(i)))
	}
	return s
}

// Tensors is the inputs from slot i on, for variadic parameters.
func (e *Eval) Tensors(from int) []*tensor.Tensor {
	var out []*tensor.Tensor
	for i := from; i < len(e.In); i++ {
		out = append(out, e.Tensor(i))
	}
	return out
}

// Set sets output i; outputs that the node does not have are dropped.
func (e *Eval) Set(i int, v tensor.Value) {
	if i < len(e.Out) {
		e.Out[i] = v
	}
}

// Wants reports that the node has output i.
func (e *Eval) Wants(i int) bool { return e.Node.Out(i) != nil }

// New makes a zeroed tensor within the limit of the environment.
func (e *Eval) New(t tensor.DType, shape ...int) (*tensor.Tensor, error) {
	return tensor.Make(t, shape, e.Env.maxBytes())
}

// Fits fails if a tensor of the shape would exceed the limit: called before
// work that is proportional to an output's size.
func (e *Eval) Fits(t tensor.DType, shape []int) error {
	size, err := tensor.ByteSize(t, shape)
	if err != nil {
		return err
	}
	if limit := e.Env.maxBytes(); size > limit {
		return fmt.Errorf("output %v%v of %d bytes exceeds the limit of %d", t, shape, size, limit)
	}
	return nil
}

func (env *Env) maxBytes() int {
	if env == nil || env.MaxBytes == 0 {
		return DefaultMaxBytes
	}
	return env.MaxBytes
}

// Step counts loop iteration i and fails when the run is cancelled or the
// step limit is reached.
func (env *Env) Step(i int) error {
	if env.Context != nil {
		if err := env.Context.Err(); err != nil {
			return err
		}
	}
	if env.MaxSteps > 0 && i >= env.MaxSteps {
		return fmt.Errorf("more than %d iterations", env.MaxSteps)
	}
	return nil
}

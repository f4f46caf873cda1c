// Package grad differentiates graphs: reverse-mode derivatives of float32
// graphs by their weights, for fine-tuning and distillation.
//
// A program is compiled for one batch size. Every buffer is allocated then, so
// that a step allocates nothing; results do not depend on the number of
// threads, because work is split by outputs and never along a sum.
package grad

import (
	"fmt"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// Options of Compile. The zero value differentiates by all float32 constants.
type Options struct {
	// Threads is the number of threads, 0 is 1.
	Threads int
	// Params are the initializers to differentiate by; nil is every float32
	// initializer that a gradient reaches.
	Params []*graph.Value
	// NoGradients compiles the forward pass only; there are no parameters then.
	NoGradients bool
}

// Param is a weight: Value is its content, which the caller may change between
// steps, Grad what Backward computes.
type Param struct {
	Name  string
	Shape []int
	Value []float32
	Grad  []float32
	value *graph.Value
}

// Program is a graph with its derivatives. It must not be used by two
// goroutines at once.
type Program struct {
	Params  []*Param
	model   *graph.Model
	opts    Options
	pool    *pool
	inputs  []*array
	outputs []*array
	steps   []step
	clears  [][]float32 // gradients that start a backward pass at zero
}

// step is one compiled node. A fallback step has no backward.
type step struct {
	node     *graph.Node
	forward  func() error
	backward func()
}

// array is a value of the graph at run time.
type array struct {
	*buffer
	shape  []int
	typ    tensor.DType
	static *tensor.Tensor // the content, of a value that never changes
	moving *tensor.Tensor // the content, of a value of another type than float32
}

// buffer is the memory of float32 arrays that differ only in shape.
type buffer struct {
	v, g     []float32
	wants    bool  // a gradient is asked for
	first    *node // the node whose backward reaches it first
	firstIn  int   // the input of first that does
	assigned bool  // first writes g instead of adding to it
	param    bool
}

// value is the array as a tensor, of any type.
func (a *array) value() *tensor.Tensor {
	switch {
	case a == nil:
		return nil
	case a.static != nil:
		return a.static
	case a.moving != nil:
		return a.moving
	}
	return tensor.Of(a.shape, a.v)
}

func (a *array) size() int { return count(a.shape) }

func count(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// SetInput sets graph input i, of the shape that the program was compiled for.
func (p *Program) SetInput(i int, t *tensor.Tensor) error {
	a := p.inputs[i]
	if t.Type != a.typ || t.Len() != a.size() {
		return fmt.Errorf("input %d is %v, the program was compiled for %v%v", i, t, a.typ, a.shape)
	}
	if a.typ == tensor.Float32 {
		copy(a.v, t.Float32s())
		return nil
	}
	a.moving = t
	return nil
}

// Input is the content of float32 graph input i, to be written in place.
func (p *Program) Input(i int) []float32 { return p.inputs[i].v }

// Output is the content of float32 graph output i.
func (p *Program) Output(i int) []float32 { return p.outputs[i].v }

// OutputShape is the shape of graph output i.
func (p *Program) OutputShape(i int) []int { return p.outputs[i].shape }

// OutputGrad is the gradient of the loss by output i, to be written between
// Forward and Backward.
func (p *Program) OutputGrad(i int) []float32 { return p.outputs[i].g }

// Forward computes the outputs.
func (p *Program) Forward() (err error) {
	defer func() {
		if r := recover(); r != nil { // an index out of range in the samples
			err = fmt.Errorf("%v", r)
		}
	}()
	for i := range p.steps {
		if err := p.steps[i].forward(); err != nil {
			return fmt.Errorf("node %s: %w", p.steps[i].node.Title(), err)
		}
	}
	return nil
}

// Backward computes the gradient of every parameter from OutputGrad.
func (p *Program) Backward() {
	for _, g := range p.clears {
		clear(g)
	}
	for i := len(p.steps) - 1; i >= 0; i-- {
		if b := p.steps[i].backward; b != nil {
			b()
		}
	}
}

// Store writes the parameters into the graph that the program was made from.
func (p *Program) Store() {
	for _, q := range p.Params {
		d := *q.value.Data
		d.Tensor = tensor.Of(q.Shape, append([]float32(nil), q.Value...))
		d.Layout = graph.Raw
		q.value.Data = &d
	}
}

// Close ends the program's threads.
func (p *Program) Close() { p.pool.close() }

// Package op is the operators of ONNX. An operator is complete with one file:
// schema of every version, shape rule, reference evaluation, and what
// quantization may do with it.
//
// The reference Eval is slow, obvious and kept for ever: it is the oracle of
// every fast path.
package op

import (
	"fmt"
	"sync"

	"onnxopt/onnx/graph"
)

// Def is one operator in all its versions.
type Def struct {
	Name     string
	Domain   string // "" is ai.onnx
	Versions []Version
	Flags    Flags
	Quant    Quant
	Check    Tolerance

	// Infer sets the types of the outputs. Their element types are set before
	// it is called where the schema ties them to an input. Nil: nothing more
	// is known.
	Infer func(*Infer) error
	// Eval computes the outputs. Nil: not evaluated here (see Flags).
	Eval func(*Eval) error
}

// Version is the schema from opset Since on, in the syntax of ParseSchema.
type Version struct {
	Since      int64
	Schema     string
	Deprecated bool
}

// Flags say what a pass may assume.
type Flags uint16

const (
	// Random operators give other outputs at each run; never folded or merged.
	Random Flags = 1 << iota
	// Elementwise operators compute each output element from the elements at
	// the same (broadcast) place of the inputs.
	Elementwise
	// DataMovement operators copy elements and compute none.
	DataMovement
	// Control operators run subgraphs.
	Control
	// Commutative operators allow their two inputs to be swapped.
	Commutative
)

// Tolerance is how exactly a fast path must agree with Eval.
type Tolerance uint8

const (
	// Close: sums and transcendental functions in float32; 1e-4 relative.
	Close Tolerance = iota
	// Exact: the same bits, NaN payloads aside.
	Exact
	// Loose: long recurrences or cancelling sums; 1e-3 relative.
	Loose
)

// Quant is what the quantizer may do with an operator.
type Quant struct {
	Kind QuantKind
	// Act lists the input slots that take quantized activations; nil is {0}
	// for every Kind but Merge, which means all inputs.
	Act []int
	// Weight is the slot of the weight and Bias that of the bias, 0 if none.
	Weight, Bias int
	// Axis is the output-channel axis of the weight, for per-channel scales.
	Axis int
}

// QuantKind classes operators for quantization.
type QuantKind uint8

const (
	// QuantNone stays in floating point.
	QuantNone QuantKind = iota
	// QuantInteger multiplies and accumulates in integers: Conv, Gemm, MatMul.
	QuantInteger
	// QuantSame passes values through, so output and input share one scale:
	// MaxPool, Reshape, Transpose.
	QuantSame
	// QuantMerge needs one scale on all inputs and the output: Concat.
	QuantMerge
	// QuantEach has an integer form with a scale of its own on every input and
	// the output: Add, Mul, AveragePool, Sigmoid.
	QuantEach
)

// Table is every operator, by category.
var Table = [][]*Def{mathTable, tensorTable, nnTable, quantTable, controlTable, sequenceTable, mlTable, trainingTable, microsoftTable}

type opKey struct{ domain, name string }

var index = sync.OnceValue(func() map[opKey]*Def {
	m := map[opKey]*Def{}
	for _, part := range Table {
		for _, d := range part {
			m[opKey{d.Domain, d.Name}] = d
		}
	}
	return m
})

// Find is the operator of a domain, nil if it is unknown.
func Find(domain, name string) *Def {
	return index()[opKey{graph.CanonicalDomain(domain), name}]
}

// At is the version in force at an opset, nil if the operator came later.
func (d *Def) At(opset int64) *Version {
	var at *Version
	for i := range d.Versions {
		if d.Versions[i].Since <= opset {
			at = &d.Versions[i]
		}
	}
	return at
}

// MaxOpset is the newest opset of ai.onnx whose operators the table describes.
const MaxOpset = 28

// MaxML is the newest version of ai.onnx.ml that the table describes.
const MaxML = 5

// Resolved is a node's operator at the model's opset.
type Resolved struct {
	*Def
	Since  int64 // the version in force
	Schema *Schema
}

// Resolve finds the operator of a node. opset gives the import of a domain.
// It fails for operators that are unknown, newer than the opset, or undefined
// there; model-local functions are the caller's matter.
func Resolve(n *graph.Node, opset func(domain string) int64) (Resolved, error) {
	d := Find(n.Domain, n.Op)
	if d == nil {
		return Resolved{}, fmt.Errorf("node %s: unknown operator %s (opset %d)", n.Title(), qualified(n.Domain, n.Op), opset(n.Domain))
	}
	have := opset(n.Domain)
	v := d.At(have)
	if v == nil {
		return Resolved{}, fmt.Errorf("node %s: operator %s is not in opset %d", n.Title(), qualified(n.Domain, n.Op), have)
	}
	s, err := v.Parsed()
	if err != nil {
		return Resolved{}, fmt.Errorf("schema of %s version %d: %w", n.Op, v.Since, err)
	}
	return Resolved{d, v.Since, s}, nil
}

func qualified(domain, name string) string {
	if graph.CanonicalDomain(domain) == "" {
		return name
	}
	return domain + "." + name
}

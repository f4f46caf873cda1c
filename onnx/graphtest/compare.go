package graphtest

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
)

// Agree says where got differs from want: in type, shape, or by more than a
// share of the largest element, which is larger for the 16-bit types. Integers
// and words must be equal.
func Agree(want, got []tensor.Value, share float64) error {
	for i := range want {
		x, ok := want[i].(*tensor.Tensor)
		if !ok {
			continue
		}
		y, ok := got[i].(*tensor.Tensor)
		if !ok || x.Type != y.Type || !slices.Equal(x.Shape, y.Shape) {
			return fmt.Errorf("output %d is %v, wanted %v", i, got[i], x)
		}
		if x.Equal(y) || x.Type.IsComplex() {
			continue
		}
		if x.Type == tensor.String {
			return fmt.Errorf("output %d is %q, wanted %q", i, y.Strings(), x.Strings())
		}
		allowed := share
		switch {
		case !x.Type.IsFloat():
			allowed = 0
		case x.Type != tensor.Float32 && x.Type != tensor.Float64:
			allowed = max(share, 0.02)
		}
		if d := difference(x.Floats(), y.Floats()); d > allowed {
			return fmt.Errorf("output %d is %v, wanted %v: differs by %.2g", i, y.Floats(), x.Floats(), d)
		}
	}
	return nil
}

// difference is the largest one, as a share of the largest element; what is
// left where larger numbers cancelled counts as a tenth.
func difference(a, b []float64) float64 {
	most, top := 0.0, 0.1
	for i := range a {
		if math.IsNaN(a[i]) != math.IsNaN(b[i]) {
			return math.Inf(1)
		}
		most, top = max(most, math.Abs(a[i]-b[i])), max(top, math.Abs(a[i]))
	}
	return most / top
}

// Stable reports that the answers hardly change when inputs, constants and what
// nodes compute do, by a millionth: that a rounding error may not move them.
func (c *Case) Stable(share float64, run func(*graph.Model, []tensor.Value) ([]tensor.Value, error)) bool {
	for i := range uint64(4) {
		r := rand.New(rand.NewPCG(i, 1))
		m := c.Model.Clone()
		nudgeNodes(r, m)
		nudgeConstants(r, m.Graph)
		in := slices.Clone(c.Inputs)
		for k, x := range in {
			if t, ok := x.(*tensor.Tensor); ok {
				in[k] = nudged(r, t)
			}
		}
		if out, err := run(m, in); err != nil || Agree(c.Outputs, out, share) != nil {
			return false
		}
	}
	return true
}

// nudgeNodes multiplies what nodes compute by almost 1.
func nudgeNodes(r *rand.Rand, m *graph.Model) {
	info := shape.Infer(m)
	for n := range m.Graph.All() {
		for _, v := range n.Outputs() {
			if v == nil || len(v.Uses()) == 0 || info.Type(v).Elem != tensor.Float32 {
				continue
			}
			k := n.Graph().AddInitializer("almost", &graph.Data{Tensor: tensor.Scalar(float32(1 + 2e-6*(r.Float64()-0.5)))})
			moved := n.Graph().NewNode("Mul", []*graph.Value{v, k}, []string{n.Graph().Fresh("moved")})
			v.ReplaceNodeUses(moved.Out(0))
			n.Graph().InsertBefore(n.Next(), moved)
		}
	}
}

func nudgeConstants(r *rand.Rand, g *graph.Graph) {
	for v := range g.Initializers() {
		if v.Data.Tensor != nil {
			v.Data.Tensor = nudged(r, v.Data.Tensor)
		}
	}
	for n := range g.Nodes() {
		for sub := range n.Subgraphs() {
			nudgeConstants(r, sub)
		}
	}
}

func nudged(r *rand.Rand, t *tensor.Tensor) *tensor.Tensor {
	if t.Type != tensor.Float32 && t.Type != tensor.Float64 {
		return t
	}
	v := t.Floats()
	for i := range v {
		v[i] *= 1 + 1e-6*(2*r.Float64()-1)
	}
	return tensor.FromFloats(t.Type, t.Shape, v)
}

// Valid says what is wrong with a model.
func Valid(m *graph.Model) error {
	if err := m.Verify(); err != nil {
		return err
	}
	return errors.Join(append(op.Verify(m), shape.Infer(m).Conflicts...)...)
}

// Seeds gives a fuzz test some random seeds to start from.
func Seeds(add func([]byte)) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 24 {
		b := make([]byte, 40+r.IntN(60))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		add(b)
	}
}

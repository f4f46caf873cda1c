package convert

import (
	"fmt"
	"math"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
)

type values = []*graph.Value

func constantOfShape(s *step, n *graph.Node) error {
	shape, ok := s.constInts(n, 0)
	if !ok {
		return fmt.Errorf("the shape is computed at run time (%s)", n.In(0))
	}
	fill := tensor.Vector(float32(0))
	if a := s.attr(n, "value"); a != nil && a.T != nil && a.T.Tensor != nil && a.T.Tensor.Len() == 1 {
		fill = a.T.Tensor
	}
	size := make([]int, len(shape))
	for i, d := range shape {
		size[i] = int(d)
	}
	t, err := tensor.Gather(fill, size, 1<<26, func(int) int { return 0 })
	if err != nil {
		return err
	}
	return s.become(n, t)
}

func celu(s *step, n *graph.Node) error {
	a, err := s.scalar(n, "alpha", n.In(0), float64(s.float(n, "alpha", 1)))
	if err != nil {
		return err
	}
	x := s.add(n, "Elu", values{s.add(n, "Div", values{n.In(0), a})})
	return s.replace(n, s.add(n, "Mul", values{x, a}))
}

// orEqual is exact also for NaN, which neither comparison holds for.
func orEqual(op string) adapt {
	return func(s *step, n *graph.Node) error {
		return s.replace(n, s.add(n, "Or", values{s.add(n, op, n.Inputs()), s.add(n, "Equal", n.Inputs())}))
	}
}

func hardSwish(s *step, n *graph.Node) error {
	gate := s.add(n, "HardSigmoid", n.Inputs(), graph.Float("alpha", 1.0/6), graph.Float("beta", 0.5))
	return s.replace(n, s.add(n, "Mul", values{n.In(0), gate}))
}

func castLike(s *step, n *graph.Node) error {
	t := s.info.Type(n.In(1)).Elem
	if !t.Valid() {
		return fmt.Errorf("the element type of %s is not known", n.In(1))
	}
	return s.replace(n, s.add(n, "Cast", n.Inputs()[:1], graph.Int("to", int64(t))))
}

func mish(s *step, n *graph.Node) error {
	gate := s.add(n, "Tanh", values{s.add(n, "Softplus", n.Inputs())})
	return s.replace(n, s.add(n, "Mul", values{n.In(0), gate}))
}

func swish(s *step, n *graph.Node) error {
	x := n.In(0)
	if alpha := s.float(n, "alpha", 1); alpha != 1 {
		a, err := s.scalar(n, "alpha", x, float64(alpha))
		if err != nil {
			return err
		}
		x = s.add(n, "Mul", values{x, a})
	}
	return s.replace(n, s.add(n, "Mul", values{n.In(0), s.add(n, "Sigmoid", values{x})}))
}

// gelu is x/2*(1+erf(x/sqrt 2)), or with approximate tanh
// x/2*(1+tanh(sqrt(2/pi)*(x+0.044715*x^3))).
func gelu(s *step, n *graph.Node) error {
	x := n.In(0)
	half, err := s.scalar(n, "half", x, 0.5)
	if err != nil {
		return err
	}
	one, _ := s.scalar(n, "one", x, 1)
	var phi *graph.Value
	if s.str(n, "approximate", "none") == "tanh" {
		c, _ := s.scalar(n, "cubic", x, 0.044715)
		r, _ := s.scalar(n, "root", x, math.Sqrt(2/math.Pi))
		cube := s.add(n, "Mul", values{s.add(n, "Mul", values{s.add(n, "Mul", values{x, x}), x}), c})
		phi = s.add(n, "Tanh", values{s.add(n, "Mul", values{s.add(n, "Add", values{x, cube}), r})})
	} else {
		r, _ := s.scalar(n, "root", x, math.Sqrt2)
		phi = s.add(n, "Erf", values{s.add(n, "Div", values{x, r})})
	}
	y := s.add(n, "Mul", values{x, s.add(n, "Add", values{phi, one})})
	return s.replace(n, s.add(n, "Mul", values{y, half}))
}

// layerNorm is (X-mean)/sqrt(var+epsilon)*Scale + B over the axes from axis on,
// the statistics in float32 where stash_type asks for it.
func layerNorm(s *step, n *graph.Node) error {
	rank, err := s.rank(n.In(0))
	if err != nil {
		return err
	}
	t, stash := s.info.Type(n.In(0)).Elem, tensor.DType(s.int(n, "stash_type", 1))
	if !t.IsFloat() || !stash.IsFloat() {
		return fmt.Errorf("the element type of %s is not known", n.In(0))
	}
	x := n.In(0)
	cast := func(v *graph.Value, to tensor.DType) *graph.Value {
		if t == stash {
			return v
		}
		return s.add(n, "Cast", values{v}, graph.Int("to", int64(to)))
	}
	x = cast(x, stash)
	var axes []int64
	for i := positive([]int64{s.int(n, "axis", -1)}, rank)[0]; i < int64(rank); i++ {
		axes = append(axes, i)
	}
	over := graph.Ints("axes", axes...)
	eps := s.constant(n, "epsilon", tensor.FromFloats(stash, nil, []float64{float64(s.float(n, "epsilon", 1e-5))}))
	mean := s.add(n, "ReduceMean", values{x}, over)
	d := s.add(n, "Sub", values{x, mean})
	variance := s.add(n, "ReduceMean", values{s.add(n, "Mul", values{d, d})}, over.Clone())
	dev := s.add(n, "Sqrt", values{s.add(n, "Add", values{variance, eps})})
	y := s.add(n, "Mul", values{cast(s.add(n, "Div", values{d, dev}), t), n.In(1)})
	if n.In(2) != nil {
		y = s.add(n, "Add", values{y, n.In(2)})
	}
	var inverse *graph.Value
	if used(n, 2) {
		inverse = s.add(n, "Reciprocal", values{dev})
	}
	if !used(n, 1) {
		mean = nil
	}
	return s.replace(n, y, mean, inverse)
}

// rmsNorm is X/sqrt(mean(X^2)+epsilon)*scale over the axes from axis on, the mean
// in float32 where stash_type asks for it.
func rmsNorm(s *step, n *graph.Node) error {
	rank, err := s.rank(n.In(0))
	if err != nil {
		return err
	}
	t, to, stash := s.info.Type(n.In(0)).Elem, s.info.Type(n.In(1)).Elem, tensor.DType(s.int(n, "stash_type", 1))
	if !t.IsFloat() || !to.IsFloat() || !stash.IsFloat() {
		return fmt.Errorf("the element types of %s and %s are not known", n.In(0), n.In(1))
	}
	x := n.In(0)
	if t != stash {
		x = s.cast(n, x, stash)
	}
	var axes []int64
	for i := positive([]int64{s.int(n, "axis", -1)}, rank)[0]; i < int64(rank); i++ {
		axes = append(axes, i)
	}
	eps := s.constant(n, "epsilon", tensor.FromFloats(stash, nil, []float64{float64(s.float(n, "epsilon", 1e-5))}))
	mean := s.add(n, "ReduceMean", values{s.add(n, "Mul", values{x, x}), s.ints(n, "axes", axes...)})
	y := s.add(n, "Div", values{x, s.add(n, "Sqrt", values{s.add(n, "Add", values{mean, eps})})})
	if to != stash {
		y = s.cast(n, y, to)
	}
	return s.replace(n, s.add(n, "Mul", values{y, n.In(1)}))
}

func swiglu(s *step, n *graph.Node) error {
	gate := s.add(n, "Swish", n.Inputs()[:1], graph.Float("alpha", s.float(n, "alpha", 1)))
	return s.replace(n, s.add(n, "Mul", values{gate, n.In(1)}))
}

// trilu masks matrices of known sizes.
func trilu(s *step, n *graph.Node) error {
	shape, err := s.shape(n.In(0))
	if err != nil {
		return err
	}
	if len(shape) < 2 {
		return fmt.Errorf("an input of rank %d", len(shape))
	}
	rows, ok := shape[len(shape)-2].Const()
	cols, ok2 := shape[len(shape)-1].Const()
	k, ok3 := s.constInts(n, 1)
	if !ok || !ok2 || !ok3 {
		return fmt.Errorf("sizes %v or the diagonal are computed at run time", shape[len(shape)-2:])
	}
	if len(k) == 0 {
		k = []int64{0}
	}
	zero, err := s.scalar(n, "zero", n.In(0), 0)
	if err != nil {
		return err
	}
	mask, err := tensor.Make(tensor.Bool, []int{int(rows), int(cols)}, 1<<26)
	if err != nil {
		return err
	}
	upper := s.int(n, "upper", 1) != 0
	bits := make([]bool, mask.Len())
	for i := range bits {
		d := int64(i)%cols - int64(i)/cols
		bits[i] = upper && d >= k[0] || !upper && d <= k[0]
	}
	kept := s.constant(n, "mask", tensor.Of(mask.Shape, bits))
	return s.replace(n, s.add(n, "Where", values{kept, n.In(0), zero}))
}

// maxFolded bounds a constant that stands for a node.
const maxFolded = 1 << 20

// fold is the only output of n if it follows from constants; nil otherwise.
func (s *step) fold(n *graph.Node, d *op.Def, v *op.Version) *tensor.Tensor {
	schema, err := v.Parsed()
	if err != nil || d.Eval == nil || d.Flags&(op.Random|op.Control) != 0 || len(n.Outputs()) != 1 || n.Out(0) == nil {
		return nil
	}
	in := make([]tensor.Value, len(n.Inputs()))
	for i, x := range n.Inputs() {
		if x == nil {
			continue
		}
		t := s.value(x)
		if t == nil {
			return nil
		}
		in[i] = t
	}
	for _, a := range n.Attrs {
		if a.Ref != "" {
			return nil
		}
	}
	out, err := op.Resolved{Def: d, Since: v.Since, Schema: schema}.Run(n, &op.Env{MaxBytes: maxFolded}, in)
	if err != nil {
		return nil
	}
	t, _ := out[0].(*tensor.Tensor)
	return t
}

package convert

import (
	"fmt"
	"math"

	"onnxopt/onnx/graph"
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

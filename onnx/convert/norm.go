package convert

import (
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// onlyFirst declines outputs besides the first that something reads.
func onlyFirst(n *graph.Node, why string) error {
	for i := len(n.Outputs()) - 1; i > 0; i-- {
		if used(n, i) {
			return fmt.Errorf("%s: output %s is in use", why, n.Out(i).Name)
		}
		if n.Out(i) != nil {
			n.DropOut(i)
		}
	}
	return nil
}

// normUp7: BatchNormalization infers if it has one output.
func normUp7(s *step, n *graph.Node) error {
	n.RemoveAttr("is_test")
	return onlyFirst(n, "training")
}

func normUp14(s *step, n *graph.Node) error { return onlyFirst(n, "training") }

// spatial: without it, every place has its own mean, variance, scale and bias:
// (X-mean)/sqrt(var+epsilon)*scale + B.
func spatial(s *step, n *graph.Node) error {
	one := s.int(n, "spatial", 1) != 0
	n.RemoveAttr("spatial")
	if one {
		return nil
	}
	if err := onlyFirst(n, "training"); err != nil {
		return err
	}
	eps, err := s.scalar(n, "epsilon", n.In(0), float64(s.float(n, "epsilon", 1e-5)))
	if err != nil {
		return err
	}
	dev := s.add(n, "Sqrt", values{s.add(n, "Add", values{n.In(4), eps})})
	x := s.add(n, "Div", values{s.add(n, "Sub", values{n.In(0), n.In(3)}), dev})
	return s.replace(n, s.add(n, "Add", values{s.add(n, "Mul", values{x, n.In(1)}), n.In(2)}))
}

func dropoutUp7(s *step, n *graph.Node) error {
	if s.int(n, "is_test", 0) == 0 {
		return fmt.Errorf("is_test = 0: opset 7 cannot drop at random")
	}
	n.RemoveAttr("is_test")
	return nil
}

// dropoutUp12: the mode stays absent, which is inference.
func dropoutUp12(s *step, n *graph.Node) error {
	ratio := s.float(n, "ratio", 0.5)
	n.RemoveAttr("ratio")
	if ratio == 0.5 {
		return nil
	}
	v, err := s.scalar(n, "ratio", n.In(0), float64(ratio))
	n.SetIn(1, v)
	return err
}

func dropoutDown12(s *step, n *graph.Node) error {
	if n.In(2) != nil {
		if t := s.value(n.In(2)); t == nil || t.Len() != 1 || t.Type != tensor.Bool || t.Bools()[0] {
			return fmt.Errorf("training_mode %s is not false", n.In(2))
		}
	}
	s.drop(n, 2)
	n.RemoveAttr("seed")
	if t := s.value(n.In(1)); t != nil && t.Len() == 1 && t.Type.IsFloat() {
		n.SetAttr(graph.Float("ratio", t.Float32s()[0]))
	}
	s.drop(n, 1) // the ratio has no effect in inference
	return nil
}

// maskUp: the mask had the type of the data.
func maskUp(s *step, n *graph.Node) error { return castMask(s, n, s.info.Type(n.In(0)).Elem) }

func maskDown(s *step, n *graph.Node) error { return castMask(s, n, tensor.Bool) }

func castMask(s *step, n *graph.Node, t tensor.DType) error {
	if !used(n, 1) {
		if n.Out(1) != nil {
			n.DropOut(1)
		}
		return nil
	}
	if !t.Valid() {
		return fmt.Errorf("the element type of %s is not known", n.In(0))
	}
	c := s.copyOf(n, n.Inputs())
	return s.replace(n, c.Out(0), s.add(n, "Cast", []*graph.Value{c.Out(1)}, graph.Int("to", int64(t))))
}

// groupUp: scale and bias of a group become those of its channels.
func groupUp(s *step, n *graph.Node) error {
	groups := s.int(n, "num_groups", 1)
	for i := 1; i <= 2; i++ {
		v, err := s.perChannel(n, n.In(i), groups)
		if err != nil {
			return err
		}
		n.SetIn(i, v)
	}
	return nil
}

// perChannel repeats each element of v, one a group, for the channels of X.
func (s *step) perChannel(n *graph.Node, v *graph.Value, groups int64) (*graph.Value, error) {
	if groups < 1 {
		return nil, fmt.Errorf("num_groups = %d", groups)
	}
	channels := dim.Unknown
	if shape, err := s.shape(n.In(0)); err == nil && len(shape) > 1 {
		channels = shape[1]
	}
	c, known := channels.Const()
	if t := s.value(v); t != nil && known && c%groups == 0 && t.Len() == int(groups) {
		each := int(c / groups)
		wide, err := tensor.Gather(t, []int{int(c)}, 1<<30, func(i int) int { return i / each })
		if err != nil {
			return nil, err
		}
		return s.constant(n, "scale", wide), nil
	}
	var each *graph.Value
	if known {
		each = s.ints(n, "shape", groups, c/groups)
	} else {
		shape := s.add(n, "Shape", values{n.In(0)}, graph.Int("start", 1), graph.Int("end", 2))
		g := s.ints(n, "groups", groups)
		each = s.add(n, "Concat", values{g, s.add(n, "Div", values{shape, g})}, graph.Int("axis", 0))
	}
	wide := s.add(n, "Expand", values{s.add(n, "Unsqueeze", values{v, s.ints(n, "axes", 1)}), each})
	return s.add(n, "Reshape", values{wide, s.ints(n, "flat", -1)}), nil
}

// groupDown: groups are the channels of an InstanceNormalization, without scale
// and bias; those follow, one a channel. Before opset 21, GroupNormalization is
// deprecated.
func groupDown(s *step, n *graph.Node) error {
	x := n.In(0)
	rank, err := s.rank(x)
	if err != nil {
		return err
	}
	t, stash := s.info.Type(x).Elem, tensor.DType(s.int(n, "stash_type", 1))
	if !t.IsFloat() || !stash.IsFloat() {
		return fmt.Errorf("the element type of %s is not known", x)
	}
	groups := int(s.int(n, "num_groups", 1))
	if groups < 1 || groups > 1<<20 || rank < 2 {
		return fmt.Errorf("num_groups = %d of an input of rank %d", groups, rank)
	}
	ones := make([]float64, groups)
	for i := range ones {
		ones[i] = 1
	}
	y := x
	if t != stash {
		y = s.cast(n, y, stash)
	}
	y = s.add(n, "InstanceNormalization", values{s.reshape(n, y, 0, int64(groups), -1),
		s.constant(n, "ones", tensor.FromFloats(stash, []int{groups}, ones)),
		s.constant(n, "zeros", tensor.FromFloats(stash, []int{groups}, make([]float64, groups)))},
		graph.Float("epsilon", s.float(n, "epsilon", 1e-5)))
	if t != stash {
		y = s.cast(n, y, t)
	}
	y = s.add(n, "Reshape", values{y, s.add(n, "Shape", values{x})})
	scale, bias := n.In(1), n.In(2)
	if rank > 2 {
		var axes []int64
		for i := 1; i < rank-1; i++ {
			axes = append(axes, int64(i))
		}
		scale = s.add(n, "Unsqueeze", values{scale, s.ints(n, "axes", axes...)})
		bias = s.add(n, "Unsqueeze", values{bias, s.ints(n, "axes", axes...)})
	}
	return s.replace(n, s.add(n, "Add", values{s.add(n, "Mul", values{y, scale}), bias}))
}

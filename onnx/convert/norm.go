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
	type in = []*graph.Value
	dev := s.add(n, "Sqrt", in{s.add(n, "Add", in{n.In(4), eps})})
	x := s.add(n, "Div", in{s.add(n, "Sub", in{n.In(0), n.In(3)}), dev})
	return s.replace(n, s.add(n, "Add", in{s.add(n, "Mul", in{x, n.In(1)}), n.In(2)}))
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
	g := n.Graph()
	c := g.NewNode("Dropout", n.Inputs(), []string{g.Fresh(outName(n) + "_data"), g.Fresh(outName(n) + "_mask")}, cloneAttrs(n)...)
	g.InsertBefore(n, c)
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
	type in = []*graph.Value
	var each *graph.Value
	if known {
		each = s.ints(n, "shape", groups, c/groups)
	} else {
		shape := s.add(n, "Shape", in{n.In(0)}, graph.Int("start", 1), graph.Int("end", 2))
		g := s.ints(n, "groups", groups)
		each = s.add(n, "Concat", in{g, s.add(n, "Div", in{shape, g})}, graph.Int("axis", 0))
	}
	wide := s.add(n, "Expand", in{s.add(n, "Unsqueeze", in{v, s.ints(n, "axes", 1)}), each})
	return s.add(n, "Reshape", in{wide, s.ints(n, "flat", -1)}), nil
}

// groupDown normalizes with scale 1 and bias 0 a group, then scales channels.
func groupDown(s *step, n *graph.Node) error {
	rank, err := s.rank(n.In(0))
	if err != nil {
		return err
	}
	t := s.info.Type(n.In(0)).Elem
	if stash := s.int(n, "stash_type", 1); tensor.DType(stash) != t && !(t == tensor.Float16 || t == tensor.BFloat16) {
		return fmt.Errorf("stash_type = %d", stash)
	}
	if !t.IsFloat() {
		return fmt.Errorf("the element type of %s is not known", n.In(0))
	}
	groups := int(s.int(n, "num_groups", 1))
	if groups < 1 || groups > 1<<20 {
		return fmt.Errorf("num_groups = %d", groups)
	}
	fill := func(name string, x float64) *graph.Value {
		v := make([]float64, groups)
		for i := range v {
			v[i] = x
		}
		return s.constant(n, name, tensor.FromFloats(t, []int{groups}, v))
	}
	type in = []*graph.Value
	y := s.copyOf(n, in{n.In(0), fill("ones", 1), fill("zeros", 0)})
	y.Def().RemoveAttr("stash_type")
	scale, bias := n.In(1), n.In(2)
	if rank > 2 {
		var axes []int64
		for i := 1; i < rank-1; i++ {
			axes = append(axes, int64(i))
		}
		scale = s.add(n, "Unsqueeze", in{scale, s.ints(n, "axes", axes...)})
		bias = s.add(n, "Unsqueeze", in{bias, s.ints(n, "axes", axes...)})
	}
	return s.replace(n, s.add(n, "Add", in{s.add(n, "Mul", in{y, scale}), bias}))
}

package convert

import (
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// An adaptation of one node, up or down.
type adapt = func(*step, *graph.Node) error

// chain does one after the other.
func chain(list ...adapt) adapt {
	return func(s *step, n *graph.Node) error {
		for _, f := range list {
			if err := f(s, n); err != nil {
				return err
			}
		}
		return nil
	}
}

// toInput makes an integer attribute the int64 vector at an input slot. The
// attribute may be the caller's of a function.
func toInput(name string, slot int) adapt {
	return func(s *step, n *graph.Node) error {
		a := n.Attr(name)
		if a == nil {
			return nil
		}
		var v *graph.Value
		switch {
		case a.Ref != "" && s.to < 12:
			return fmt.Errorf("attribute %s is given by the caller of the function", name)
		case a.Ref != "" && a.Kind == graph.AttrInts:
			v = s.add(n, "Constant", nil, &graph.Attr{Name: "value_ints", Kind: graph.AttrInts, Ref: a.Ref})
		case a.Ref != "":
			return fmt.Errorf("attribute %s is given by the caller of the function", name)
		case a.Kind == graph.AttrInt:
			v = s.ints(n, name, a.I)
		default:
			v = s.ints(n, name, a.Ints...)
		}
		n.RemoveAttr(name)
		n.SetIn(slot, v)
		return nil
	}
}

// toAttr makes a constant integer input an attribute: a list, or with single
// one integer.
func toAttr(name string, slot int, single bool) adapt {
	return func(s *step, n *graph.Node) error {
		if n.In(slot) == nil {
			return nil
		}
		v, ok := s.constInts(n, slot)
		switch {
		case !ok:
			return fmt.Errorf("%s is computed at run time (%s)", name, n.In(slot))
		case single && len(v) != 1:
			return fmt.Errorf("%s has %d values", name, len(v))
		case single:
			n.SetAttr(graph.Int(name, v[0]))
		default:
			n.SetAttr(graph.Ints(name, v...))
		}
		s.drop(n, slot)
		return nil
	}
}

// scalarToInput makes a float attribute a scalar of the element type of input
// 0, unless it says what the absent input says.
func scalarToInput(name string, slot int, absent float32) adapt {
	return func(s *step, n *graph.Node) error {
		a := s.attr(n, name)
		if a == nil {
			return nil
		}
		n.RemoveAttr(name)
		if a.F == absent {
			return nil
		}
		v, err := s.scalar(n, name, n.In(0), float64(a.F))
		n.SetIn(slot, v)
		return err
	}
}

// inputToScalar makes a constant scalar input a float attribute.
func inputToScalar(name string, slot int) adapt {
	return func(s *step, n *graph.Node) error {
		if n.In(slot) == nil {
			return nil
		}
		t := s.value(n.In(slot))
		if t == nil || t.Len() != 1 || !t.Type.IsFloat() && !t.Type.IsInt() {
			return fmt.Errorf("%s is computed at run time (%s)", name, n.In(slot))
		}
		x := t.Floats()[0]
		if float64(float32(x)) != x && x == x {
			return fmt.Errorf("%s = %v is no float", name, x)
		}
		n.SetAttr(graph.Float(name, float32(x)))
		s.drop(n, slot)
		return nil
	}
}

// set gives an attribute the value that its absence had.
func set(a *graph.Attr) adapt {
	return func(s *step, n *graph.Node) error {
		if n.Attr(a.Name) == nil {
			n.SetAttr(a.Clone())
		}
		return nil
	}
}

// forget drops attributes that have no effect in the other version.
func forget(names ...string) adapt {
	return func(s *step, n *graph.Node) error {
		for _, name := range names {
			n.RemoveAttr(name)
		}
		return nil
	}
}

// forgetOnes drops a list of ones, which is what its absence says.
func forgetOnes(name string) adapt {
	return func(s *step, n *graph.Node) error {
		a := s.attr(n, name)
		if a != nil && slices.ContainsFunc(a.Ints, func(d int64) bool { return d != 1 }) {
			return fmt.Errorf("%s = %v", name, a.Ints)
		}
		n.RemoveAttr(name)
		return nil
	}
}

// without declines values of a string attribute that came with the newer
// version.
func without(name string, values ...string) adapt {
	return func(s *step, n *graph.Node) error {
		if v := s.str(n, name, ""); slices.Contains(values, v) {
			return fmt.Errorf("%s = %s came with opset %d", name, v, s.from)
		}
		return nil
	}
}

// rewords maps values of a string attribute.
func rewords(name string, pairs ...string) adapt {
	return func(s *step, n *graph.Node) error {
		a := s.attr(n, name)
		for i := 0; a != nil && i < len(pairs); i += 2 {
			if a.S == pairs[i] {
				a.S = pairs[i+1]
				break
			}
		}
		return nil
	}
}

// fromFront makes negative axes of an attribute, which came with opset 11,
// count from the front. The axes are those of input 0 with more new ones.
func fromFront(name string, more int) adapt {
	return func(s *step, n *graph.Node) error {
		a := s.attr(n, name)
		if a == nil || a.I >= 0 && !slices.ContainsFunc(a.Ints, func(x int64) bool { return x < 0 }) {
			return nil
		}
		rank, err := s.rank(n.In(0))
		if err != nil {
			return err
		}
		rank += more
		a.I, a.Ints = positive([]int64{a.I}, rank)[0], positive(a.Ints, rank)
		return nil
	}
}

func unsqueezeAxes(s *step, n *graph.Node) error {
	return fromFront("axes", len(n.Ints("axes")))(s, n)
}

// throughFloat wraps an operator that no longer takes integers: Cast to
// double, and back.
func throughFloat(s *step, n *graph.Node) error {
	t := s.info.Type(n.In(0)).Elem
	if !t.IsInt() {
		return nil
	}
	x := s.add(n, "Cast", n.Inputs()[:1], graph.Int("to", int64(tensor.Float64)))
	y := s.copyOf(n, append([]*graph.Value{x}, n.Inputs()[1:]...))
	return s.replace(n, s.add(n, "Cast", y.Outputs(), graph.Int("to", int64(t))))
}

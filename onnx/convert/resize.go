package convert

import (
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// upsampleScales: an image [N, C, H, W] was scaled by height and width.
func upsampleScales(s *step, n *graph.Node) error {
	h, w := s.float(n, "height_scale", 1), s.float(n, "width_scale", 1)
	n.RemoveAttr("height_scale")
	n.RemoveAttr("width_scale")
	n.SetAttr(graph.Floats("scales", 1, 1, h, w))
	return nil
}

func upsampleSides(s *step, n *graph.Node) error {
	a := s.attr(n, "scales")
	if a == nil || len(a.Floats) != 4 || a.Floats[0] != 1 || a.Floats[1] != 1 {
		return fmt.Errorf("scales are not those of the height and width of an image")
	}
	n.SetAttr(graph.Float("height_scale", a.Floats[2]))
	n.SetAttr(graph.Float("width_scale", a.Floats[3]))
	n.RemoveAttr("scales")
	return rewords("mode", "linear", "bilinear")(s, n)
}

func upsampleToResize(s *step, n *graph.Node) error {
	n.Op = "Resize"
	return rewords("mode", "bilinear", "linear")(s, n)
}

func resizeToUpsample(s *step, n *graph.Node) error {
	t := s.value(n.In(1))
	if t == nil {
		return fmt.Errorf("scales are computed at run time (%s)", n.In(1))
	}
	if slices.ContainsFunc(t.Floats(), func(x float64) bool { return !(x >= 1) }) {
		return fmt.Errorf("scales %v are not all at least 1", t.Floats())
	}
	n.Op = "Upsample"
	return nil
}

// resizeUp11: Resize of opset 10 mapped output i to input i/scale. Which element
// is nearest was left open; as in onnxruntime it is the floor of that, or the
// ceiling along an axis that shrinks. Axes are independent, so that one Resize
// can enlarge and the next shrink.
func resizeUp11(s *step, n *graph.Node) error {
	grow, shrink := true, false
	if s.str(n, "mode", "nearest") == "nearest" {
		shrink = true
		if t := s.value(n.In(1)); t != nil {
			shrink = slices.ContainsFunc(t.Floats(), func(x float64) bool { return x < 1 })
			grow = !shrink || slices.ContainsFunc(t.Floats(), func(x float64) bool { return x > 1 })
		}
	}
	n.SetAttr(graph.Str("coordinate_transformation_mode", "asymmetric"))
	nearest := "floor"
	if !grow {
		nearest = "ceil"
	}
	n.SetAttr(graph.Str("nearest_mode", nearest))
	roi, scales := s.empty(n, "roi"), n.In(1)
	n.SetInputs(n.In(0), roi, scales)
	if !grow || !shrink {
		return nil
	}
	one := s.constant(n, "one", tensor.Scalar(float32(1)))
	larger := s.copyOf(n, values{n.In(0), roi, s.add(n, "Max", values{scales, one})}).Out(0)
	n.SetInputs(larger, roi, s.add(n, "Min", values{scales, one}))
	n.SetAttr(graph.Str("nearest_mode", "ceil"))
	return nil
}

func (s *step) empty(n *graph.Node, name string) *graph.Value {
	return s.constant(n, name, tensor.Of([]int{0}, []float32{}))
}

func resizeDown11(s *step, n *graph.Node) error {
	if n.In(3) != nil {
		return fmt.Errorf("sizes %s", n.In(3))
	}
	mode := s.str(n, "mode", "nearest")
	if c := s.str(n, "coordinate_transformation_mode", "half_pixel"); c != "asymmetric" || mode == "cubic" {
		return fmt.Errorf("mode %s with coordinate_transformation_mode %s", mode, c)
	}
	if nearest := s.str(n, "nearest_mode", "round_prefer_floor"); mode == "nearest" {
		t := s.value(n.In(2))
		if t == nil {
			return fmt.Errorf("scales are computed at run time (%s)", n.In(2))
		}
		for _, x := range t.Floats() {
			if x > 1 && nearest != "floor" || x < 1 && nearest != "ceil" {
				return fmt.Errorf("nearest_mode %s with scales %v", nearest, t.Floats())
			}
		}
	}
	if s.int(n, "exclude_outside", 0) != 0 {
		return fmt.Errorf("exclude_outside")
	}
	for _, name := range []string{"coordinate_transformation_mode", "nearest_mode", "cubic_coeff_a", "exclude_outside", "extrapolation_value"} {
		n.RemoveAttr(name)
	}
	roi, scales := n.In(1), n.In(2)
	n.SetInputs(n.In(0), scales)
	s.release(roi)
	return nil
}

// resizeDown13: roi and scales had to be given, if empty.
func resizeDown13(s *step, n *graph.Node) error {
	for i, name := range []string{"roi", "scales"} {
		if n.In(1+i) == nil {
			n.SetIn(1+i, s.empty(n, name))
		}
	}
	return nil
}

// resizeDown18 gives scales, sizes and roi of some axes to all.
func resizeDown18(s *step, n *graph.Node) error {
	if s.int(n, "antialias", 0) != 0 && s.str(n, "mode", "nearest") != "nearest" {
		return fmt.Errorf("antialias")
	}
	if p := s.str(n, "keep_aspect_ratio_policy", "stretch"); p != "stretch" && n.In(3) != nil {
		return fmt.Errorf("keep_aspect_ratio_policy = %s", p)
	}
	axes := s.attr(n, "axes")
	for _, name := range []string{"antialias", "keep_aspect_ratio_policy", "axes"} {
		n.RemoveAttr(name)
	}
	if axes == nil {
		return nil
	}
	shape, err := s.shape(n.In(0))
	if err != nil {
		return err
	}
	rank := len(shape)
	at := positive(axes.Ints, rank)
	if err := s.spread(n, 2, "scales", slices.Repeat([]float64{1}, rank), at); err != nil {
		return err
	}
	all := make([]float64, rank)
	for i, d := range shape {
		c, known := d.Const()
		if n.In(3) != nil && !known && !slices.Contains(at, int64(i)) {
			return fmt.Errorf("sizes of axes %v of an input of shape %v", at, s.info.Type(n.In(0)))
		}
		all[i] = float64(c)
	}
	if err := s.spread(n, 3, "sizes", all, at); err != nil {
		return err
	}
	if n.In(1) == nil || s.str(n, "coordinate_transformation_mode", "") != "tf_crop_and_resize" {
		s.drop(n, 1)
		return nil
	}
	both := slices.Clone(at)
	for _, a := range at {
		both = append(both, a+int64(rank))
	}
	return s.spread(n, 1, "roi", append(make([]float64, rank), slices.Repeat([]float64{1}, rank)...), both)
}

// spread puts the elements of constant input slot at their places of all.
func (s *step) spread(n *graph.Node, slot int, name string, all []float64, at []int64) error {
	v := n.In(slot)
	if v == nil {
		return nil
	}
	t := s.value(v)
	if t == nil || t.Len() != len(at) {
		return fmt.Errorf("%s of axes %v is computed at run time (%s)", name, at, v)
	}
	for i, x := range t.Floats() {
		all[at[i]] = x
	}
	n.SetIn(slot, s.constant(n, name, tensor.FromFloats(t.Type, []int{len(all)}, all)))
	s.release(v)
	return nil
}

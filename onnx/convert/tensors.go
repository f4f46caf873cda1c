package convert

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// floatsToInput makes a float list the float32 vector at an input slot.
func floatsToInput(name string, slot int) adapt {
	return func(s *step, n *graph.Node) error {
		if a := s.attr(n, name); a != nil {
			n.SetIn(slot, s.constant(n, name, tensor.Vector(a.Floats...)))
			n.RemoveAttr(name)
		}
		return nil
	}
}

func inputToFloats(name string, slot int) adapt {
	return func(s *step, n *graph.Node) error {
		t := s.value(n.In(slot))
		if t == nil {
			return fmt.Errorf("%s is computed at run time (%s)", name, n.In(slot))
		}
		s.drop(n, slot)
		n.SetAttr(graph.Floats(name, t.Float32s()...))
		return nil
	}
}

func sliceDown(s *step, n *graph.Node) error {
	steps, ok := s.constInts(n, 4)
	if !ok || slices.ContainsFunc(steps, func(x int64) bool { return x != 1 }) {
		return fmt.Errorf("steps %v", n.In(4))
	}
	s.drop(n, 4)
	axes, _ := s.constInts(n, 3)
	if slices.ContainsFunc(axes, func(a int64) bool { return a < 0 }) {
		rank, err := s.rank(n.In(0))
		if err != nil {
			return err
		}
		s.drop(n, 3)
		n.SetIn(3, s.ints(n, "axes", positive(axes, rank)...))
	}
	return chain(toAttr("axes", 3, false), toAttr("ends", 2, false), toAttr("starts", 1, false))(s, n)
}

// splitUp18: equal parts must say how many.
func splitUp18(s *step, n *graph.Node) error {
	if n.In(1) == nil && n.Attr("num_outputs") == nil {
		n.SetAttr(graph.Int("num_outputs", int64(len(n.Outputs()))))
	}
	return nil
}

// splitDown18: the last of num_outputs parts may be smaller; before, they were
// equal.
func splitDown18(s *step, n *graph.Node) error {
	if n.Attr("num_outputs") == nil {
		return nil
	}
	parts := s.int(n, "num_outputs", 0)
	n.RemoveAttr("num_outputs")
	shape, err := s.shape(n.In(0))
	if err != nil {
		return err
	}
	axis := positive([]int64{s.int(n, "axis", 0)}, len(shape))[0]
	d := shape[axis]
	if each := d.FloorDiv(dim.Of(parts)); each.Mul(dim.Of(parts)).Equal(d) {
		return nil
	}
	total, ok := d.Const()
	if !ok || parts < 1 {
		return fmt.Errorf("an axis of size %v in %d parts", d, parts)
	}
	chunk := (total + parts - 1) / parts
	sizes := make([]int64, parts)
	for i := range sizes {
		sizes[i] = min(chunk, max(total-int64(i)*chunk, 0))
	}
	n.SetIn(1, s.ints(n, "split", sizes...))
	return nil
}

// allPads gives pads of some axes to all.
func allPads(s *step, n *graph.Node) error {
	axes, ok := s.constInts(n, 3)
	if !ok {
		return fmt.Errorf("axes is computed at run time (%s)", n.In(3))
	}
	if n.In(3) == nil {
		return nil
	}
	pads, ok := s.constInts(n, 1)
	rank, err := s.rank(n.In(0))
	if err != nil || !ok || len(pads) != 2*len(axes) {
		return fmt.Errorf("pads of axes %v of an input of unknown rank, or computed at run time", axes)
	}
	all := make([]int64, 2*rank)
	for i, a := range positive(axes, rank) {
		all[a], all[int(a)+rank] = pads[i], pads[i+len(axes)]
	}
	s.drop(n, 3)
	old := n.In(1)
	n.SetIn(1, s.ints(n, "pads", all...))
	s.release(old)
	return nil
}

// typedConstant: Constant made only floats.
func typedConstant(s *step, n *graph.Node) error {
	a := s.attr(n, "value")
	if a == nil || a.T == nil || a.T.Tensor == nil || a.T.Tensor.Type.IsFloat() {
		return nil
	}
	return s.become(n, a.T.Tensor)
}

// denseConstant writes a sparse value in full.
func denseConstant(s *step, n *graph.Node) error {
	a := s.attr(n, "sparse_value")
	if a == nil || a.T == nil || a.T.Sparse == nil {
		return nil
	}
	t, err := a.T.Sparse.Dense(1 << 30)
	if err != nil {
		return err
	}
	n.RemoveAttr("sparse_value")
	n.SetAttr(graph.TensorAttr("value", t))
	return nil
}

// tensorConstant writes a value as a tensor.
func tensorConstant(s *step, n *graph.Node) error {
	for _, a := range slices.Clone(n.Attrs) {
		var t *tensor.Tensor
		switch s.attr(n, a.Name); a.Name {
		case "value_int":
			t = tensor.Scalar(a.I)
		case "value_ints":
			t = tensor.Vector(a.Ints...)
		case "value_float":
			t = tensor.Scalar(a.F)
		case "value_floats":
			t = tensor.Vector(a.Floats...)
		case "value_string":
			t, _ = tensor.FromStrings(nil, []string{a.S})
		case "value_strings":
			t, _ = tensor.FromStrings([]int{len(a.Strings)}, a.Strings)
		default:
			continue
		}
		n.RemoveAttr(a.Name)
		n.SetAttr(graph.TensorAttr("value", t))
	}
	return nil
}

// oneScale drops the axis of a scale of one element.
func oneScale(s *step, n *graph.Node) error {
	shape, ok := s.info.Type(n.In(1)).Static()
	if count, err := tensor.Count(shape); !ok || err != nil || count != 1 {
		return fmt.Errorf("scale %s is not one for the tensor", n.In(1))
	}
	n.RemoveAttr("axis")
	return nil
}

// noZero: allowzero makes a difference only where the shape has a zero.
func noZero(s *step, n *graph.Node) error {
	if s.int(n, "allowzero", 0) != 0 {
		if shape, ok := s.constInts(n, 1); !ok || slices.Contains(shape, 0) {
			return fmt.Errorf("allowzero with a shape that is or may be 0 (%s)", n.In(1))
		}
	}
	n.RemoveAttr("allowzero")
	return nil
}

// wholeShape cuts the shape behind Shape.
func wholeShape(s *step, n *graph.Node) error {
	start, end := s.int(n, "start", 0), s.int(n, "end", math.MaxInt64)
	n.RemoveAttr("start")
	n.RemoveAttr("end")
	if start == 0 && end == math.MaxInt64 {
		return nil
	}
	all := s.add(n, "Shape", n.Inputs()[:1])
	// Slice clamps as Shape does.
	return s.replace(n, s.add(n, "Slice", []*graph.Value{all, s.ints(n, "starts", start), s.ints(n, "ends", end), s.ints(n, "axes", 0)}))
}

func outputHalfPixel(s *step, n *graph.Node) error {
	if mode := s.str(n, "coordinate_transformation_mode", "half_pixel"); mode != "output_half_pixel" {
		return fmt.Errorf("coordinate_transformation_mode = %s", mode)
	}
	n.RemoveAttr("coordinate_transformation_mode")
	return nil
}

func gridSampleDown(s *step, n *graph.Node) error {
	if rank, err := s.rank(n.In(0)); err != nil || rank != 4 {
		return fmt.Errorf("an input of rank %d", rank)
	}
	if n.Attr("mode") == nil {
		n.SetAttr(graph.Str("mode", "linear"))
	}
	return rewords("mode", "linear", "bilinear", "cubic", "bicubic")(s, n)
}

// lastWindow declines a pooling with ceil_mode that had one output more before:
// the size is ceil((n + pads - (k-1)*d - 1)/s) + 1, and since opset 22 a window
// that starts behind the input and its leading padding is dropped.
func lastWindow(s *step, n *graph.Node) error {
	if s.int(n, "ceil_mode", 0) == 0 || s.str(n, "auto_pad", "NOTSET") != "NOTSET" {
		return nil
	}
	kernel, pads, strides, dilations := n.Ints("kernel_shape"), n.Ints("pads"), n.Ints("strides"), n.Ints("dilations")
	shape := s.info.Type(n.In(0)).Shape
	at := func(list []int64, i int, def int64) int64 {
		if i < len(list) {
			return list[i]
		}
		return def
	}
	for i, k := range kernel {
		if i+2 >= len(shape) {
			break
		}
		size, known := shape[i+2].Const()
		before, after, stride := at(pads, i, 0), at(pads, i+len(kernel), 0), at(strides, i, 1)
		if !known || stride < 1 {
			continue
		}
		span := size + before + after - (k-1)*at(dilations, i, 1) - 1
		if last := (span + stride - 1) / stride; last*stride >= size+before {
			return fmt.Errorf("ceil_mode: the last window of axis %d starts in the padding", i+2)
		}
	}
	return nil
}

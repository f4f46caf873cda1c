package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opSlice = &Def{
	Name: "Slice",
	Versions: []Version{
		{Since: 1, Schema: `data:T -> output:T | axes:ints ends:ints! starts:ints! | T: all`},
		{Since: 10, Schema: `data:T starts:Tind ends:Tind axes?:Tind steps?:Tind -> output:T |  | T: all; Tind: int32 int64`},
		{Since: 11, Schema: `data:T starts:Tind ends:Tind axes?:Tind steps?:Tind -> output:T |  | T: all; Tind: int32 int64`},
		{Since: 13, Schema: `data:T starts:Tind ends:Tind axes?:Tind steps?:Tind -> output:T |  | T: all bfloat16; Tind: int32 int64`},
	},
	Flags: DataMovement,
	Check: Exact,
	Quant: Quant{Kind: QuantSame},
	Infer: inferSlice,
	Eval:  evalSlice,
}

// sliceAxis is one axis of a slice, resolved for a size: start, count, step.
func sliceAxis(start, end, step int64, size int) (first, count int) {
	n := int64(size)
	if start < 0 {
		start += n
	}
	if end < 0 {
		end += n
	}
	if step > 0 {
		start, end = min(max(start, 0), n), min(max(end, 0), n)
		return int(start), int(max(0, (end-start+step-1)/step))
	}
	start, end = min(max(start, -1), n-1), min(max(end, -1), n-1)
	return int(start), int(max(0, (end-start+step+1)/step))
}

func inferSlice(f *Infer) error {
	s, ok := f.Shape(0)
	if !ok {
		return nil
	}
	starts, ends, axes, steps, known := sliceParams(f, len(s))
	out := slices.Clone(s)
	if !known {
		if axes, ok = f.Ints(3); !ok {
			for i := range s {
				axes = append(axes, i)
			}
		}
		for _, a := range axes {
			if axis, ok := Axis(a, len(s)); ok {
				out[axis] = dim.Unknown
			}
		}
		f.Set(0, out...)
		return nil
	}
	for i, a := range axes {
		axis, ok := Axis(a, len(s))
		if !ok || i >= len(starts) || i >= len(ends) || i >= len(steps) || steps[i].Is(0) {
			return fmt.Errorf("slice of %v along axes %v", f.Type(0), axes)
		}
		out[axis] = sliceDim(s[axis], starts[i], ends[i], steps[i])
	}
	f.Set(0, out...)
	return sliceData(f, starts, ends, steps)
}

// sliceDim is the size of a sliced axis as far as it is known.
func sliceDim(size, start, end, step dim.Dim) dim.Dim {
	a, ok := start.Const()
	b, ok2 := end.Const()
	k, ok3 := step.Const()
	n, ok4 := size.Const()
	switch {
	case ok && ok2 && ok3 && ok4:
		_, count := sliceAxis(a, b, k, int(n))
		return dim.Of(int64(count))
	case !ok || !ok3:
		return dim.Unknown
	case k > 0:
		return sliceSpan(size, a, end).CeilDiv(step)
	case k == -1 && ok2 && (a == -1 || a >= sliceLimit) && b < -sliceLimit:
		return size
	}
	return dim.Unknown
}

// sliceLimit is the least end that exporters write for all.
const sliceLimit = 1<<31 - 1

// sliceSpan is the number of positions from start to end of an axis of
// symbolic size or with a symbolic end.
func sliceSpan(size dim.Dim, start int64, end dim.Dim) dim.Dim {
	from := dim.Of(start)
	atLeast := func(n dim.Dim) bool { return size.Sub(n).NonNegative() }
	b, constant := end.Const()
	switch {
	case constant && b >= sliceLimit || end.Equal(size):
		end = size
	case constant && b < 0:
		if !atLeast(dim.Of(-b)) {
			return dim.Unknown
		}
		end = size.Add(end)
	case !end.NonNegative(): // could count from the end
		return dim.Unknown
	case !atLeast(end):
		end = end.Min(size)
	}
	switch {
	case start == 0:
		return end
	case start < 0 && !atLeast(dim.Of(-start)):
		if !end.Equal(size) {
			return dim.Unknown
		}
		return size.Min(dim.Of(-start))
	case start < 0:
		from = size.Add(from)
	}
	if span := end.Sub(from); span.NonNegative() {
		return span
	}
	return end.Sub(from).Max(dim.Of(0))
}

func sliceData(f *Infer, starts, ends, steps []dim.Dim) error {
	d, ok := f.InData(0)
	if !ok || len(f.Out[0].Shape) != 1 || len(starts) != 1 {
		return nil
	}
	a, ok := starts[0].Const()
	b, ok2 := ends[0].Const()
	k, ok3 := steps[0].Const()
	if !ok || !ok2 || !ok3 {
		return nil
	}
	first, count := sliceAxis(a, b, k, len(d))
	out := make([]dim.Dim, count)
	for i := range out {
		out[i] = d[first+i*int(k)]
	}
	f.SetData(0, out)
	return nil
}

// sliceParams reads starts, ends, axes and steps: attributes before opset 10,
// then inputs.
func sliceParams(f *Infer, rank int) (starts, ends []dim.Dim, axes []int, steps []dim.Dim, known bool) {
	if f.Since < 10 {
		for _, v := range f.Attrs.Ints("starts") {
			starts = append(starts, dim.Of(int64(v)))
		}
		for _, v := range f.Attrs.Ints("ends") {
			ends = append(ends, dim.Of(int64(v)))
		}
		axes = f.Attrs.Ints("axes")
		known = true
	} else {
		var ok, ok2 bool
		starts, ok = f.InData(1)
		ends, ok2 = f.InData(2)
		if known = ok && ok2; known && f.Given(3) {
			axes, known = f.Ints(3)
		}
		if known && f.Given(4) {
			steps, known = f.InData(4)
		}
	}
	if len(axes) == 0 {
		for i := range min(len(starts), rank) {
			axes = append(axes, i)
		}
	}
	if steps == nil {
		for range starts {
			steps = append(steps, dim.Of(1))
		}
	}
	return starts, ends, axes, steps, known
}

func evalSlice(e *Eval) error {
	x := e.Tensor(0)
	var starts, ends, axes, steps []int64
	if e.Since < 10 {
		for name, list := range map[string]*[]int64{"starts": &starts, "ends": &ends, "axes": &axes} {
			if a := e.Attr(name); a != nil {
				*list = a.Ints
			}
		}
	} else {
		starts, ends = e.Tensor(1).Ints(), e.Tensor(2).Ints()
		if t := e.Tensor(3); t != nil {
			axes = t.Ints()
		}
		if t := e.Tensor(4); t != nil {
			steps = t.Ints()
		}
	}
	if len(starts) != len(ends) || axes != nil && len(axes) != len(starts) || steps != nil && len(steps) != len(starts) {
		return fmt.Errorf("starts %v, ends %v, axes %v, steps %v", starts, ends, axes, steps)
	}
	shape, strides, base := slices.Clone(x.Shape), tensor.Strides(x.Shape), 0
	own := tensor.Strides(x.Shape)
	for i := range starts {
		axis, step := i, int64(1)
		if axes != nil {
			axis = int(axes[i])
		}
		if steps != nil {
			step = steps[i]
		}
		axis, ok := Axis(axis, x.Rank())
		if !ok || step == 0 {
			return fmt.Errorf("slice of %v: axes %v, steps %v", x, axes, steps)
		}
		first, count := sliceAxis(starts[i], ends[i], step, x.Shape[axis])
		shape[axis], strides[axis] = count, own[axis]*int(step)
		base += first * own[axis]
	}
	out, err := strided(x, shape, base, strides, e.Env.maxBytes())
	e.Set(0, out)
	return err
}

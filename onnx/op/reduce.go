package op

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

// reduction completes d as a reduction over axes. floats and ints reduce one
// group of elements; ints may be nil.
func reduction(d *Def, floats func([]float64) float64, ints func([]int64) int64) *Def {
	var typed func([]int64, tensor.DType) int64
	if ints != nil {
		typed = func(v []int64, _ tensor.DType) int64 { return ints(v) }
	}
	return reductionOfType(d, floats, typed)
}

// reductionOfType is reduction for integers whose order or limits depend on
// their type.
func reductionOfType(d *Def, floats func([]float64) float64, ints func([]int64, tensor.DType) int64) *Def {
	axesInput := int64(18) // the version that made axes an input
	if d.Name == "ReduceSum" {
		axesInput = 13
	}
	d.Infer = func(f *Infer) error { return inferReduce(f, axesInput) }
	d.Eval = func(e *Eval) error {
		x := e.Tensor(0)
		axes, given, err := e.axesParam(axesInput)
		if err != nil {
			return err
		}
		reduce, err := reducedAxes(axes, given, e.Int("noop_with_empty_axes") != 0, x.Rank())
		if err != nil {
			return err
		}
		shape, groups := reduceGroups(x.Shape, reduce)
		if e.Int("keepdims") == 0 {
			shape = dropAxes(shape, reduce)
		}
		if x.Type.IsFloat() || ints == nil {
			v := eachGroup(groups, x.Floats(), floats)
			e.Set(0, tensor.FromFloats(x.Type, shape, v))
			return nil
		}
		e.Set(0, tensor.FromInts(x.Type, shape, eachGroup(groups, x.Ints(), func(v []int64) int64 { return ints(v, x.Type) })))
		return nil
	}
	return d
}

func eachGroup[T any](groups [][]int, v []T, f func([]T) T) []T {
	out := make([]T, len(groups))
	var buf []T
	for g, members := range groups {
		buf = buf[:0]
		for _, i := range members {
			buf = append(buf, v[i])
		}
		out[g] = f(buf)
	}
	return out
}

// reducedAxes marks the axes to reduce: all when none are given.
func reducedAxes(axes []int, given, noop bool, rank int) ([]bool, error) {
	if !given || len(axes) == 0 {
		set := make([]bool, rank)
		for i := range set {
			set[i] = !noop
		}
		return set, nil
	}
	set, err := axisSet(axes, rank)
	if rank == 0 && err != nil && len(axes) == 1 { // axis 0 or -1 of a scalar
		return nil, nil
	}
	return set, err
}

// reduceGroups is the shape with reduced axes of size 1, and for every element
// of it the linear indices that it reduces.
func reduceGroups(in []int, reduce []bool) (shape []int, groups [][]int) {
	shape = slices.Clone(in)
	for i, r := range reduce {
		if r {
			shape[i] = 1
		}
	}
	groups = make([][]int, volume(shape))
	strides, pos := tensor.Strides(shape), make([]int, len(in))
	for i := range volume(in) {
		unravel(i, in, pos)
		g := 0
		for d, p := range pos {
			if !reduce[d] {
				g += p * strides[d]
			}
		}
		groups[g] = append(groups[g], i)
	}
	return shape, groups
}

func dropAxes(shape []int, drop []bool) []int {
	var out []int
	for i, d := range shape {
		if !drop[i] {
			out = append(out, d)
		}
	}
	return out
}

func inferReduce(f *Infer, axesInput int64) error {
	s, ok := f.Shape(0)
	if !ok {
		return nil
	}
	axes, given, known := f.axesParam(axesInput)
	keep := f.Int("keepdims") != 0
	if !known {
		if keep {
			f.Set(0, Unknowns(len(s))...)
		} else if count, ok := f.Shape(1); ok && len(count) == 1 {
			if n, isConst := count[0].Const(); isConst && n > 0 && n <= int64(len(s)) {
				f.Set(0, Unknowns(len(s)-int(n))...)
			}
		}
		return nil
	}
	reduce, err := reducedAxes(axes, given, f.Int("noop_with_empty_axes") != 0, len(s))
	if err != nil {
		return err
	}
	var out []dim.Dim
	for i, d := range s {
		switch {
		case !reduce[i]:
			out = append(out, d)
		case keep:
			out = append(out, dim.Of(1))
		}
	}
	f.Set(0, out...)
	if d, ok := f.InData(0); ok && len(s) == 1 && reduce[0] && f.Type(0).Elem.IsInt() {
		switch f.Node.Op {
		case "ReduceProd":
			f.SetData(0, []dim.Dim{product(d)})
		case "ReduceSum":
			sum := dim.Of(0)
			for _, x := range d {
				sum = sum.Add(x)
			}
			f.SetData(0, []dim.Dim{sum})
		}
	}
	return nil
}

// Reductions of one group. An empty group gives the neutral element.

func sumFloats(v []float64) float64 {
	s := 0.0
	for _, x := range v {
		s += x
	}
	return s
}

func sumInts(v []int64) int64 {
	s := int64(0)
	for _, x := range v {
		s += x
	}
	return s
}

func logSumExp(v []float64) float64 {
	if len(v) == 0 {
		return math.Inf(-1)
	}
	m := slices.Max(v)
	if math.IsInf(m, 0) || math.IsNaN(m) {
		return m
	}
	s := 0.0
	for _, x := range v {
		s += math.Exp(x - m)
	}
	return m + math.Log(s)
}

func maxFloats(v []float64) float64 {
	m := math.Inf(-1)
	for _, x := range v {
		m = max(m, x)
	}
	return m
}

func minFloats(v []float64) float64 {
	m := math.Inf(1)
	for _, x := range v {
		m = min(m, x)
	}
	return m
}

func maxInts(v []int64, t tensor.DType) int64 {
	m, _ := t.IntRange()
	for _, x := range v {
		if t == tensor.Uint64 {
			m = int64(max(uint64(m), uint64(x)))
		} else {
			m = max(m, x)
		}
	}
	return m
}

func minInts(v []int64, t tensor.DType) int64 {
	_, m := t.IntRange()
	if t == tensor.Uint64 {
		m = -1 // the largest
	}
	for _, x := range v {
		if t == tensor.Uint64 {
			m = int64(min(uint64(m), uint64(x)))
		} else {
			m = min(m, x)
		}
	}
	return m
}

// argReduce completes d as ArgMax or ArgMin: better says that a beats b.
func argReduce(d *Def, wantMax bool) *Def {
	d.Check = Exact
	d.Infer = func(f *Infer) error {
		s, ok := f.Shape(0)
		if !ok {
			return nil
		}
		axis, ok := Axis(f.Int("axis"), len(s))
		if !ok {
			return fmt.Errorf("axis %d of rank %d", f.Int("axis"), len(s))
		}
		out := slices.Clone(s)
		out[axis] = dim.Of(1)
		if f.Int("keepdims") == 0 {
			out = slices.Delete(out, axis, axis+1)
		}
		f.Set(0, out...)
		return nil
	}
	d.Eval = func(e *Eval) error {
		x := e.Tensor(0)
		axis, ok := Axis(e.Int("axis"), x.Rank())
		if !ok {
			return fmt.Errorf("axis %d of %v", e.Int("axis"), x)
		}
		reduce := make([]bool, x.Rank())
		reduce[axis] = true
		shape, groups := reduceGroups(x.Shape, reduce)
		if e.Int("keepdims") == 0 {
			shape = dropAxes(shape, reduce)
		}
		less, last := lessAt(x), e.Int("select_last_index") != 0
		out := make([]int64, len(groups))
		for g, members := range groups {
			best := 0
			for k, i := range members {
				a, b := members[best], i
				if wantMax {
					a, b = b, a
				}
				// now: a, b such that less(b, a) means that i is better
				if less(b, a) || last && !less(a, b) {
					best = k
				}
			}
			out[g] = int64(best)
		}
		e.Set(0, tensor.Of(shape, out))
		return nil
	}
	return d
}

// cumulative completes d as a running sum or product along an axis.
func cumulative(d *Def, neutral float64, floats func(a, b float64) float64, ints func(a, b int64) int64) *Def {
	d.Infer = sameShape
	d.Eval = func(e *Eval) error {
		x := e.Tensor(0)
		axis, ok := Axis(int(e.Tensor(1).Ints()[0]), x.Rank())
		if !ok {
			return fmt.Errorf("axis %d of %v", e.Tensor(1).Ints()[0], x)
		}
		reduce := make([]bool, x.Rank())
		reduce[axis] = true
		_, groups := reduceGroups(x.Shape, reduce)
		exclusive, reverse := e.Int("exclusive") != 0, e.Int("reverse") != 0
		if x.Type.IsFloat() {
			e.Set(0, tensor.FromFloats(x.Type, x.Shape, scan(groups, x.Floats(), neutral, floats, exclusive, reverse)))
			return nil
		}
		e.Set(0, tensor.FromInts(x.Type, x.Shape, scan(groups, x.Ints(), int64(neutral), ints, exclusive, reverse)))
		return nil
	}
	return d
}

func scan[T any](groups [][]int, v []T, neutral T, f func(a, b T) T, exclusive, reverse bool) []T {
	out := make([]T, len(v))
	for _, members := range groups {
		if reverse {
			slices.Reverse(members)
		}
		acc := neutral
		for _, i := range members {
			if exclusive {
				out[i] = acc
			}
			acc = f(acc, v[i])
			if !exclusive {
				out[i] = acc
			}
		}
	}
	return out
}

// alongAxis completes d as Softmax, LogSoftmax or Hardmax: f maps the elements
// of one lane. Before opset 13 a lane was all axes from `axis` on.
func alongAxis(d *Def, f func(v []float64)) *Def {
	d.Infer = func(f *Infer) error {
		if s, ok := f.Shape(0); ok {
			if axis, ok := Axis(f.Int("axis"), len(s)); !ok && axis != len(s) {
				return fmt.Errorf("axis %d of %v", f.Int("axis"), f.Type(0))
			}
		}
		return sameShape(f)
	}
	d.Eval = func(e *Eval) error {
		x := e.Tensor(0)
		axis, ok := Axis(e.Int("axis"), x.Rank())
		if !ok && !(e.Since < 13 && e.Int("axis") == x.Rank()) {
			return fmt.Errorf("axis %d of %v", e.Int("axis"), x)
		}
		reduce := make([]bool, x.Rank())
		for i := axis; i < x.Rank(); i++ {
			reduce[i] = i == axis || e.Since < 13
		}
		_, groups := reduceGroups(x.Shape, reduce)
		v := x.Floats()
		var buf []float64
		for _, members := range groups {
			buf = buf[:0]
			for _, i := range members {
				buf = append(buf, v[i])
			}
			f(buf)
			for k, i := range members {
				v[i] = buf[k]
			}
		}
		e.Set(0, tensor.FromFloats(x.Type, x.Shape, v))
		return nil
	}
	return d
}

func softmax(v []float64) {
	l := logSumExp(v)
	for i := range v {
		v[i] = math.Exp(v[i] - l)
	}
}

func logSoftmax(v []float64) {
	l := logSumExp(v)
	for i := range v {
		v[i] -= l
	}
}

func hardmax(v []float64) {
	best := 0
	for i := range v {
		if v[i] > v[best] {
			best = i
		}
	}
	for i := range v {
		v[i] = 0
	}
	if len(v) > 0 {
		v[best] = 1
	}
}

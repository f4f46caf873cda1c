package grad

import (
	"fmt"
	"math"

	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

func reduceRule(n *node) (func(), func(), error) {
	x, y := n.in[0], n.out[0]
	since := 18 // the version that made axes an input
	if n.Node.Op == "ReduceSum" {
		since = 13
	}
	axes := n.Ints("axes")
	if n.Since >= int64(since) {
		t, err := n.constant(1)
		if err != nil {
			return nil, nil, err
		}
		axes = nil
		if t != nil {
			for _, a := range t.Ints() {
				axes = append(axes, int(a))
			}
		}
	}
	reduce := make([]bool, len(x.shape))
	for i := range reduce {
		reduce[i] = len(axes) == 0 && n.Int("noop_with_empty_axes") == 0
	}
	for _, a := range axes {
		i, ok := op.Axis(a, len(x.shape))
		if !ok {
			return nil, nil, fmt.Errorf("axis %d of rank %d", a, len(x.shape))
		}
		reduce[i] = true
	}
	return reduceBy(n.Node.Op, x, y, groupsOf(x.shape, reduce))
}

// groupsOf is the output element that each input element goes into.
func groupsOf(shape []int, reduce []bool) []int32 {
	kept := append([]int(nil), shape...)
	for i, r := range reduce {
		if r {
			kept[i] = 1
		}
	}
	strides := tensor.Strides(kept)
	group, pos := make([]int32, count(shape)), make([]int, len(shape))
	for i := range group {
		for d, at := len(shape)-1, i; d >= 0; d-- {
			pos[d] = at % shape[d]
			at /= shape[d]
		}
		g := 0
		for d, r := range reduce {
			if !r {
				g += pos[d] * strides[d]
			}
		}
		group[i] = int32(g)
	}
	return group
}

// reduceBy reduces groups of elements. With s the reduction and x one of its
// elements, ds/dx is: sum 1, mean 1/n, L1 sign x, L2 x/s, sum of squares 2x,
// product s/x, log-sum exp(-s), log-sum-exp exp(x-s), extremes 1 at the first.
func reduceBy(kind string, x, y *array, group []int32) (func(), func(), error) {
	size := float32(len(x.v)) / float32(max(len(y.v), 1))
	sums := make([]float64, len(y.v))
	best := make([]int32, len(y.v))
	forward := func() {
		start, extreme := 0.0, 0.0
		switch kind {
		case "ReduceProd":
			start = 1
		case "ReduceMax", "ReduceLogSumExp":
			start, extreme = math.Inf(-1), 1
		case "ReduceMin":
			start, extreme = math.Inf(1), -1
		}
		for i := range sums {
			sums[i] = start
		}
		for i, v := range x.v {
			s, g := &sums[group[i]], group[i]
			d := float64(v)
			switch {
			case extreme != 0:
				if (d-*s)*extreme > 0 {
					*s, best[g] = d, int32(i)
				}
			case kind == "ReduceProd":
				*s *= d
			case kind == "ReduceL1":
				*s += math.Abs(d)
			case kind == "ReduceL2" || kind == "ReduceSumSquare":
				*s += d * d
			default:
				*s += d
			}
		}
		if kind == "ReduceLogSumExp" {
			for i, s := range sums {
				y.v[i], sums[i] = float32(s), 0
			}
			for i, v := range x.v {
				sums[group[i]] += math.Exp(float64(v - y.v[group[i]]))
			}
			for i, s := range sums {
				y.v[i] += float32(math.Log(s))
			}
			return
		}
		for i, s := range sums {
			switch kind {
			case "ReduceMean":
				s /= float64(size)
			case "ReduceL2":
				s = math.Sqrt(s)
			case "ReduceLogSum":
				s = math.Log(s)
			}
			y.v[i] = float32(s)
		}
	}
	backward := func() {
		if kind == "ReduceMax" || kind == "ReduceMin" {
			for i, at := range best {
				x.g[at] += y.g[i]
			}
			return
		}
		for i, v := range x.v {
			s := y.v[group[i]]
			d := float32(1)
			switch kind {
			case "ReduceMean":
				d = 1 / size
			case "ReduceL1":
				d = float32(math.Copysign(1, float64(v)))
				if v == 0 {
					d = 0
				}
			case "ReduceL2":
				d = v / max(s, math.SmallestNonzeroFloat32)
			case "ReduceSumSquare":
				d = 2 * v
			case "ReduceProd":
				d = others(x.v, group, i, s)
			case "ReduceLogSum":
				d = float32(math.Exp(-float64(s)))
			case "ReduceLogSumExp":
				d = float32(math.Exp(float64(v - s)))
			}
			x.g[i] += d * y.g[group[i]]
		}
	}
	return forward, backward, nil
}

// others is the product of the group of element i without it.
func others(v []float32, group []int32, i int, product float32) float32 {
	if v[i] != 0 {
		return product / v[i]
	}
	p := float32(1)
	for j, x := range v {
		if j != i && group[j] == group[i] {
			p *= x
		}
	}
	return p
}

// softmaxRule is Softmax and LogSoftmax over lanes: one axis, or before opset
// 13 all axes from one on. With s the softmax and g the gradient of y,
// dx = s*(g - sum g*s), and for the logarithm dx = g - s*sum g.
func softmaxRule(n *node) (func(), func(), error) {
	x, y := n.in[0], n.out[0]
	axis, ok := op.Axis(n.Int("axis"), len(x.shape))
	if !ok {
		return nil, nil, fmt.Errorf("axis %d of rank %d", n.Int("axis"), len(x.shape))
	}
	size, inner := count(x.shape[axis:]), 1
	if n.Since >= 13 {
		size, inner = x.shape[axis], count(x.shape[axis+1:])
	}
	logs := n.Node.Op == "LogSoftmax"
	lanes := func(f func(first int)) {
		for o := 0; o < len(x.v); o += size * inner {
			for i := range inner {
				f(o + i)
			}
		}
	}
	forward := func() { lanes(func(at int) { softmaxLane(y.v[at:], x.v[at:], size, inner, logs) }) }
	backward := func() {
		lanes(func(at int) {
			if inner == 1 && !logs {
				s, gy, gx := y.v[at:at+size], y.g[at:at+size], x.g[at:at+size]
				sum := kernel.Dot(s, gy)
				for i, v := range s {
					gx[i] += v * (gy[i] - sum)
				}
				return
			}
			sum := float32(0)
			for i := at; i < at+size*inner; i += inner {
				if logs {
					sum += y.g[i]
				} else {
					sum += y.g[i] * y.v[i]
				}
			}
			for i := at; i < at+size*inner; i += inner {
				if logs {
					x.g[i] += y.g[i] - float32(math.Exp(float64(y.v[i])))*sum
				} else {
					x.g[i] += y.v[i] * (y.g[i] - sum)
				}
			}
		})
	}
	return forward, backward, nil
}

func softmaxLane(y, x []float32, size, stride int, logs bool) {
	if stride == 1 && !logs {
		y, x = y[:size], x[:size]
		sum := kernel.ExpSum(y, x, kernel.Max(x))
		for i := range y {
			y[i] /= sum
		}
		return
	}
	top := float32(math.Inf(-1))
	for i := 0; i < size*stride; i += stride {
		top = max(top, x[i])
	}
	sum := 0.0
	for i := 0; i < size*stride; i += stride {
		e := math.Exp(float64(x[i] - top))
		sum += e
		y[i] = float32(e)
	}
	if logs {
		l := top + float32(math.Log(sum))
		for i := 0; i < size*stride; i += stride {
			y[i] = x[i] - l
		}
		return
	}
	for i := 0; i < size*stride; i += stride {
		y[i] /= float32(sum)
	}
}

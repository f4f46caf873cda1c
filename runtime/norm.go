package runtime

import (
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// matchSoftmax covers Softmax and LogSoftmax over the last axes, or any one
// axis.
func matchSoftmax(l *lowerer, n *graph.Node) *lowered {
	rank := l.float32Rank(n.In(0))
	attrs, ok := l.attrs(n)
	if !n.Is("Softmax", "LogSoftmax") || rank < 1 || !ok {
		return nil
	}
	axis, ok := op.Axis(attrs.Int("axis"), rank)
	if !ok {
		return nil
	}
	inside := attrs.Since >= 13 && axis != rank-1
	log := n.Is("LogSoftmax")
	return &lowered{in: n.Inputs(), out: n.Outputs(), run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		x, ok := in[0].(*tensor.Tensor)
		if !ok || x.Type != tensor.Float32 || x.Rank() != rank {
			return nil, errFallback
		}
		out := f.like(x, 0)
		src, dst, n := x.Float32s(), tensor.View[float32](out), volume(x.Shape[axis:])
		if len(src) == 0 {
			return f.one(out)
		}
		if inside {
			f.softmaxInside(dst, src, x.Shape[axis], volume(x.Shape[axis+1:]), log)
			return f.one(out)
		}
		f.rows(len(src)/n, len(src), func(from, to int) {
			for i := from; i < to; i++ {
				softmax(dst[i*n:(i+1)*n], src[i*n:(i+1)*n], log)
			}
		})
		return f.one(out)
	}}
}

// softmaxInside is softmax along the middle axis of [outer, n, inner]: blocks of
// columns are transposed into rows and back.
func (f *frame) softmaxInside(dst, src []float32, n, inner int, log bool) {
	const block = 64
	across := (inner + block - 1) / block
	f.do(len(src)/(n*inner)*across, func(worker, part int) {
		first := part % across * block
		at, cols := part/across*n*inner+first, min(block, inner-first)
		rows := f.s.workers.buffer(worker, cols*n)
		kernel.TransposeF32(rows, n, src[at:], inner, n, cols)
		for i := range cols {
			softmax(rows[i*n:(i+1)*n], rows[i*n:(i+1)*n], log)
		}
		kernel.TransposeF32(dst[at:], inner, rows, n, cols, n)
	})
}

func softmax(dst, src []float32, log bool) {
	largest := kernel.Max(src)
	if !log {
		sum := kernel.ExpSum(dst, src, largest)
		kernel.Function{Kind: kernel.Line, A: 1 / sum, Lo: negInf, Hi: -negInf}.Apply(dst, dst)
		return
	}
	sum := 0.0
	for _, v := range src {
		sum += math.Exp(float64(v - largest))
	}
	kernel.Function{Kind: kernel.Line, A: 1, B: -largest - float32(math.Log(sum)), Lo: negInf, Hi: -negInf}.Apply(dst, src)
}

// layerNorm is (x - mean)/sqrt(variance + epsilon)*scale + bias over the last
// elements of x, as many as scale has.
type layerNorm struct {
	axis    int // first of the normalized axes
	epsilon float32
	rms     bool // no mean is subtracted
}

// matchLayerNorm covers LayerNormalization, RMSNormalization, and the first
// spelled by ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div, Mul, Add.
func matchLayerNorm(l *lowerer, n *graph.Node) *lowered {
	if n.Is("Add") {
		return l.spelledLayerNorm(n)
	}
	rank := l.float32Rank(n.In(0))
	attrs, ok := l.attrs(n)
	if !n.Is("LayerNormalization", "RMSNormalization") || rank < 1 || !ok || len(n.Outputs()) > 1 || attrs.Int("stash_type") != 1 {
		return nil
	}
	axis, ok := op.Axis(attrs.Int("axis"), rank)
	if !ok {
		return nil
	}
	ln := &layerNorm{axis - rank, float32(attrs.Float("epsilon")), n.Is("RMSNormalization")}
	return &lowered{in: n.Inputs(), out: n.Outputs(), run: ln.run}
}

func (l *lowerer) spelledLayerNorm(n *graph.Node) *lowered {
	rank := -1
	nodes := []*graph.Node{n}
	// step goes from a hidden value to its node, one of ops.
	step := func(v *graph.Value, uses int, ops ...string) *graph.Node {
		if v == nil || v.Def() == nil || !v.Def().Is(ops...) || !l.hiddenIn(v, uses) {
			return nil
		}
		nodes = append(nodes, v.Def())
		return v.Def()
	}
	row := func(n *graph.Node) (x, c *graph.Value) {
		for i := range 2 {
			if t := l.constant(n.In(i)); t != nil && t.Type == tensor.Float32 && t.Rank() == 1 {
				return n.In(1 - i), n.In(i)
			}
		}
		return nil, nil
	}
	v, bias := row(n)
	if v == nil {
		return nil
	}
	mul := step(v, 1, "Mul")
	if mul == nil {
		return nil
	}
	v, scale := row(mul)
	if v == nil || l.constant(scale).Len() != l.constant(bias).Len() {
		return nil
	}
	div := step(v, 1, "Div")
	if div == nil {
		return nil
	}
	root := step(div.In(1), 1, "Sqrt")
	if root == nil {
		return nil
	}
	sum := step(root.In(0), 1, "Add")
	v, epsilon, ok := l.operand(sum, "Add")
	if sum == nil || !ok {
		return nil
	}
	variance := step(v, 1, "ReduceMean")
	if variance == nil || !l.lastAxis(variance) {
		return nil
	}
	square := step(variance.In(0), 1, "Pow", "Mul")
	if square == nil {
		return nil
	}
	centered := div.In(0)
	uses := 2
	if square.Is("Mul") {
		uses = 3
	}
	if two, ok := l.scalar(square.In(1), 1); square.In(0) != centered || square.Is("Pow") && (!ok || two != 2) || square.Is("Mul") && square.In(1) != centered {
		return nil
	}
	sub := step(centered, uses, "Sub")
	if sub == nil {
		return nil
	}
	mean := step(sub.In(1), 1, "ReduceMean")
	x := sub.In(0)
	if rank = l.float32Rank(x); mean == nil || mean.In(0) != x || !l.lastAxis(mean) || rank < 1 {
		return nil
	}
	slices.Reverse(nodes)
	ln := &layerNorm{axis: -1, epsilon: epsilon}
	return &lowered{in: []*graph.Value{x, scale, bias}, out: n.Outputs(), nodes: nodes, run: ln.run}
}

// lastAxis reports a reduction over the last axis that keeps it.
func (l *lowerer) lastAxis(n *graph.Node) bool {
	rank := l.float32Rank(n.In(0))
	attrs, ok := l.attrs(n)
	if !ok || rank < 1 || attrs.Int("keepdims") == 0 {
		return false
	}
	axes, ok := l.axes(n, attrs, rank)
	return ok && len(axes) == 1 && axes[0] == rank-1
}

func (ln *layerNorm) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	t, ok := float32In(in)
	if !ok || t[0].Rank() < -ln.axis && ln.axis < 0 {
		return nil, errFallback
	}
	x := t[0]
	n := volume(x.Shape[x.Rank()+ln.axis:])
	if t[1].Len() != n || len(t) > 2 && t[2] != nil && t[2].Len() != n || n == 0 {
		return nil, errFallback
	}
	scale, shift := t[1].Float32s(), []float32(nil)
	if len(t) > 2 && t[2] != nil {
		shift = t[2].Float32s()
	}
	out := f.like(x, 0)
	src, dst := x.Float32s(), tensor.View[float32](out)
	f.rows(len(src)/n, len(src), func(from, to int) {
		for i := from; i < to; i++ {
			ln.row(dst[i*n:(i+1)*n], src[i*n:(i+1)*n], scale, shift)
		}
	})
	return f.one(out)
}

func (ln *layerNorm) row(dst, src, scale, shift []float32) {
	n, mean := float32(len(src)), float32(0)
	var variance float32
	if ln.rms {
		variance = kernel.Dot(src, src) / n
	} else {
		mean = kernel.Sum(src) / n
		variance = kernel.Spread(src, mean) / n
	}
	inv := float32(1 / math.Sqrt(float64(variance+ln.epsilon)))
	standardize(dst, src, mean, inv, 1, 0)
	if shift != nil {
		kernel.Affine(dst, dst, scale, shift)
	} else {
		kernel.Mul.Apply(dst, dst, scale)
	}
}

// standardize is dst = (src - mean)*inv*scale + bias, as a line where that loses
// no digits: where the mean is many deviations from zero, x*inv and mean*inv
// nearly cancel, and the rounding of the mean counts.
func standardize(dst, src []float32, mean, inv, scale, bias float32) {
	line := kernel.Function{Kind: kernel.Line, A: 1, B: -mean, Lo: negInf, Hi: -negInf}
	if far := mean * inv; far > 16 || far < -16 {
		line.Apply(dst, src)
		src, mean = dst, kernel.Sum(dst)/float32(len(dst))
	}
	line.A = inv * scale
	line.B = bias - mean*line.A
	line.Apply(dst, src)
}

// matchBatchNorm covers scaling by channel that no convolution takes over,
// with a function after it.
func matchBatchNorm(l *lowerer, n *graph.Node) *lowered {
	m, nodes := n, []*graph.Node{n}
	var act kernel.Function
	if u := l.function(n); u != nil && l.hiddenIn(u.x, u.uses) && u.x.Def().Is("BatchNormalization") {
		m, act = u.x.Def(), u.Function
		nodes = append([]*graph.Node{m}, u.nodes...)
	}
	rank := l.float32Rank(m.In(0))
	if !m.Is("BatchNormalization") || rank < 2 || rank > 5 {
		return nil
	}
	a, x := l.channelAffine(m)
	if x == nil {
		return nil
	}
	f := &lowered{in: []*graph.Value{x}, out: n.Outputs(), nodes: nodes}
	keepLayout(f)
	f.run = func(fr *frame, in []tensor.Value) ([]tensor.Value, error) {
		t, ok := in[0].(*tensor.Tensor)
		if !ok || t.Type != tensor.Float32 || t.Rank() != rank {
			return nil, errFallback
		}
		last, axis := f.outLast > 0 || rank == 2, 1
		if last {
			axis = rank - 1
		}
		c := len(a.scale)
		if t.Shape[axis] != c {
			return nil, errFallback
		}
		out := fr.like(t, 0)
		src, dst, inner := t.Float32s(), tensor.View[float32](out), volume(t.Shape[axis:])
		if inner == 0 || len(src) == 0 {
			return fr.one(out)
		}
		inner /= c
		if last {
			fr.rows(len(src)/c, len(src), func(from, to int) {
				for i := from; i < to; i++ {
					y := dst[i*c : (i+1)*c]
					kernel.Affine(y, src[i*c:(i+1)*c], a.scale, a.shift)
					act.Apply(y, y)
				}
			})
			return fr.one(out)
		}
		fr.rows(len(src)/inner, len(src), func(from, to int) {
			for i := from; i < to; i++ {
				y := dst[i*inner : (i+1)*inner]
				kernel.Function{Kind: kernel.Line, A: a.scale[i%c], B: a.shift[i%c], Lo: negInf, Hi: -negInf}.Apply(y, src[i*inner:(i+1)*inner])
				act.Apply(y, y)
			}
		})
		return fr.one(out)
	}
	return f
}

// matchInstanceNorm covers InstanceNormalization.
func matchInstanceNorm(l *lowerer, n *graph.Node) *lowered {
	rank := l.float32Rank(n.In(0))
	attrs, ok := l.attrs(n)
	if !n.Is("InstanceNormalization") || rank < 3 || !ok || attrs.Since < 6 {
		return nil
	}
	epsilon := float32(attrs.Float("epsilon"))
	return &lowered{in: n.Inputs(), out: n.Outputs(), run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		t, ok := float32In(in)
		if !ok || t[0].Rank() != rank || t[1].Len() != t[0].Shape[1] || t[2].Len() != t[0].Shape[1] || t[0].Len() == 0 {
			return nil, errFallback
		}
		out := f.like(t[0], 0)
		src, dst, scale, shift := t[0].Float32s(), tensor.View[float32](out), t[1].Float32s(), t[2].Float32s()
		n, c := volume(t[0].Shape[2:]), t[0].Shape[1]
		f.rows(len(src)/n, len(src), func(from, to int) {
			for i := from; i < to; i++ {
				x := src[i*n : (i+1)*n]
				mean := kernel.Sum(x) / float32(n)
				variance := kernel.Spread(x, mean) / float32(n)
				inv := float32(1 / math.Sqrt(float64(variance+epsilon)))
				standardize(dst[i*n:(i+1)*n], x, mean, inv, scale[i%c], shift[i%c])
			}
		})
		return f.one(out)
	}}
}

var reductions = map[string]func(x []float32) float32{
	"ReduceSum":  kernel.Sum,
	"ReduceMean": func(x []float32) float32 { return kernel.Sum(x) / float32(len(x)) },
	"ReduceMax":  kernel.Max,
	"ReduceMin":  kernel.Min,
	"ReduceL2":   func(x []float32) float32 { return float32(math.Sqrt(float64(kernel.Dot(x, x)))) },
}

// matchReduce covers reductions over neighbouring axes: any of them over the
// last ones, sums and means over others.
func matchReduce(l *lowerer, n *graph.Node) *lowered {
	reduce := reductions[n.Op]
	rank := l.float32Rank(n.In(0))
	attrs, ok := l.attrs(n)
	if reduce == nil || rank < 1 || !ok {
		return nil
	}
	axes, ok := l.axes(n, attrs, rank)
	if !ok || axes[len(axes)-1]-axes[0] != len(axes)-1 {
		return nil
	}
	first, end := axes[0], axes[0]+len(axes)
	if end < rank && !n.Is("ReduceSum", "ReduceMean") {
		return nil
	}
	keep, mean := attrs.Int("keepdims") != 0, n.Is("ReduceMean")
	return &lowered{in: n.Inputs()[:1], out: n.Outputs(), nodes: []*graph.Node{n}, run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		t, ok := in[0].(*tensor.Tensor)
		if !ok || t.Type != tensor.Float32 || t.Rank() != rank || t.Len() == 0 {
			return nil, errFallback
		}
		shape := slices.Clone(t.Shape[:first])
		for range axes {
			if keep {
				shape = append(shape, 1)
			}
		}
		out, y := f.floats(append(shape, t.Shape[end:]...)...)
		x, outer, inner := t.Float32s(), volume(t.Shape[:first]), volume(t.Shape[end:])
		n := len(x) / outer
		if inner > 1 {
			f.sumRows(y, x, outer, n/inner, inner, mean)
			return f.one(out)
		}
		f.rows(outer, len(x), func(from, to int) {
			for i := from; i < to; i++ {
				y[i] = reduce(x[i*n : (i+1)*n])
			}
		})
		return f.one(out)
	}}
}

package prune

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
)

// sides is the shapes of the first input and output of n.
func (c *channels) sides(n *graph.Node) (in, out []int, ok bool) {
	in, ok = c.shapeOf(n.In(0))
	out, ok2 := c.shapeOf(n.Out(0))
	return in, out, ok && ok2
}

// reshape matches runs of input and output axes that hold the same elements.
// Axes that are merged repeat or tile the units of the one that has some; an
// axis that is split hands them to one of its parts.
func reshape(c *channels, n *graph.Node, a *op.Attrs) bool {
	l := c.labels[n.In(0)]
	if l == nil {
		return true
	}
	in, out, ok := c.sides(n)
	if !ok {
		return false
	}
	runs := matchAxes(in, out)
	if runs == nil {
		return false
	}
	to := make(axes, len(out))
	for _, r := range runs {
		at := -1
		for i := r.in; i < r.inEnd; i++ {
			if l[i] == nil {
				continue
			}
			if at >= 0 {
				return false
			}
			at = i
		}
		if at < 0 {
			continue
		}
		if r.outEnd == r.out {
			return false
		}
		flat := make([]int, product(in[r.in:r.inEnd]))
		inner := product(in[at+1 : r.inEnd])
		for i := range flat {
			flat[i] = l[at][i/inner%in[at]]
		}
		c.splitUnits(flat, out, r, to, len(in))
	}
	c.set(n.Out(0), to)
	if n.Is("Reshape") && n.In(1).Const() != nil {
		c.fixes = append(c.fixes, func(p pick) { c.retarget(n, to, p) })
	} else if n.Is("Reshape") {
		c.freeze(to)
	}
	return true
}

// splitUnits labels one axis of a run of output axes that hold the units of
// flat. For images it is the axis of the most units, which is what a channel
// shuffle keeps apart; otherwise the last but one, which is the heads of
// attention.
func (c *channels) splitUnits(flat []int, out []int, r axisRun, to axes, rank int) {
	best, most := r.out, -1
	for k := r.out; k < r.outEnd; k++ {
		if rank == 4 && out[k] > most {
			best, most = k, out[k]
		}
	}
	whole := true // every index of the first axis has one unit: the inverse of a merge
	inner := product(out[r.out+1 : r.outEnd])
	for i, u := range flat {
		whole = whole && u == flat[i/inner*inner]
	}
	switch {
	case whole:
		best = r.out
	case rank != 4 && r.outEnd-r.out >= 2:
		best = r.outEnd - 2
	}
	inner = product(out[best+1 : r.outEnd])
	units := make([]int, out[best])
	for i := range units {
		units[i] = -1
	}
	for i, u := range flat {
		k := i / inner % out[best]
		if units[k] < 0 {
			units[k] = u
		} else {
			c.join(units[k], u)
		}
	}
	to[best] = units
}

// axisRun is input axes [in, inEnd) with the elements of output axes [out,
// outEnd).
type axisRun struct{ in, inEnd, out, outEnd int }

// matchAxes splits two shapes of the same elements into the shortest runs of
// equal products; nil if a size that is not constant stands in the way.
func matchAxes(in, out []int) []axisRun {
	var runs []axisRun
	i, k := 0, 0
	for i < len(in) || k < len(out) {
		r := axisRun{in: i, out: k}
		if i < len(in) && k < len(out) && in[i] < 0 && out[k] < 0 {
			runs = append(runs, axisRun{i, i + 1, k, k + 1})
			i, k = i+1, k+1
			continue
		}
		p, q := 1, 1
		for {
			if i < len(in) && (p < q || p == q && r.in == i) {
				if p *= in[i]; in[i] < 0 {
					return nil
				}
				i++
			} else if k < len(out) && (q < p || r.out == k) {
				if q *= out[k]; out[k] < 0 {
					return nil
				}
				k++
			} else {
				break
			}
			if p == q && i > r.in && k > r.out {
				break
			}
		}
		if p != q {
			return nil
		}
		for i < len(in) && in[i] == 1 && k == len(out) {
			i++
		}
		for k < len(out) && out[k] == 1 && i == len(in) {
			k++
		}
		r.inEnd, r.outEnd = i, k
		runs = append(runs, r)
	}
	return runs
}

func product(s []int) int {
	p := 1
	for _, d := range s {
		p *= d
	}
	return p
}

// retarget writes the new sizes of labelled axes into a Reshape's target.
func (c *channels) retarget(n *graph.Node, to axes, p pick) {
	t := n.In(1).Const()
	target := slices.Clone(tensor.View[int64](t))
	for k, units := range to {
		if units != nil && k < len(target) && target[k] > 0 {
			target[k] = int64(len(p(units)))
		}
	}
	if !slices.Equal(target, tensor.View[int64](t)) {
		n.SetIn(1, n.Graph().AddInitializer(n.In(1).Name, &graph.Data{Tensor: tensor.Of([]int{len(target)}, target)}))
	}
}

func concat(c *channels, n *graph.Node, a *op.Attrs) bool {
	out, ok := c.shapeOf(n.Out(0))
	if !ok {
		return false
	}
	axis, ok := op.Axis(a.Int("axis"), len(out))
	if !ok {
		return false
	}
	l := make(axes, len(out))
	for k := range out {
		for i, v := range n.Inputs() {
			u := c.labels[v].at(k)
			s, ok := c.shapeOf(v)
			switch {
			case !ok || k == axis && s[k] < 0:
				return false
			case k != axis && i == 0:
				l[k] = u
			case k != axis:
				l[k] = c.merge(l[k], u)
			case u == nil: // others keep their places: units of their own that cannot go
				u = c.fresh(n, s[k])
				c.layers = c.layers[:len(c.layers)-1]
				c.freezeUnits(u)
				fallthrough
			default:
				l[k] = slices.Concat(l[k], u)
			}
		}
	}
	if !slices.ContainsFunc(l[axis], func(u int) bool { return !c.frozen[c.root(u)] }) {
		l[axis] = nil
	}
	c.set(n.Out(0), l)
	return true
}

// split: each output takes its part; the sizes follow.
func split(c *channels, n *graph.Node, a *op.Attrs) bool {
	l := c.labels[n.In(0)]
	if l == nil {
		return true
	}
	axis, ok := op.Axis(a.Int("axis"), len(l))
	if !ok || n.In(1) != nil && n.In(1).Const() == nil {
		return false
	}
	at := 0
	var parts [][]int
	for _, v := range n.Outputs() {
		if v == nil {
			return false
		}
		part := slices.Clone(l)
		if l[axis] != nil {
			s, ok := c.shapeOf(v)
			if !ok || s[axis] < 0 || at+s[axis] > len(l[axis]) {
				return false
			}
			part[axis] = l[axis][at : at+s[axis]]
			parts = append(parts, part[axis])
			at += s[axis]
		}
		c.set(v, part)
	}
	if l[axis] != nil {
		opset := c.m.Opset("")
		c.fixes = append(c.fixes, func(p pick) { resplit(n, parts, opset, p) })
	}
	return true
}

func resplit(n *graph.Node, parts [][]int, opset int64, p pick) {
	sizes := make([]int64, len(parts))
	for i, u := range parts {
		sizes[i] = int64(len(p(u)))
	}
	n.RemoveAttr("num_outputs")
	if opset < 13 {
		n.SetAttr(graph.Ints("split", sizes...))
		return
	}
	n.SetIn(1, n.Graph().AddInitializer("split", &graph.Data{Tensor: tensor.Of([]int{len(sizes)}, sizes)}))
}

// gather: indices along an axis without units.
func gather(c *channels, n *graph.Node, a *op.Attrs) bool {
	l := c.labels[n.In(0)]
	if l == nil {
		return true
	}
	axis, ok := op.Axis(a.Int("axis"), len(l))
	idx, ok2 := c.shapeOf(n.In(1))
	if !ok || !ok2 || l[axis] != nil || c.labels[n.In(1)] != nil {
		return false
	}
	c.set(n.Out(0), slices.Concat(l[:axis], make(axes, len(idx)), l[axis+1:]))
	return true
}

// slice: axes with units are not cut.
func slice(c *channels, n *graph.Node, a *op.Attrs) bool {
	l := c.labels[n.In(0)]
	if l == nil {
		return true
	}
	in, out, ok := c.sides(n)
	if !ok {
		return false
	}
	for i, u := range l {
		if u != nil && in[i] != out[i] {
			return false
		}
	}
	starts := n.In(1).Const() // a negative step may turn a whole axis around
	if steps := n.In(4); n.In(1) != nil && (starts == nil || steps != nil && (steps.Const() == nil || slices.Min(steps.Const().Ints()) < 0)) {
		return false
	}
	c.set(n.Out(0), l)
	return true
}

// pad: axes with units get nothing.
func pad(c *channels, n *graph.Node, a *op.Attrs) bool {
	l := c.labels[n.In(0)]
	if l == nil {
		return true
	}
	pads := a.Ints("pads")
	if n.In(1) != nil {
		t := n.In(1).Const()
		if t == nil || n.In(3) != nil {
			return false
		}
		for _, p := range t.Ints() {
			pads = append(pads, int(p))
		}
	}
	if len(pads) != 2*len(l) {
		return false
	}
	for i, u := range l {
		if u != nil && (pads[i] != 0 || pads[i+len(l)] != 0) {
			return false
		}
	}
	c.set(n.Out(0), l)
	return true
}

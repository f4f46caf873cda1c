package grad

import (
	"fmt"

	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// movement is an operator that copies elements. Its reference evaluation, run
// once on the numbers of the elements instead of on the elements, gives the
// source of every output element: the derivative is the transposed copy.
type movement struct {
	runs  [][]run   // by output
	index [][]int32 // by output, where runs are short: the source in a single input, or -1
	fill  float32   // of elements that no input gives
	alias bool      // one input, copied as it is: memory is shared
}

// run copies n consecutive elements of an input; an input of -1 fills.
type run struct{ in, from, to, n int }

// shortRun is the mean length under which runs are slower than an index.
const shortRun = 4

// planMove finds the sources. Element i of data input k has the number
// base(k)+i+1; 0 is a fill.
func (n *node) planMove() error {
	m := &movement{}
	data := 1
	if n.Node.Op == "Concat" {
		data = len(n.in)
	}
	in, base := make([]tensor.Value, len(n.in)), []int64{0}
	for k, a := range n.in {
		switch {
		case a == nil:
		case k < data:
			ids := make([]int64, a.size())
			for i := range ids {
				ids[i] = base[k] + int64(i) + 1
			}
			in[k] = tensor.Of(a.shape, ids)
			base = append(base, base[k]+int64(len(ids)))
		default:
			t, err := n.constant(k)
			if err != nil {
				return err
			}
			if in[k] = t; t.Type.IsFloat() { // the value of Pad, the ratio of Dropout
				in[k], m.fill = nil, t.Float32s()[0]
			}
		}
	}
	if n.Node.Op == "Dropout" {
		if n.has(2) {
			return fmt.Errorf("training_mode is given: dropout is differentiated in inference only")
		}
		m.alias = true
	} else if err := m.plan(n, in, base); err != nil {
		return err
	}
	if n.move = m; m.alias {
		n.out[0].buffer = n.in[0].buffer
	}
	return nil
}

func (m *movement) plan(n *node, in []tensor.Value, base []int64) error {
	if n.Node.Op == "Pad" && n.Since < 11 {
		m.fill = float32(n.Float("value"))
	}
	out, err := n.op.Run(n.Node, &op.Env{}, in)
	if err != nil {
		return err
	}
	for _, o := range out {
		if o == nil {
			m.runs, m.index = append(m.runs, nil), append(m.index, nil)
			continue
		}
		ids := o.(*tensor.Tensor).Ints()
		runs := runsOf(ids, base)
		var index []int32
		if len(base) == 2 && len(runs)*shortRun > len(ids) {
			index = make([]int32, len(ids))
			for i, id := range ids {
				index[i] = int32(id - 1)
			}
		}
		m.runs, m.index = append(m.runs, runs), append(m.index, index)
		if len(out) == 1 && len(base) == 2 && len(runs) == 1 && runs[0] == (run{n: int(base[1])}) {
			m.alias = true
		}
	}
	return nil
}

func runsOf(ids, base []int64) []run {
	var runs []run
	for i := 0; i < len(ids); {
		j := i + 1
		if ids[i] == 0 {
			for j < len(ids) && ids[j] == 0 {
				j++
			}
			runs = append(runs, run{-1, 0, i, j - i})
			i = j
			continue
		}
		k := 0
		for ids[i] > base[k+1] {
			k++
		}
		for j < len(ids) && ids[j] == ids[j-1]+1 && ids[j] <= base[k+1] {
			j++
		}
		runs = append(runs, run{k, int(ids[i] - 1 - base[k]), i, j - i})
		i = j
	}
	return runs
}

func (n *node) aliases() bool { return n.move != nil && n.move.alias }

func moveRule(n *node) (func(), func(), error) {
	m := n.move
	forward := func() {
		for o, a := range n.out {
			if a != nil {
				m.copy(n, o, a.v)
			}
		}
	}
	backward := func() {
		for o, a := range n.out {
			if a != nil && a.g != nil {
				m.add(n, o, a.g)
			}
		}
	}
	return forward, backward, nil
}

func (m *movement) copy(n *node, o int, dst []float32) {
	if index := m.index[o]; index != nil {
		src := n.in[0].v
		for i, j := range index {
			if j < 0 {
				dst[i] = m.fill
			} else {
				dst[i] = src[j]
			}
		}
		return
	}
	for _, r := range m.runs[o] {
		if r.in < 0 {
			for i := range dst[r.to : r.to+r.n] {
				dst[r.to+i] = m.fill
			}
			continue
		}
		copy(dst[r.to:r.to+r.n], n.in[r.in].v[r.from:])
	}
}

func (m *movement) add(n *node, o int, g []float32) {
	if index := m.index[o]; index != nil {
		if dst := n.g(0); dst != nil {
			for i, j := range index {
				if j >= 0 {
					dst[j] += g[i]
				}
			}
		}
		return
	}
	for _, r := range m.runs[o] {
		if r.in < 0 {
			continue
		}
		if dst := n.g(r.in); dst != nil {
			addTo(dst[r.from:r.from+r.n], g[r.to:])
		}
	}
}

// addTo is dst += src over the length of dst.
func addTo(dst, src []float32) { kernel.Add.Apply(dst, dst, src[:len(dst)]) }

// gatherRule picks slices along an axis; the indices may change from step to
// step, so that embeddings are covered.
func gatherRule(n *node) (func(), func(), error) {
	axis, ok := op.Axis(n.Int("axis"), len(n.in[0].shape))
	if !ok {
		return nil, nil, fmt.Errorf("axis %d", n.Int("axis"))
	}
	outer, size, inner := count(n.in[0].shape[:axis]), n.in[0].shape[axis], count(n.in[0].shape[axis+1:])
	each := func(f func(from, to int)) {
		index := n.in[1].value().Ints()
		for o := range outer {
			for k, i := range index {
				if i < 0 {
					i += int64(size)
				}
				f((o*size+int(i))*inner, (o*len(index)+k)*inner)
			}
		}
	}
	forward := func() {
		each(func(from, to int) { copy(n.out[0].v[to:to+inner], n.in[0].v[from:]) })
	}
	backward := func() {
		if g := n.g(0); g != nil {
			each(func(from, to int) { addTo(g[from:from+inner], n.out[0].g[to:]) })
		}
	}
	return forward, backward, nil
}

// castRule covers casts between float types, whose derivative is 1; the
// rounding to a narrower type is that of the reference.
func castRule(n *node) (func(), func(), error) {
	if n.in[0].typ != tensor.Float32 {
		run := n.fallback()
		return func() { _ = run() }, func() {}, nil
	}
	forward := func() { copy(n.out[0].v, n.in[0].v) }
	backward := func() {
		if g := n.g(0); g != nil {
			addTo(g, n.out[0].g)
		}
	}
	return forward, backward, nil
}

package runtime

import (
	"bytes"
	"slices"

	"onnxopt/onnx/tensor"
)

// A step reads and writes elements only in jobs, which it hands to frame.do;
// what it decides before them follows from the shapes of its inputs, and from the elements of
// those that it names to frame.reads. So when a later run gives it the
// same tensors, and the arena the same memory, its jobs are done again
// as they are: nothing is decided, and nothing allocated.

// job is the parts 0 to n-1 of a body, on any thread.
type job struct {
	n    int
	body func(worker, part int)
}

// replay is what a step did last.
type replay struct {
	kept   bool // the rest is set
	in     []input
	allocs []*allocation // of the arena's plan
	over   []int         // inputs whose memory the step took for results
	jobs   []job
	out    []tensor.Value
	work   int64
}

// input is a tensor as the step saw it.
type input struct {
	tensor   *tensor.Tensor // nil if absent
	data     []byte
	shape    []int
	elements []byte // if the step has read them
}

func (i *input) is(v tensor.Value) bool {
	if v == nil || i.tensor == nil {
		return v == nil && i.tensor == nil
	}
	t, ok := v.(*tensor.Tensor)
	if !ok || t != i.tensor || !slices.Equal(t.Shape, i.shape) {
		return false
	}
	b := t.Bytes()
	return len(b) == len(i.data) && (len(b) == 0 || &b[0] == &i.data[0]) && (i.elements == nil || bytes.Equal(b, i.elements))
}

// do runs body for the parts 0 to n-1 on the session's threads. f can be nil.
func (f *frame) do(n int, body func(worker, part int)) {
	if f == nil {
		for i := range n {
			body(0, i)
		}
		return
	}
	if f.record != nil {
		f.record.jobs = append(f.record.jobs, job{n, body})
	}
	f.s.workers.run(n, body)
}

// maxRead bounds the elements that are compared before a replay.
const maxRead = 16 << 10

// reads says that the step decides by the elements of input i.
func (f *frame) reads(i int) {
	if f.record == nil || i >= len(f.record.in) {
		return
	}
	if in := &f.record.in[i]; len(in.data) > maxRead {
		f.record = nil
	} else if in.tensor != nil {
		in.elements = append(make([]byte, 0, len(in.data)), in.data...)
	}
}

// varies says that the step has worked on elements outside its jobs.
func (f *frame) varies() { f.record = nil }

// compute runs a step whose first allocation is number first: again as it was, or
// afresh.
func (f *frame) compute(st *step, in []tensor.Value, first int) ([]tensor.Value, error) {
	r := st.replay
	if r == nil || f.arena == nil {
		return f.remembered(st, in)
	}
	if f.repeats(r, in) {
		out, err := guard(st.node, func() ([]tensor.Value, error) { return f.again(r) })
		if err != errFallback {
			return out, err
		}
		f.arena.allocs = f.arena.allocs[:first]
	}
	r.kept = false
	if f.begin(r, in) {
		f.record = r
	}
	out, err := st.run(f, in)
	if f.record != nil && err == nil {
		r.keep(f, out, first)
	}
	f.record = nil
	return out, err
}

// begin sets r for a recording; false if the step reads what is no tensor.
func (f *frame) begin(r *replay, in []tensor.Value) bool {
	r.in, r.over, r.jobs = slices.Grow(r.in[:0], len(in)), r.over[:0], r.jobs[:0]
	if !f.arena.match {
		return false
	}
	for _, v := range in {
		t, ok := v.(*tensor.Tensor)
		switch {
		case v == nil:
			r.in = append(r.in, input{})
		case !ok || t.Type == tensor.String:
			return false
		default:
			r.in = append(r.in, input{tensor: t, data: t.Bytes(), shape: slices.Clone(t.Shape)})
		}
	}
	return true
}

// keep ends a recording. It holds if all memory of the step is the plan's.
func (r *replay) keep(f *frame, out []tensor.Value, first int) {
	if !f.arena.match {
		return
	}
	for _, a := range f.arena.allocs[first:] {
		if !a.fixed {
			return
		}
	}
	r.allocs = append(r.allocs[:0], f.arena.allocs[first:]...)
	r.out, r.work, r.kept = append(r.out[:0], out...), f.work, true
}

// repeats reports that the inputs are those of r, that the arena gives the
// same memory, and that what the step overwrote is free again.
func (f *frame) repeats(r *replay, in []tensor.Value) bool {
	a := f.arena
	if !r.kept || !a.match || len(a.allocs)+len(r.allocs) > len(a.plan) {
		return false
	}
	for i := range r.in {
		if !r.in[i].is(in[i]) {
			return false
		}
	}
	for i, x := range r.allocs {
		if p := &a.plan[len(a.allocs)+i]; &p.allocation != x || p.escaped {
			return false
		}
	}
	for _, i := range r.over {
		if !f.mine(i, r.in[i].tensor) {
			return false
		}
	}
	return true
}

// again does the jobs of r.
func (f *frame) again(r *replay) ([]tensor.Value, error) {
	for _, x := range r.allocs {
		x.refs, x.born, x.died, x.fixed = 0, f.arena.clock, 0, true
		f.arena.allocs = append(f.arena.allocs, x)
	}
	for _, j := range r.jobs {
		f.s.workers.run(j.n, j.body)
	}
	f.work = r.work
	return r.out, nil
}

package runtime

import (
	"slices"
	"unsafe"

	"onnxopt/onnx/tensor"
)

// arena gives the tensors that steps compute their memory. The first run
// records every allocation with its life; then one block holds them all, each
// at an offset that overlaps no other live one, and a run that asks for the
// same sizes in the same order gets the same tensors again and allocates
// nothing. A run that asks otherwise gets fresh memory, and a new plan after.
type arena struct {
	block  []byte
	plan   []placed
	allocs []*allocation // of this run, in order
	match  bool          // so far this run follows the plan
	clock  int
	free   [][]byte // fresh blocks given back during this run
	// borrowed says that results stay in the block, where the next run
	// overwrites them.
	borrowed bool
}

// alignment is a cache line and the widest vector.
const alignment = 64

// allocation is one tensor of this run.
type allocation struct {
	tensor     *tensor.Tensor
	born, died int
	refs       int
	fixed      bool // in the block
	escaped    bool // somebody holds it beyond the run
}

// placed is an allocation as the plan expects it.
type placed struct {
	allocation
	offset int
}

func (a *arena) begin(borrowed bool) {
	if a.borrowed != borrowed {
		a.borrowed, a.plan = borrowed, nil
	}
	a.allocs, a.clock, a.match = a.allocs[:0], 0, true
}

// new is an unset tensor.
func (a *arena) new(t tensor.DType, shape []int) *allocation {
	i := len(a.allocs)
	if a.match && i < len(a.plan) {
		p := &a.plan[i]
		if p.tensor != nil && p.tensor.Type == t && slices.Equal(p.tensor.Shape, shape) {
			if !p.escaped {
				x := &p.allocation
				x.refs, x.born, x.died, x.fixed = 0, a.clock, 0, true
				a.allocs = append(a.allocs, x)
				return x
			}
			x := &allocation{tensor: tensor.New(t, shape...), born: a.clock, escaped: true}
			a.allocs = append(a.allocs, x)
			return x
		}
	}
	a.match = false
	x := &allocation{tensor: a.fresh(t, shape), born: a.clock}
	a.allocs = append(a.allocs, x)
	return x
}

// fresh takes the smallest free block that fits, or memory.
func (a *arena) fresh(t tensor.DType, shape []int) *tensor.Tensor {
	size, err := tensor.ByteSize(t, shape)
	if err != nil || size == 0 {
		return tensor.New(t, shape...)
	}
	best := -1
	for i, b := range a.free {
		if cap(b) >= size && (best < 0 || cap(b) < cap(a.free[best])) {
			best = i
		}
	}
	var b []byte
	if best >= 0 {
		b = a.free[best]
		a.free = slices.Delete(a.free, best, best+1)
	} else {
		b = alignedBytes(size)
	}
	x, _ := tensor.FromBytes(t, shape, b[:size])
	return x
}

func alignedBytes(size int) []byte {
	b := make([]byte, size+alignment)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (alignment - 1)
	return b[skip : skip+size : skip+size]
}

func alignedFloats(n int) []float32 {
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&alignedBytes(4 * n)[0])), n)
}

// release forgets one slot that holds x.
func (a *arena) release(x *allocation) {
	if x.refs--; x.refs > 0 {
		return
	}
	x.died = a.clock
	if !x.fixed && !x.escaped {
		if b := x.tensor.Bytes(); len(b) > 0 {
			a.free = append(a.free, b[:0:cap(b)])
		}
	}
}

// end makes the plan for the next run if this one did not follow it, and says
// whether it did.
func (a *arena) end() (followed bool) {
	a.free = nil
	if a.match && len(a.allocs) == len(a.plan) {
		return true
	}
	plan := make([]placed, len(a.allocs))
	order := make([]int, len(plan))
	for i, x := range a.allocs {
		plan[i].allocation = *x
		plan[i].refs = 0
		if x.refs > 0 || x.died == 0 { // held to the end, or by a step that failed
			plan[i].died = a.clock
		}
		order[i] = i
	}
	size := place(plan, order)
	if size > len(a.block) {
		a.block = alignedBytes(size)
	}
	for i := range plan {
		p := &plan[i]
		n := len(p.tensor.Bytes())
		if p.escaped || n == 0 {
			p.tensor = &tensor.Tensor{Type: p.tensor.Type, Shape: p.tensor.Shape}
			p.escaped = p.escaped || n == 0
			continue
		}
		p.tensor, _ = tensor.FromBytes(p.tensor.Type, p.tensor.Shape, a.block[p.offset:p.offset+n:p.offset+n])
	}
	a.plan = plan
	return false
}

// place sets offsets, the largest tensors first, each at the lowest place
// that no tensor of overlapping life covers, and returns the size of the
// block.
func place(plan []placed, order []int) int {
	slices.SortStableFunc(order, func(i, j int) int { return len(plan[j].tensor.Bytes()) - len(plan[i].tensor.Bytes()) })
	total := 0
	var done []int // by offset
	for _, i := range order {
		p := &plan[i]
		size := (len(p.tensor.Bytes()) + alignment - 1) &^ (alignment - 1)
		if size == 0 || p.escaped {
			continue
		}
		at := 0
		for _, j := range done {
			q := &plan[j]
			if q.born > p.died || q.died < p.born {
				continue
			}
			if at+size <= q.offset {
				break
			}
			at = max(at, q.offset+(len(q.tensor.Bytes())+alignment-1)&^(alignment-1))
		}
		p.offset = at
		total = max(total, at+size)
		k, _ := slices.BinarySearchFunc(done, at, func(j, at int) int { return plan[j].offset - at })
		done = slices.Insert(done, k, i)
	}
	return total
}

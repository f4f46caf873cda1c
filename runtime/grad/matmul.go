package grad

import (
	"fmt"
	"slices"

	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// product is C = alpha*A*B or C += alpha*A*B for m x k and k x n operands,
// each stored as it is or transposed.
type product struct {
	m, n, k        int
	transA, transB bool
	alpha          float32
	pool           *pool
	at             []float32 // A of rows
	packed         []float32 // B in panels
	scaled         []float32 // alpha*A
	gemm           kernel.Gemm
	rows           func(lo, hi int)
}

func newProduct(p *pool, m, n, k int, transA, transB bool, alpha float32) *product {
	q := &product{m: m, n: n, k: k, transA: transA, transB: transB, alpha: alpha, pool: p}
	q.gemm = kernel.Gemm{Groups: 1, Rows: m, N: n, K: k, Lda: k, Ldc: n, Ldr: n}
	q.rows = func(lo, hi int) { q.gemm.RunRows(0, 1, lo, hi, 0, q.n) }
	return q
}

// run computes c; write replaces it, otherwise it is added to.
func (q *product) run(c, a, b []float32, write bool) {
	if q.m == 0 || q.n == 0 || q.k == 0 {
		if write {
			clear(c)
		}
		return
	}
	if q.transA {
		q.at = transpose(q.at, a, q.k, q.m)
		a = q.at
	}
	if q.transB {
		q.packed = kernel.PackB(q.packed, b, q.k, q.n, 1, q.k)
	} else {
		q.packed = kernel.PackB(q.packed, b, q.k, q.n, q.n, 1)
	}
	out := c[:q.m*q.n]
	if q.alpha != 1 {
		q.scaled = append(q.scaled[:0], a[:q.m*q.k]...)
		for i := range q.scaled {
			q.scaled[i] *= q.alpha
		}
		a = q.scaled
	}
	q.gemm.A, q.gemm.B, q.gemm.C, q.gemm.Residual = a, q.packed, out, nil
	if !write {
		q.gemm.Residual = out
	}
	q.pool.split(q.m, 6, q.n*q.k, q.rows)
}

// transpose writes the transpose of the rows x cols matrix a.
func transpose(dst, a []float32, rows, cols int) []float32 {
	if cap(dst) < rows*cols {
		dst = make([]float32, rows*cols)
	}
	dst = dst[:rows*cols]
	kernel.TransposeF32(dst, rows, a, cols, rows, cols)
	return dst
}

// matrices is Y = alpha*A*B of one matrix pair with both derivatives:
// dA = dY*B', dB = A'*dY.
type matrices struct{ forward, left, right *product }

func newMatrices(p *pool, m, n, k int, transA, transB bool, alpha float32) matrices {
	s := matrices{forward: newProduct(p, m, n, k, transA, transB, alpha)}
	if transA {
		s.left = newProduct(p, k, m, n, transB, true, alpha) // B * dY'
	} else {
		s.left = newProduct(p, m, k, n, false, !transB, alpha) // dY * B'
	}
	if transB {
		s.right = newProduct(p, n, k, m, true, transA, alpha) // dY' * A
	} else {
		s.right = newProduct(p, k, n, m, !transA, false, alpha) // A' * dY
	}
	return s
}

// backward adds to ga and gb, each nil if not wanted.
func (s *matrices) backward(ga, gb, a, b, gy []float32, writeA, writeB bool) {
	if ga != nil {
		if s.forward.transA {
			s.left.run(ga, b, gy, writeA)
		} else {
			s.left.run(ga, gy, b, writeA)
		}
	}
	if gb != nil {
		if s.forward.transB {
			s.right.run(gb, gy, a, writeB)
		} else {
			s.right.run(gb, a, gy, writeB)
		}
	}
}

// gemmRule is Y = alpha*A*B + beta*C.
func gemmRule(n *node) (func(), func(), error) {
	a, b, y := n.in[0], n.in[1], n.out[0]
	transA, transB := n.Int("transA") != 0, n.Int("transB") != 0
	rows, cols := y.shape[0], y.shape[1]
	k := a.shape[1]
	if transA {
		k = a.shape[0]
	}
	s := newMatrices(n.pool, rows, cols, k, transA, transB, float32(n.Float("alpha")))
	beta := float32(n.Float("beta"))
	var c *array
	var p broadcast
	if n.has(2) {
		c = n.in[2]
		p = newBroadcast(y.shape, y.shape, c.shape)
	}
	forward := func() {
		s.forward.run(y.v, a.v, b.v, true)
		switch {
		case c == nil:
		case beta == 1:
			p.sum(y.v, y.v, c.v)
		default:
			for i := range y.v {
				_, j := p.at(i)
				y.v[i] += beta * c.v[j]
			}
		}
	}
	ga, writeA := n.sink(0)
	gb, writeB := n.sink(1)
	gc := n.g(2)
	backward := func() {
		switch {
		case gc == nil:
		case beta == 1:
			p.sumBack(y.g, nil, gc)
		default:
			for i, g := range y.g {
				_, j := p.at(i)
				gc[j] += beta * g
			}
		}
		s.backward(ga, gb, a.v, b.v, y.g, writeA, writeB)
	}
	return forward, backward, nil
}

// matmulRule multiplies stacks of matrices with broadcasting. A right operand
// of one matrix takes all rows of the left one at once.
func matmulRule(n *node) (func(), func(), error) {
	a, b, y := n.in[0], n.in[1], n.out[0]
	as, bs := a.shape, b.shape
	if len(as) == 1 {
		as = []int{1, as[0]}
	}
	if len(bs) == 1 {
		bs = []int{bs[0], 1}
	}
	rows, k, cols := as[len(as)-2], as[len(as)-1], bs[len(bs)-1]
	ga, writeA := n.sink(0)
	gb, writeB := n.sink(1)
	if count(bs) == k*cols {
		s := newMatrices(n.pool, count(as)/max(k, 1), cols, k, false, false, 1)
		return func() { s.forward.run(y.v, a.v, b.v, true) },
			func() { s.backward(ga, gb, a.v, b.v, y.g, writeA, writeB) }, nil
	}
	batch, err := tensor.Broadcast(as[:len(as)-2], bs[:len(bs)-2])
	if err != nil {
		return nil, nil, fmt.Errorf("operands %v and %v", as, bs)
	}
	s := newMatrices(n.pool, rows, cols, k, false, false, 1)
	var pairs [][2]int
	op.EachBroadcast(batch, [][]int{as[:len(as)-2], bs[:len(bs)-2]}, func(_ int, at []int) { pairs = append(pairs, [2]int{at[0], at[1]}) })
	full := func(shape []int) bool { return slices.Equal(shape[:len(shape)-2], batch) }
	fullA, fullB := full(as), full(bs)
	part := func(v []float32, i, size int) []float32 {
		if v == nil {
			return nil
		}
		return v[i*size : (i+1)*size]
	}
	forward := func() {
		for o, at := range pairs {
			s.forward.run(part(y.v, o, rows*cols), part(a.v, at[0], rows*k), part(b.v, at[1], k*cols), true)
		}
	}
	backward := func() {
		if writeA && !fullA {
			clear(ga)
		}
		if writeB && !fullB {
			clear(gb)
		}
		for o, at := range pairs {
			s.backward(part(ga, at[0], rows*k), part(gb, at[1], k*cols), part(a.v, at[0], rows*k), part(b.v, at[1], k*cols),
				part(y.g, o, rows*cols), writeA && fullA, writeB && fullB)
		}
	}
	return forward, backward, nil
}

package lattice

import (
	"cmp"
	"slices"
)

// Sparsity is how many weights Prune sets to zero.
type Sparsity struct {
	Count int // of all rows together
	// N and M, when set, keep N of every M consecutive inputs of a row instead; M
	// divides 64, and the solver keeps runs of M together.
	N, M int
}

// Prune sets weights of rows w, inputs in Order, to zero and moves the others so
// that e'He of each row grows least.
//
// In the terms of Solver, a weight that goes adds (L_ii (w_i + c_i))^2 with
// c_i = sum(L_ji e_j, j > i) / L_ii, and one that stays becomes w_i + c_i and
// adds nothing. That is SparseGPT (Frantar, Alistarh, "Massive Language Models Can
// Be Accurately Pruned in One-Shot", 2023, arXiv 2301.00774) without the inverse
// of H. Masks are chosen block by block from the moved weights; how many go in
// a block is told by the weights as they were. Zeros stay zero.
func (s *Solver) Prune(w []float32, rows int, p Sparsity) {
	n := s.n
	b := &pruning{Solver: s, Sparsity: p, w: w, rows: rows, errs: make([]float32, len(w)), carried: make([]float32, rows*blockCols),
		gone: make([]bool, rows*blockCols)}
	quotas := b.quotas()
	for e := n; e > 0; {
		b.k, b.e = (e-1)/blockCols*blockCols, e
		s.carry(b.carried, b.errs, rows, b.k, e)
		if p.M == 0 {
			b.choose(quotas[b.k/blockCols])
		}
		for r := range rows {
			b.row(r)
		}
		e = b.k
	}
}

// pruning is the state of Prune: of a block of inputs from k to e, L'e so far and
// the weights that go, [rows][blockCols].
type pruning struct {
	*Solver
	Sparsity
	w, errs []float32
	rows    int

	k, e    int
	carried []float32
	gone    []bool
}

// at is L_ii of an input.
func (b *pruning) at(i int) float32 { return b.factor[i*b.n+i] }

// saliency is what dropping input k+i of a row adds; that of zeros is the least.
func (b *pruning) saliency(r, i int) float32 {
	l := b.at(b.k + i)
	if b.w[r*b.n+b.k+i] == 0 {
		return -1
	}
	x := l*b.w[r*b.n+b.k+i] + b.carried[r*blockCols+i]
	return x * x
}

// Saliency is what dropping each weight of rows w, inputs in Order, adds before
// any other is moved.
func (s *Solver) Saliency(w []float32) []float32 {
	out := make([]float32, len(w))
	for at, x := range w {
		l := s.factor[at%s.n*s.n+at%s.n]
		out[at] = l * l * x * x
	}
	return out
}

// quotas is how many weights go in each block: Count of least Saliency.
func (b *pruning) quotas() []int {
	out := make([]int, (b.n+blockCols-1)/blockCols)
	for _, at := range Least(b.Saliency(b.w), b.Count) {
		out[at%b.n/blockCols]++
	}
	return out
}

// Least is the places of the count smallest values, the first of equals.
func Least(v []float32, count int) []int {
	order := make([]int, len(v))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(cmp.Compare(v[a], v[b]), cmp.Compare(a, b)) })
	return order[:count]
}

// choose marks the weights of the block that go: so many, and all zeros.
func (b *pruning) choose(quota int) {
	saliency := make([]float32, b.rows*(b.e-b.k))
	for at := range saliency {
		saliency[at] = b.saliency(at/(b.e-b.k), at%(b.e-b.k))
	}
	clear(b.gone)
	mark := func(at int) { b.gone[at/(b.e-b.k)*blockCols+at%(b.e-b.k)] = true }
	for at, x := range saliency {
		if x < 0 {
			mark(at)
		}
	}
	for _, at := range Least(saliency, quota) {
		mark(at)
	}
}

// row sets the weights of a row in the block, the last first.
func (b *pruning) row(r int) {
	w, errs := b.w[r*b.n+b.k:r*b.n+b.e], b.errs[r*b.n+b.k:r*b.n+b.e]
	c, gone := b.carried[r*blockCols:], b.gone[r*blockCols:]
	for i := len(w) - 1; i >= 0; i-- {
		if b.M > 0 && (i == len(w)-1 || (b.k+i+1)%b.M == 0) {
			b.chooseRun(r, (b.k+i)/b.M*b.M-b.k, i+1)
		}
		l := b.factor[(b.k+i)*b.n+b.k : (b.k+i)*b.n+b.k+i+1]
		if gone[i] {
			errs[i], w[i] = w[i], 0
		} else {
			errs[i] = -c[i] / l[i]
			w[i] -= errs[i]
		}
		if errs[i] == 0 {
			continue
		}
		for j, x := range l[:i] {
			c[j] += errs[i] * x
		}
	}
}

// chooseRun marks all but the N most salient of inputs k+from to k+to of a row.
func (b *pruning) chooseRun(r, from, to int) {
	for i := from; i < to; i++ {
		mine, above := b.saliency(r, i), 0
		for j := from; j < to; j++ {
			if x := b.saliency(r, j); x > mine || x == mine && j < i {
				above++
			}
		}
		b.gone[r*blockCols+i] = above >= b.N || mine < 0
	}
}

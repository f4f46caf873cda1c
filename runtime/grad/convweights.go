package grad

import "onnxopt/runtime/kernel"

// weights adds the derivatives of a convolution by its weights over several
// images at once: the sum over images of columns [k,out] * dy' [out,m] is one
// product, whose sums have out terms for each image.
type weights struct {
	images int   // at once
	taps   []int // where their columns begin
	packed []float32
	gemm   kernel.Gemm
	pool   *pool
	rows   func(lo, hi int)
}

// newWeights takes so many images that sums are worth a product's overhead, as
// long as their columns stay in cache.
func newWeights(v *convolution, p *pool) *weights {
	const terms, columns = 256, 1 << 16
	k := v.c * v.kernel
	size := max(k*v.out, 1)
	images := max(1, min(v.batch, (terms+v.out-1)/max(v.out, 1), columns/size))
	step := size
	if v.direct {
		step = v.inSize
	}
	taps := make([]int, images)
	for i := range taps {
		taps[i] = i * step
	}
	q := &weights{images: images, taps: taps, pool: p, packed: make([]float32, kernel.Panels(v.m)*kernel.Lanes*v.out*images),
		gemm: kernel.Gemm{Groups: 1, Rows: k, N: v.m, K: v.out, Lda: v.out, Ldc: v.m, Ldr: v.m}}
	q.rows = func(lo, hi int) { q.gemm.RunRows(0, 1, lo, hi, 0, q.gemm.N) }
	return q
}

// add adds the products of group g of the images [from, to) to dw [k,m].
func (q *weights) add(v *convolution, dw, x, gy []float32, from, to, g int) {
	if len(dw) == 0 || v.out == 0 {
		return
	}
	gemm := &q.gemm
	gemm.Taps, gemm.A, gemm.B, gemm.C, gemm.Residual = q.taps[:to-from], v.cols, q.packed, dw, dw
	if v.direct {
		gemm.A = x[from*v.inSize+g*v.c*v.in:]
	}
	depth := (to - from) * v.out
	for n := from; n < to; n++ {
		if !v.direct {
			v.patches(v.cols[(n-from)*gemm.Rows*v.out:], x[n*v.inSize+g*v.c*v.in:])
		}
		for j := 0; j < v.m; j += kernel.Lanes {
			panel := q.packed[j*depth+(n-from)*v.out*kernel.Lanes:][:v.out*kernel.Lanes]
			cols := min(kernel.Lanes, v.m-j)
			if cols < kernel.Lanes {
				clear(panel)
			}
			kernel.TransposeF32(panel, kernel.Lanes, gy[n*v.outSize+(g*v.m+j)*v.out:], v.out, cols, v.out)
		}
	}
	q.pool.split(gemm.Rows, 6, v.m*depth, q.rows)
}

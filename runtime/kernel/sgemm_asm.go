//go:build amd64 && !noasm

package kernel

import (
	"sync"
	"unsafe"
)

// blockBytes is what a block of rows of A may take, so that it stays in the
// second-level cache while all panels of B pass over it.
const blockBytes = 384 << 10

// smallBytes is what a block takes that stays in the first-level cache, where B
// is so small that many blocks pass over it at no cost.
const smallBytes = 40 << 10

// maxTaps is the number of taps whose offsets need no allocation.
const maxTaps = 64

func (g *Gemm) tiles(g0, g1, r0, r1, n0, n1 int) {
	set := &rowsAVX2
	if useAVX512 {
		set = &rowsAVX512
	}
	var buf [maxTaps]int
	offsets := buf[:0]
	for _, t := range g.Taps {
		offsets = append(offsets, 4*t)
	}
	depth := g.K * len(g.Taps)
	args := tileArgs{lda: 4 * g.Lda, taps: unsafe.Pointer(&offsets[0]), count: len(offsets), k: g.K,
		panel: depth * Lanes * 4, ldc: 4 * g.Ldc, ldr: 4 * g.Ldr, lo: g.Lo, hi: g.Hi}
	if g.Clamp {
		args.clamp = 1
	}
	// The rows of neighbouring groups can overlap, as those of a convolution do.
	wide, block := depth, blockBytes
	if g.Act.Kind != Copy { // applied while the block of C is in the cache
		wide += min(n1-n0, actColumns)
		if depth*(n1-n0)*4 <= smallBytes {
			block = smallBytes
		}
	}
	perGroup := (r1 - r0) * wide
	if g1-g0 > 1 && g.GroupStride > 0 && g.Act.Kind == Copy {
		perGroup = min(perGroup, g.GroupStride)
	}
	if rows := max(block/4/max(wide, 1), 14); perGroup*4 > block || g1-g0 == 1 {
		rows = (rows + 13) / 14 * 14
		for gr := g0; gr < g1; gr++ {
			for r := r0; r < r1; r += rows {
				g.panels(set, &args, gr, gr+1, r, min(r+rows, r1), n0, n1)
			}
		}
	} else {
		step := max(block/4/max(perGroup, 1), 1)
		for gr := g0; gr < g1; gr += step {
			g.panels(set, &args, gr, min(gr+step, g1), r0, r1, n0, n1)
		}
	}
}

// packed holds blocks of A.
var packed = sync.Pool{New: func() any { return new([]float32) }}

// conflicts reports that the rows of a tile share so few sets of a first-level
// cache of 4 KiB ways that they evict each other.
func (g *Gemm) conflicts() bool { return len(g.Taps) == 1 && g.Lda%512 == 0 && g.K >= 256 }

// actColumns is after how many columns of a block Act is applied.
const actColumns = 512

// panels runs all columns over one block of rows.
func (g *Gemm) panels(set *tileRows, args *tileArgs, g0, g1, r0, r1, n0, n1 int) {
	a := rows{g.A, g.Lda, g.GroupStride, 0, 0}
	if g.conflicts() && (g1-g0)*(r1-r0) >= 8 && n1-n0 >= 64 {
		buf := packed.Get().(*[]float32)
		defer packed.Put(buf)
		a = g.copyRows(buf, g0, g1, r0, r1)
		own := *args
		own.taps, own.lda = unsafe.Pointer(&oneTap[0]), 4*a.stride
		args = &own
	}
	done := n0 // columns that Act has been applied to
	for n := n0; n < n1; {
		width := set.width(r1-r0, n1-n)
		most := set[width/8]
		cols := min(width, n1-n)
		args.b = unsafe.Pointer(&g.B[n*g.K*len(g.Taps)])
		args.bias = nil
		if g.Bias != nil {
			args.bias = unsafe.Pointer(&g.Bias[n])
		}
		count := (r1 - r0 + most - 1) / most
		for gr := g0; gr < g1; gr++ {
			for t := range count { // tiles of even size
				from, to := r0+(r1-r0)*t/count, r0+(r1-r0)*(t+1)/count
				args.a = unsafe.Pointer(unsafe.SliceData(a.of[(gr-a.group)*a.groupStride+(from-a.row)*a.stride:]))
				row := gr*g.Rows + from
				if cols < width {
					g.edge(args, row, to-from, n, cols, width)
					continue
				}
				args.c = unsafe.Pointer(&g.C[row*g.Ldc+n])
				if g.Residual != nil {
					args.residual = unsafe.Pointer(&g.Residual[row*g.Ldr+n])
				}
				runTile(to-from, width, args)
			}
		}
		n += width
		if end := min(n, n1); end-done >= actColumns || end == n1 {
			for gr := g0; gr < g1; gr++ {
				g.act(gr*g.Rows+r0, gr*g.Rows+r1, done, end)
			}
			done = end
		}
	}
}

// rows is where rows of A are: group and row are the first.
type rows struct {
	of                  []float32
	stride, groupStride int
	group, row          int
}

// copyRows copies a block of rows to buf, a cache line more apart.
func (g *Gemm) copyRows(buf *[]float32, g0, g1, r0, r1 int) rows {
	a := rows{stride: g.K + Lanes, groupStride: (r1 - r0) * (g.K + Lanes), group: g0, row: r0}
	*buf = resize(*buf, (g1-g0)*a.groupStride)
	a.of = *buf
	for gr := g0; gr < g1; gr++ {
		for r := r0; r < r1; r++ {
			copy(a.of[(gr-g0)*a.groupStride+(r-r0)*a.stride:][:g.K], g.A[gr*g.GroupStride+r*g.Lda+g.Taps[0]:])
		}
	}
	return a
}

func runTile(rows, width int, args *tileArgs) {
	if useAVX512 {
		tileAVX512(rows, width, args)
	} else {
		tileAVX2(rows, width, args)
	}
}

// width chooses the columns of the next tiles: 64 for few rows.
func (s *tileRows) width(rows, n int) int {
	if rows <= s[8] && n > 48 {
		return 64
	}
	best := 8
	for w := 16; w <= 32; w += 8 {
		if k := s[w/8]; k > 0 && (k >= 6 || rows <= k) && n > w-8 {
			best = w
		}
	}
	return best
}

// edge runs a tile whose last columns lie beyond C, through a buffer.
func (g *Gemm) edge(args *tileArgs, row, rows, n, cols, width int) {
	var c, r [14 * 64]float32
	var bias [64]float32
	a := *args
	a.c, a.ldc = unsafe.Pointer(&c), 4*width
	if g.Bias != nil {
		copy(bias[:], g.Bias[n:n+cols])
		a.bias = unsafe.Pointer(&bias)
	}
	if g.Residual != nil {
		for i := range rows {
			copy(r[i*width:i*width+cols], g.Residual[(row+i)*g.Ldr+n:])
		}
		a.residual, a.ldr = unsafe.Pointer(&r), 4*width
	}
	runTile(rows, width, &a)
	for i := range rows {
		copy(g.C[(row+i)*g.Ldc+n:(row+i)*g.Ldc+n+cols], c[i*width:])
	}
}

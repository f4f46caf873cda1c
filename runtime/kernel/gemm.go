// Package kernel is the inner loops of the runtime: slices in, slices out. Each
// function has a pure Go form, which is the oracle, and variants for
// instruction sets, chosen by one bool each.
package kernel

//go:generate sh -c "cd _asm && go run . -out ../gemm_amd64.s -stubs ../gemm_amd64.go -pkg kernel"
//go:generate sh -c "cd _asm && go run ./float -out ../float_amd64.s -stubs ../float_amd64.go -pkg kernel"

// Lanes is the number of columns of a packed panel.
const Lanes = 16

// Panels is the number of panels that n columns take.
func Panels(n int) int { return (n + Lanes - 1) / Lanes }

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// PackPairs packs the k x n matrix b for Igemm: panels of 16 columns, each
// ceil(k/2) rows of 16 pairs (b[2p][j], b[2p+1][j]), zero-padded.
func PackPairs(dst []int16, b []int16, k, n, rowStride, colStride int) []int16 {
	half := (k + 1) / 2
	dst = resize(dst, Panels(n)*half*2*Lanes)
	clear(dst)
	for j := range n {
		panel := dst[j/Lanes*half*2*Lanes:]
		for p := range k {
			panel[p/2*2*Lanes+j%Lanes*2+p%2] = b[p*rowStride+j*colStride]
		}
	}
	return dst
}

// Igemm is C = A*B in int32, exact as long as no sum passes int32: A of m rows
// of k values (k even; pad with zero) with stride lda, B packed by PackPairs.
func Igemm(m, n, k int, a []int16, lda int, packed []int16, c []int32, ldc int) {
	if useAVX2 {
		gemm(m, n, k/2, a, lda, packed, k*Lanes, c, ldc, 2, &igemmTiles)
		return
	}
	IgemmGeneric(m, n, k, a, lda, packed, c, ldc)
}

// IgemmGeneric is Igemm in plain Go.
func IgemmGeneric(m, n, k int, a []int16, lda int, packed []int16, c []int32, ldc int) {
	for j0 := 0; j0 < n; j0 += Lanes {
		panel, w := packed[j0*k:], min(Lanes, n-j0)
		for i := range m {
			var acc [Lanes]int32
			for p := 0; p < k; p += 2 {
				x, y := int32(a[i*lda+p]), int32(a[i*lda+p+1])
				row := panel[p*Lanes : (p+2)*Lanes]
				for j := range acc {
					acc[j] += x*int32(row[2*j]) + y*int32(row[2*j+1])
				}
			}
			copy(c[i*ldc+j0:], acc[:w])
		}
	}
}

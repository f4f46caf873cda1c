//go:build amd64 && !noasm

package kernel

type tile[I, O any] func(k int, a *I, lda int, b *I, c *O, ldc int)

var igemmTiles = [...]tile[int16, int32]{igemm1x16, igemm2x16, igemm3x16, igemm4x16, igemm5x16, igemm6x16}

// gemm covers C with tiles of 6x16; k counts steps of step values of A, panel
// is the length of a panel of B. The last columns go through a buffer.
func gemm[I, O any](m, n, k int, a []I, lda int, packed []I, panel int, c []O, ldc, step int, tiles *[6]tile[I, O]) {
	if m == 0 || n == 0 {
		return
	}
	if k == 0 {
		for i := range m {
			clear(c[i*ldc : i*ldc+n])
		}
		return
	}
	const size = 4 // bytes of a step of A and of an element of C
	ldaBytes := lda * size / step
	_ = a[(m-1)*lda+k*step-1]
	_ = packed[Panels(n)*panel-1]
	_ = c[(m-1)*ldc+n-1]
	var edge [6 * Lanes]O
	for j0 := 0; j0 < n; j0 += Lanes {
		b := &packed[j0/Lanes*panel]
		for i := 0; i < m; i += 6 {
			rows := min(6, m-i)
			if j0+Lanes <= n {
				tiles[rows-1](k, &a[i*lda], ldaBytes, b, &c[i*ldc+j0], ldc*size)
				continue
			}
			tiles[rows-1](k, &a[i*lda], ldaBytes, b, &edge[0], Lanes*size)
			for r := range rows {
				copy(c[(i+r)*ldc+j0:(i+r)*ldc+n], edge[r*Lanes:])
			}
		}
	}
}

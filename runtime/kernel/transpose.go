package kernel

import "unsafe"

// Transpose writes the rows x cols matrix src, of elements of size bytes, to
// dst as cols x rows.
func Transpose(dst, src []byte, rows, cols, size int) {
	if rows == 0 || cols == 0 {
		return
	}
	_, _ = src[rows*cols*size-1], dst[rows*cols*size-1]
	switch {
	case size == 1:
		transpose(dst, src, rows, cols)
	case size == 2 && aligned(dst, src, 2):
		transpose(words[uint16](dst), words[uint16](src), rows, cols)
	case size == 4 && aligned(dst, src, 4):
		transpose(words[uint32](dst), words[uint32](src), rows, cols)
	case size == 8 && aligned(dst, src, 8):
		transpose(words[uint64](dst), words[uint64](src), rows, cols)
	default:
		for r := range rows {
			for c := range cols {
				copy(dst[(c*rows+r)*size:(c*rows+r+1)*size], src[(r*cols+c)*size:])
			}
		}
	}
}

func aligned(a, b []byte, n uintptr) bool {
	return (uintptr(unsafe.Pointer(&a[0]))|uintptr(unsafe.Pointer(&b[0])))%n == 0
}

func words[T any](b []byte) []T {
	var t T
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), len(b)/int(unsafe.Sizeof(t)))
}

// transpose works in blocks of 16 rows, a cache line of dst.
func transpose[T any](dst, src []T, rows, cols int) {
	for r0 := 0; r0 < rows; r0 += 16 {
		r1 := min(r0+16, rows)
		for c := range cols {
			d := dst[c*rows+r0 : c*rows+r1]
			at := r0*cols + c
			for i := range d {
				d[i] = src[at]
				at += cols
			}
		}
	}
}

// TransposeFloats writes the rows x cols matrix src to dst as cols x rows.
func TransposeFloats(dst, src []float32, rows, cols int) {
	if rows == 1 || cols == 1 {
		copy(dst, src)
		return
	}
	transpose(dst, src, rows, cols)
}

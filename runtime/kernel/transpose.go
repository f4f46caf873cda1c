package kernel

import "unsafe"

// Transpose writes the rows x cols matrix src, of elements of size bytes, to
// dst as cols x rows.
func Transpose(dst, src []byte, rows, cols, size int) {
	TransposeStrided(dst, src, rows, cols, rows, cols, size)
}

func aligned(a, b []byte, n uintptr) bool {
	return (uintptr(unsafe.Pointer(&a[0]))|uintptr(unsafe.Pointer(&b[0])))%n == 0
}

func words[T any](b []byte) []T {
	var t T
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), len(b)/int(unsafe.Sizeof(t)))
}

// transposeStrided works in blocks of 16 rows, a cache line of dst.
func transposeStrided[T any](dst, src []T, rows, cols, to, from int) {
	if rows == 3 && to == 3 { // the channels of an image
		a, b, c := src[:cols], src[from:from+cols], src[2*from:2*from+cols]
		for i := range a {
			d := dst[3*i : 3*i+3]
			d[0], d[1], d[2] = a[i], b[i], c[i]
		}
		return
	}
	for r0 := 0; r0 < rows; r0 += 16 {
		r1 := min(r0+16, rows)
		for c := range cols {
			d := dst[c*to+r0 : c*to+r1]
			at := r0*from + c
			for i := range d {
				d[i] = src[at]
				at += from
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
	transposeStrided(dst, src, rows, cols, rows, cols)
}

// TransposeStrided writes rows x cols elements of size bytes, row r of src
// from element r*from on, as columns: element (r, c) goes to c*to + r.
func TransposeStrided(dst, src []byte, rows, cols, to, from, size int) {
	if rows == 0 || cols == 0 {
		return
	}
	_, _ = src[((rows-1)*from+cols)*size-1], dst[((cols-1)*to+rows)*size-1]
	switch {
	case size == 1:
		transposeStrided(dst, src, rows, cols, to, from)
	case size == 2 && aligned(dst, src, 2):
		transposeStrided(words[uint16](dst), words[uint16](src), rows, cols, to, from)
	case size == 4 && aligned(dst, src, 4) && useAVX2 && rows >= 8 && cols >= 8:
		TransposeF32(words[float32](dst), to, words[float32](src), from, rows, cols)
	case size == 4 && aligned(dst, src, 4):
		transposeStrided(words[uint32](dst), words[uint32](src), rows, cols, to, from)
	case size == 8 && aligned(dst, src, 8):
		transposeStrided(words[uint64](dst), words[uint64](src), rows, cols, to, from)
	default:
		for r := range rows {
			for c := range cols {
				copy(dst[(c*to+r)*size:(c*to+r+1)*size], src[(r*from+c)*size:])
			}
		}
	}
}

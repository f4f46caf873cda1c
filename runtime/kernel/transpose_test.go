package kernel

import (
	"encoding/binary"
	"testing"
)

// Elements of 4 bytes, which vectors move, keep their bits, NaN or not, and
// what lies between columns is left alone.
func TestTransposeStrided(t *testing.T) {
	for _, shape := range [][2]int{{1, 1}, {3, 50}, {7, 9}, {8, 8}, {9, 17}, {16, 24}, {33, 70}} {
		rows, cols := shape[0], shape[1]
		to, from := rows+2, cols+3
		src, dst := make([]uint32, rows*from), make([]uint32, cols*to)
		for i := range src {
			src[i] = uint32(i+1) * 0x9e3779b1
		}
		src[0] = 0x7f800001 // signalling
		raw, out := make([]byte, 4*len(src)), make([]byte, 4*len(dst))
		for i, v := range src {
			binary.NativeEndian.PutUint32(raw[4*i:], v)
		}
		for _, use := range allVariants() {
			clear(out)
			back := use()
			TransposeStrided(out, raw, rows, cols, to, from, 4)
			back()
			for i := range dst {
				want, got := uint32(0), binary.NativeEndian.Uint32(out[4*i:])
				if r, c := i%to, i/to; r < rows {
					want = src[r*from+c]
				}
				if got != want {
					t.Fatalf("%dx%d at %d: %#x, want %#x", rows, cols, i, got, want)
				}
			}
		}
	}
}

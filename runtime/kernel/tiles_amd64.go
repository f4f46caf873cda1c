//go:build !noasm

package kernel

import "unsafe"

// tileRows is the most rows of the micro-kernels of each width/8.
type tileRows [9]int

var (
	rowsAVX2   = tileRows{1: 12, 2: 6, 4: 3, 8: 1}
	rowsAVX512 = tileRows{1: 14, 2: 14, 3: 14, 4: 14, 8: 6}
)

// tileAVX2 runs the micro-kernel of a size. Direct calls keep the arguments
// off the heap.
func tileAVX2(rows, width int, args *tileArgs) {
	p := (*byte)(unsafe.Pointer(args))
	switch width/8*16 + rows {
	case 1*16 + 1:
		tileAVX2_1x8(p)
	case 1*16 + 2:
		tileAVX2_2x8(p)
	case 1*16 + 3:
		tileAVX2_3x8(p)
	case 1*16 + 4:
		tileAVX2_4x8(p)
	case 1*16 + 5:
		tileAVX2_5x8(p)
	case 1*16 + 6:
		tileAVX2_6x8(p)
	case 1*16 + 7:
		tileAVX2_7x8(p)
	case 1*16 + 8:
		tileAVX2_8x8(p)
	case 1*16 + 9:
		tileAVX2_9x8(p)
	case 1*16 + 10:
		tileAVX2_10x8(p)
	case 1*16 + 11:
		tileAVX2_11x8(p)
	case 1*16 + 12:
		tileAVX2_12x8(p)
	case 2*16 + 1:
		tileAVX2_1x16(p)
	case 2*16 + 2:
		tileAVX2_2x16(p)
	case 2*16 + 3:
		tileAVX2_3x16(p)
	case 2*16 + 4:
		tileAVX2_4x16(p)
	case 2*16 + 5:
		tileAVX2_5x16(p)
	case 2*16 + 6:
		tileAVX2_6x16(p)
	case 4*16 + 1:
		tileAVX2_1x32(p)
	case 4*16 + 2:
		tileAVX2_2x32(p)
	case 4*16 + 3:
		tileAVX2_3x32(p)
	case 8*16 + 1:
		tileAVX2_1x64(p)
	default:
		panic("kernel: no such tile")
	}
}

// tileAVX512 runs the micro-kernel of a size. Direct calls keep the arguments
// off the heap.
func tileAVX512(rows, width int, args *tileArgs) {
	p := (*byte)(unsafe.Pointer(args))
	switch width/8*16 + rows {
	case 1*16 + 1:
		tileAVX512_1x8(p)
	case 1*16 + 2:
		tileAVX512_2x8(p)
	case 1*16 + 3:
		tileAVX512_3x8(p)
	case 1*16 + 4:
		tileAVX512_4x8(p)
	case 1*16 + 5:
		tileAVX512_5x8(p)
	case 1*16 + 6:
		tileAVX512_6x8(p)
	case 1*16 + 7:
		tileAVX512_7x8(p)
	case 1*16 + 8:
		tileAVX512_8x8(p)
	case 1*16 + 9:
		tileAVX512_9x8(p)
	case 1*16 + 10:
		tileAVX512_10x8(p)
	case 1*16 + 11:
		tileAVX512_11x8(p)
	case 1*16 + 12:
		tileAVX512_12x8(p)
	case 1*16 + 13:
		tileAVX512_13x8(p)
	case 1*16 + 14:
		tileAVX512_14x8(p)
	case 2*16 + 1:
		tileAVX512_1x16(p)
	case 2*16 + 2:
		tileAVX512_2x16(p)
	case 2*16 + 3:
		tileAVX512_3x16(p)
	case 2*16 + 4:
		tileAVX512_4x16(p)
	case 2*16 + 5:
		tileAVX512_5x16(p)
	case 2*16 + 6:
		tileAVX512_6x16(p)
	case 2*16 + 7:
		tileAVX512_7x16(p)
	case 2*16 + 8:
		tileAVX512_8x16(p)
	case 2*16 + 9:
		tileAVX512_9x16(p)
	case 2*16 + 10:
		tileAVX512_10x16(p)
	case 2*16 + 11:
		tileAVX512_11x16(p)
	case 2*16 + 12:
		tileAVX512_12x16(p)
	case 2*16 + 13:
		tileAVX512_13x16(p)
	case 2*16 + 14:
		tileAVX512_14x16(p)
	case 3*16 + 1:
		tileAVX512_1x24(p)
	case 3*16 + 2:
		tileAVX512_2x24(p)
	case 3*16 + 3:
		tileAVX512_3x24(p)
	case 3*16 + 4:
		tileAVX512_4x24(p)
	case 3*16 + 5:
		tileAVX512_5x24(p)
	case 3*16 + 6:
		tileAVX512_6x24(p)
	case 3*16 + 7:
		tileAVX512_7x24(p)
	case 3*16 + 8:
		tileAVX512_8x24(p)
	case 3*16 + 9:
		tileAVX512_9x24(p)
	case 3*16 + 10:
		tileAVX512_10x24(p)
	case 3*16 + 11:
		tileAVX512_11x24(p)
	case 3*16 + 12:
		tileAVX512_12x24(p)
	case 3*16 + 13:
		tileAVX512_13x24(p)
	case 3*16 + 14:
		tileAVX512_14x24(p)
	case 4*16 + 1:
		tileAVX512_1x32(p)
	case 4*16 + 2:
		tileAVX512_2x32(p)
	case 4*16 + 3:
		tileAVX512_3x32(p)
	case 4*16 + 4:
		tileAVX512_4x32(p)
	case 4*16 + 5:
		tileAVX512_5x32(p)
	case 4*16 + 6:
		tileAVX512_6x32(p)
	case 4*16 + 7:
		tileAVX512_7x32(p)
	case 4*16 + 8:
		tileAVX512_8x32(p)
	case 4*16 + 9:
		tileAVX512_9x32(p)
	case 4*16 + 10:
		tileAVX512_10x32(p)
	case 4*16 + 11:
		tileAVX512_11x32(p)
	case 4*16 + 12:
		tileAVX512_12x32(p)
	case 4*16 + 13:
		tileAVX512_13x32(p)
	case 4*16 + 14:
		tileAVX512_14x32(p)
	case 8*16 + 1:
		tileAVX512_1x64(p)
	case 8*16 + 2:
		tileAVX512_2x64(p)
	case 8*16 + 3:
		tileAVX512_3x64(p)
	case 8*16 + 4:
		tileAVX512_4x64(p)
	case 8*16 + 5:
		tileAVX512_5x64(p)
	case 8*16 + 6:
		tileAVX512_6x64(p)
	default:
		panic("kernel: no such tile")
	}
}

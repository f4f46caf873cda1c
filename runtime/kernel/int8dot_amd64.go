//go:build amd64 && !noasm

package kernel

import "unsafe"

// chooseDot is the fastest exact kernel for weights that fit int8 or not, and
// whose pairs pass VPMADDUBSW or not.
func chooseDot(fits, pairsFit bool) (dot dotKernel, wide bool, panels int) {
	switch {
	case useVNNI && fits:
		return dotVNNI, false, 4
	case useAVXVNNI && fits:
		return dotAVXVNNI, false, 1
	case useAVX512:
		return dotWide, true, 4
	case useAVX2 && fits && pairsFit:
		return dotBytes, false, 1
	case useAVX2:
		return dotPairs, true, 1
	}
	return dotGeneric, !fits, 1
}

// saturatingDot adds pairs of products in int16.
func saturatingDot() dotKernel {
	if useAVX2 {
		return dotBytes
	}
	return dotGeneric
}

func (d dotKernel) run(rows, panels int, t *dotTile) {
	switch d {
	case dotVNNI:
		vnniDot(rows, panels, t)
	case dotAVXVNNI:
		avxvnniDot(rows, t)
	case dotWide:
		wideDot(rows, panels, t)
	case dotBytes:
		ubsDot(rows, t)
	case dotPairs:
		pairDot(rows, t)
	}
}

func vnniDot(rows, panels int, t *dotTile) {
	p := (*byte)(unsafe.Pointer(t))
	switch rows*8 + panels {
	case 6*8 + 4:
		vnniDot6x4(p)
	case 6*8 + 2:
		vnniDot6x2(p)
	case 6*8 + 1:
		vnniDot6x1(p)
	case 4*8 + 4:
		vnniDot4x4(p)
	case 4*8 + 2:
		vnniDot4x2(p)
	case 4*8 + 1:
		vnniDot4x1(p)
	case 1*8 + 4:
		vnniDot1x4(p)
	case 1*8 + 2:
		vnniDot1x2(p)
	default:
		vnniDot1x1(p)
	}
}

func avxvnniDot(rows int, t *dotTile) {
	p := (*byte)(unsafe.Pointer(t))
	switch rows {
	case 6:
		avxvnniDot6x1(p)
	case 4:
		avxvnniDot4x1(p)
	default:
		avxvnniDot1x1(p)
	}
}

func wideDot(rows, panels int, t *dotTile) {
	p := (*byte)(unsafe.Pointer(t))
	switch rows*8 + panels {
	case 6*8 + 4:
		wideDot6x4(p)
	case 6*8 + 2:
		wideDot6x2(p)
	case 6*8 + 1:
		wideDot6x1(p)
	case 4*8 + 4:
		wideDot4x4(p)
	case 4*8 + 2:
		wideDot4x2(p)
	case 4*8 + 1:
		wideDot4x1(p)
	case 1*8 + 4:
		wideDot1x4(p)
	case 1*8 + 2:
		wideDot1x2(p)
	default:
		wideDot1x1(p)
	}
}

func ubsDot(rows int, t *dotTile) {
	p := (*byte)(unsafe.Pointer(t))
	switch rows {
	case 6:
		ubsDot6x1(p)
	case 4:
		ubsDot4x1(p)
	default:
		ubsDot1x1(p)
	}
}

func pairDot(rows int, t *dotTile) {
	p := (*byte)(unsafe.Pointer(t))
	switch rows {
	case 6:
		pairDot6x1(p)
	case 4:
		pairDot4x1(p)
	default:
		pairDot1x1(p)
	}
}

func chooseDepthwise(fits bool) (run depthwiseKernel, step, widest int) {
	switch {
	case useVNNI && fits:
		return depthwiseVNNI, 4, 64
	case useAVX512:
		return depthwisePairs, 2, 64
	case useAVX2:
		return depthwisePairs, 2, 32
	}
	return depthwiseGeneric, 1, 0
}

func (d depthwiseKernel) run(width int, t *channelTile) {
	switch d {
	case depthwiseVNNI:
		vnniDepthwise(width, t)
	case depthwisePairs:
		pairDepthwise(width, t)
	}
}

func vnniDepthwise(width int, t *channelTile) {
	p := (*byte)(unsafe.Pointer(t))
	switch width {
	case 64:
		vnniDepthwise64(p)
	case 32:
		vnniDepthwise32(p)
	default:
		vnniDepthwise16(p)
	}
}

func pairDepthwise(width int, t *channelTile) {
	p := (*byte)(unsafe.Pointer(t))
	switch width {
	case 64:
		pairDepthwise64(p)
	case 32:
		pairDepthwise32(p)
	default:
		pairDepthwise16(p)
	}
}

// widestMaxPool is the channels of the widest block of maxPool, 0 if there is none.
func widestMaxPool() int {
	switch {
	case useAVX512:
		return 64
	case useAVX2:
		return 32
	}
	return 0
}

func maxPool(width int, t *channelTile) {
	p := (*byte)(unsafe.Pointer(t))
	switch width {
	case 64:
		maxPool64(p)
	case 32:
		maxPool32(p)
	default:
		maxPool16(p)
	}
}

//go:build !noasm

package kernel

import "unsafe"

func (t *Transform) vectors(dst, src, residual []float32) {
	a := winogradArgs{src: unsafe.Pointer(&src[0]), srcRow: 4 * t.SrcRow, srcStep: 4 * t.SrcStep, dst: unsafe.Pointer(&dst[0]), dstRow: 4 * t.DstRow, dstStep: 4 * t.DstStep,
		vectors: t.Channels / lanes(), temp: unsafe.Pointer(&t.temp[0]), lo: t.Lo, hi: t.Hi}
	if t.Bias != nil {
		a.bias = unsafe.Pointer(&t.Bias[0])
	}
	if residual != nil {
		a.residual = unsafe.Pointer(&residual[0])
	}
	if t.Clamp {
		a.clamp = 1
	}
	p := (*byte)(unsafe.Pointer(&a))
	switch {
	case t.Output && useAVX512:
		winogradOutputAVX512(p)
	case t.Output:
		winogradOutputAVX2(p)
	case useAVX512:
		winogradInputAVX512(p)
	default:
		winogradInputAVX2(p)
	}
}

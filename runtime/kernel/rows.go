package kernel

// CopyRows copies rows of width elements, which begin dstStride and srcStride
// elements apart. The last row ends within both.
func CopyRows(dst []float32, dstStride int, src []float32, srcStride, rows, width int) {
	if rows <= 0 || width <= 0 {
		return
	}
	_, _ = dst[(rows-1)*dstStride+width-1], src[(rows-1)*srcStride+width-1]
	if useAVX2 {
		copyRowsAVX2(rows, width, &dst[0], 4*dstStride, &src[0], 4*srcStride)
		return
	}
	for r := range rows {
		copy(dst[r*dstStride:r*dstStride+width], src[r*srcStride:])
	}
}

// AddRows is CopyRows that adds, row after row: rows of dst may overlap.
func AddRows(dst []float32, dstStride int, src []float32, srcStride, rows, width int) {
	if rows <= 0 || width <= 0 {
		return
	}
	_, _ = dst[(rows-1)*dstStride+width-1], src[(rows-1)*srcStride+width-1]
	if useAVX2 {
		addRowsAVX2(rows, width, &dst[0], 4*dstStride, &src[0], 4*srcStride)
		return
	}
	for r := range rows {
		d := dst[r*dstStride : r*dstStride+width]
		for i, x := range src[r*srcStride : r*srcStride+width] {
			d[i] += x
		}
	}
}

// AddScalar is dst += x.
func AddScalar(dst []float32, x float32) {
	n := 0
	if useAVX2 && len(dst) >= 8 {
		n = len(dst) &^ 7
		addScalarAVX2(n, &dst[0], x)
	}
	for i := n; i < len(dst); i++ {
		dst[i] += x
	}
}

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

// AxpyRows is AddRows of a*src, both operations rounded.
func AxpyRows(dst []float32, dstStride int, a float32, src []float32, srcStride, rows, width int) {
	if rows <= 0 || width <= 0 {
		return
	}
	_, _ = dst[(rows-1)*dstStride+width-1], src[(rows-1)*srcStride+width-1]
	if useAVX2 {
		axpyRowsAVX2(rows, width, &dst[0], 4*dstStride, &src[0], 4*srcStride, a)
		return
	}
	for r := range rows {
		d := dst[r*dstStride : r*dstStride+width]
		for i, x := range src[r*srcStride : r*srcStride+width] {
			d[i] += float32(a * x)
		}
	}
}

// DotRows is the sum of the products of rows of x and y. In each row elements
// are taken 8 at a time, then 4, then one by one, each into sums of its own.
func DotRows(x []float32, xStride int, y []float32, yStride, rows, width int) float32 {
	if rows <= 0 || width <= 0 {
		return 0
	}
	_, _ = x[(rows-1)*xStride+width-1], y[(rows-1)*yStride+width-1]
	var sum [13]float32
	if useAVX2 {
		dotRowsAVX2(rows, width, &x[0], 4*xStride, &y[0], 4*yStride, &sum)
	} else {
		for r := range rows {
			dotRow(&sum, x[r*xStride:][:width], y[r*yStride:][:width])
		}
	}
	for i := range 4 {
		sum[i] = sum[i] + sum[i+4] + sum[i+8]
	}
	return sum[0] + sum[1] + (sum[2] + sum[3]) + sum[12]
}

func dotRow(sum *[13]float32, x, y []float32) {
	i := 0
	for ; i+8 <= len(x); i += 8 {
		for k := range 8 {
			sum[k] += float32(x[i+k] * y[i+k])
		}
	}
	if i+4 <= len(x) {
		for k := range 4 {
			sum[8+k] += float32(x[i+k] * y[i+k])
		}
		i += 4
	}
	for ; i < len(x); i++ {
		sum[12] += float32(x[i] * y[i])
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

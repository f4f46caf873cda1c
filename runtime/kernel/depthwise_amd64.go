//go:build !noasm

package kernel

import "unsafe"

// vectors is Row for at least one vector of channels. Channels that fill no
// whole vector are computed with those before them once more.
func (d *Depthwise) vectors(y, x []float32, rowStride, low, high, pixels int) {
	n, wide := lanes(), useAVX512
	c := d.Channels
	if c < n { // 8 to 15 channels
		n, wide = 8, false
	}
	args := depthwiseArgs{xPixel: 4 * c, xRow: 4 * rowStride, wTap: 4 * c, yPixel: 4 * c}
	fused := args.setFinish(d.Act)
	groups := (pixels + 7) / 8
	for g := range groups { // of even size
		from, to := pixels*g/groups, pixels*(g+1)/groups
		first := from*d.Stride - d.Left
		args.enter = max(-first, 0)
		args.exit = min((to-from-1)*d.Stride+d.Wide, d.Width-first)
		if args.enter >= d.Wide || args.exit <= args.enter {
			d.generic(y, x, rowStride, low, high, from, to)
			continue
		}
		args.count = to - from
		for ch := 0; ch < c; {
			vectors := (c - ch) / n
			if vectors == 0 {
				ch, vectors = c-n, 1
			}
			args.vectors, args.rows = vectors, high-low
			args.x = unsafe.Pointer(&x[(first+args.enter)*c+ch])
			args.w = unsafe.Pointer(&d.W[low*d.Wide*c+ch])
			args.y = unsafe.Pointer(&y[from*c+ch])
			if d.Bias != nil {
				args.bias = unsafe.Pointer(&d.Bias[ch])
			}
			depthwiseRow(wide, d.Wide, d.Stride, &args)
			ch += vectors * n
		}
		if !fused {
			d.Act.Apply(y[from*c:to*c], y[from*c:to*c])
		}
	}
}

// depthwiseRow runs the assembly for 7 pixels or 8.
func depthwiseRow(avx512 bool, wide, stride int, args *depthwiseArgs) {
	p := (*byte)(unsafe.Pointer(args))
	code := wide*4 + stride*2
	if args.count > 7 {
		code++
	}
	if avx512 {
		code += 64
	}
	switch code {
	case 3*4 + 2:
		depthwiseRowAVX2_3x1_7(p)
	case 3*4 + 3:
		depthwiseRowAVX2_3x1_8(p)
	case 3*4 + 4:
		depthwiseRowAVX2_3x2_7(p)
	case 3*4 + 5:
		depthwiseRowAVX2_3x2_8(p)
	case 5*4 + 2:
		depthwiseRowAVX2_5x1_7(p)
	case 5*4 + 3:
		depthwiseRowAVX2_5x1_8(p)
	case 5*4 + 4:
		depthwiseRowAVX2_5x2_7(p)
	case 5*4 + 5:
		depthwiseRowAVX2_5x2_8(p)
	case 7*4 + 2:
		depthwiseRowAVX2_7x1_7(p)
	case 7*4 + 3:
		depthwiseRowAVX2_7x1_8(p)
	case 7*4 + 4:
		depthwiseRowAVX2_7x2_7(p)
	case 7*4 + 5:
		depthwiseRowAVX2_7x2_8(p)
	case 64 + 3*4 + 2:
		depthwiseRowAVX512_3x1_7(p)
	case 64 + 3*4 + 3:
		depthwiseRowAVX512_3x1_8(p)
	case 64 + 3*4 + 4:
		depthwiseRowAVX512_3x2_7(p)
	case 64 + 3*4 + 5:
		depthwiseRowAVX512_3x2_8(p)
	case 64 + 5*4 + 2:
		depthwiseRowAVX512_5x1_7(p)
	case 64 + 5*4 + 3:
		depthwiseRowAVX512_5x1_8(p)
	case 64 + 5*4 + 4:
		depthwiseRowAVX512_5x2_7(p)
	case 64 + 5*4 + 5:
		depthwiseRowAVX512_5x2_8(p)
	case 64 + 7*4 + 2:
		depthwiseRowAVX512_7x1_7(p)
	case 64 + 7*4 + 3:
		depthwiseRowAVX512_7x1_8(p)
	case 64 + 7*4 + 4:
		depthwiseRowAVX512_7x2_7(p)
	case 64 + 7*4 + 5:
		depthwiseRowAVX512_7x2_8(p)
	default:
		panic("kernel: no such depthwise row")
	}
}

// sumRowsVectors adds the columns that fill vectors and says how many.
func sumRowsVectors(y, x []float32, stride, rows int) int {
	n, c, done := lanes(), len(y), 0
	for vectors := 8; vectors > 0; vectors /= 2 {
		for c-done >= vectors*n {
			sumRowsBlock(vectors, &y[done], &x[done], 4*stride, rows)
			done += vectors * n
		}
	}
	return done
}

func sumRowsBlock(vectors int, y, x *float32, stride, rows int) {
	switch {
	case !useAVX512 && vectors == 1:
		sumRowsAVX2_1(y, x, stride, rows)
	case !useAVX512 && vectors == 2:
		sumRowsAVX2_2(y, x, stride, rows)
	case !useAVX512 && vectors == 4:
		sumRowsAVX2_4(y, x, stride, rows)
	case !useAVX512:
		sumRowsAVX2_8(y, x, stride, rows)
	case vectors == 1:
		sumRowsAVX512_1(y, x, stride, rows)
	case vectors == 2:
		sumRowsAVX512_2(y, x, stride, rows)
	case vectors == 4:
		sumRowsAVX512_4(y, x, stride, rows)
	default:
		sumRowsAVX512_8(y, x, stride, rows)
	}
}

package op

import "image"

// fromYCbCr makes the chroma planes as large as the luma plane, smoothly, as
// the standard asks and libjpeg and libwebp do, and converts the colors.
func fromYCbCr(m *image.YCbCr, format string) pixels {
	w, h := m.Rect.Dx(), m.Rect.Dy()
	up := func(p []byte) []byte {
		switch {
		case format == "webp":
			return upsampleBoth(p, m.CStride, w, h, webpRound)
		case m.SubsampleRatio == image.YCbCrSubsampleRatio420:
			return upsampleBoth(p, m.CStride, w, h, jpegRound)
		case m.SubsampleRatio == image.YCbCrSubsampleRatio422:
			return upsampleRows(p, m.CStride, w, h)
		}
		return repeated(m, p, w, h)
	}
	cb, cr := up(m.Cb), up(m.Cr)
	toRGB := jpegRGB
	if format == "webp" {
		toRGB = webpRGB
	}
	pix := pixels{width: w, height: h, rgb: make([]byte, 0, 3*w*h)}
	for y := range h {
		for x := range w {
			i := y*w + x
			r, g, b := toRGB(int32(m.Y[y*m.YStride+x]), int32(cb[i]), int32(cr[i]))
			pix.rgb = append(pix.rgb, r, g, b)
		}
	}
	return pix
}

// repeated reads each chroma sample for all pixels that it stands for.
func repeated(m *image.YCbCr, p []byte, w, h int) []byte {
	out := make([]byte, 0, w*h)
	for y := range h {
		for x := range w {
			out = append(out, p[m.COffset(m.Rect.Min.X+x, m.Rect.Min.Y+y)])
		}
	}
	return out
}

// upsampleRows doubles the columns: each pixel is 3/4 of the sample that it
// lies in and 1/4 of the nearer neighbour, rounded down and up in turn.
func upsampleRows(p []byte, stride, w, h int) []byte {
	out := make([]byte, 0, w*h)
	n := (w + 1) / 2
	for y := range h {
		row := p[y*stride:][:n]
		for x := range w {
			near := min(max(x/2-1+x%2*2, 0), n-1)
			out = append(out, byte((3*int(row[x/2])+int(row[near])+1+x%2)>>2))
		}
	}
	return out
}

// upsampleBoth doubles columns and rows: 9/16, 3/16, 3/16 and 1/16 of the four
// nearest samples, on the border repeated, rounded as round has it.
func upsampleBoth(p []byte, stride, w, h int, round func(near, side, across, corner, odd int) byte) []byte {
	out := make([]byte, 0, w*h)
	columns, rows := (w+1)/2, (h+1)/2
	for y := range h {
		own := p[y/2*stride:]
		other := p[min(max(y/2-1+y%2*2, 0), rows-1)*stride:]
		for x := range w {
			near := min(max(x/2-1+x%2*2, 0), columns-1)
			out = append(out, round(int(own[x/2]), int(own[near]), int(other[x/2]), int(other[near]), x%2))
		}
	}
	return out
}

// jpegRound rounds even columns up and odd ones down.
func jpegRound(near, side, across, corner, odd int) byte {
	return byte((3*(3*near+across) + 3*side + corner + 8 - odd) >> 4)
}

// webpRound is the mean of the nearest sample and of the rounded mean along
// the other diagonal.
func webpRound(near, side, across, corner, _ int) byte {
	diagonal := (near + side + across + corner + 8 + 2*(side+across)) >> 3
	return byte((diagonal + near) >> 1)
}

// jpegRGB is the conversion of JFIF with libjpeg's rounding.
func jpegRGB(y, cb, cr int32) (r, g, b byte) {
	cb, cr = cb-128, cr-128
	return clampByte(y + (91881*cr+1<<15)>>16), clampByte(y + (-22554*cb-46802*cr+1<<15)>>16), clampByte(y + (116130*cb+1<<15)>>16)
}

// webpRGB is the conversion of video levels (ITU-R 601-2) with libwebp's
// rounding.
func webpRGB(y, u, v int32) (r, g, b byte) {
	hi := func(x, factor int32) int32 { return x * factor >> 8 }
	l := hi(y, 19077)
	return clampByte((l + hi(v, 26149) - 14234) >> 6), clampByte((l - hi(u, 6419) - hi(v, 13320) + 8708) >> 6), clampByte((l + hi(u, 33050) - 17685) >> 6)
}

func clampByte(x int32) byte { return byte(min(max(x, 0), 255)) }

package kernel

import "math"

//go:generate sh -c "cd _asm && go run ./train -out ../train_amd64.s -stubs ../train_amd64.go -pkg kernel"

// Adam is the constants of one update by Adam.
type Adam struct{ Beta1, Beta2, Rate, Scale, Eps float32 }

// Apply moves w by gradient g with moments m and v:
//
//	m = b1*m + (1-b1)*g    v = b2*v + (1-b2)*g^2    w -= rate*m / (sqrt(v)*scale + eps)
//
// Every operation rounds by itself, so that variants give the same bits.
func (u Adam) Apply(w, g, m, v []float32) {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	n := 0
	if useAVX2 && len(w) >= 8 {
		n = len(w) &^ 7
		c := [7]float32{u.Beta1, 1 - u.Beta1, u.Beta2, 1 - u.Beta2, u.Rate, u.Scale, u.Eps}
		adamAVX2(n, &w[0], &g[0], &m[0], &v[0], &c[0])
	}
	c1, c2 := 1-u.Beta1, 1-u.Beta2
	for i := n; i < len(w); i++ {
		d := g[i]
		m[i] = float32(u.Beta1*m[i]) + float32(c1*d)
		v[i] = float32(u.Beta2*v[i]) + float32(float32(c2*d)*d)
		root := float32(math.Sqrt(float64(v[i])))
		w[i] -= float32(u.Rate*m[i]) / (float32(root*u.Scale) + u.Eps)
	}
}

// Mask is dst = w*mask, with +0 for zero products.
func Mask(dst, w, mask []float32) {
	w, mask = w[:len(dst)], mask[:len(dst)]
	n := 0
	if useAVX2 && len(dst) >= 8 {
		n = len(dst) &^ 7
		maskAVX2(n, &dst[0], &w[0], &mask[0])
	}
	for i := n; i < len(dst); i++ {
		dst[i] = float32(w[i]*mask[i]) + 0
	}
}

// ReluBack is the derivative of Relu: dst = g where y > 0, else 0.
func ReluBack(dst, y, g []float32) {
	y, g = y[:len(dst)], g[:len(dst)]
	n := 0
	if useAVX2 && len(dst) >= 8 {
		n = len(dst) &^ 7
		reluBackAVX2(n, &dst[0], &y[0], &g[0])
	}
	for i := n; i < len(dst); i++ {
		dst[i] = 0
		if y[i] > 0 {
			dst[i] = g[i]
		}
	}
}

// MaxPool2 is the largest element of each of rows x cols windows of 2x2 side by
// side, the first of equals, and its position in src, whose rows are width
// elements. Windows of NaN have any of their elements.
func MaxPool2(dst []float32, at []int32, src []float32, rows, cols, width int) {
	if rows <= 0 || cols <= 0 {
		return
	}
	_, _, _ = dst[rows*cols-1], at[rows*cols-1], src[(2*rows-1)*width+2*cols-1]
	if useAVX2 && cols >= 4 {
		maxPool2AVX2(rows, cols, &dst[0], &at[0], &src[0], width)
		return
	}
	for o := range rows * cols {
		first := o/cols*2*width + o%cols*2
		best := first
		for _, i := range [3]int{first + 1, first + width, first + width + 1} {
			if src[i] > src[best] {
				best = i
			}
		}
		dst[o], at[o] = src[best], int32(best)
	}
}

// TransposeF32 writes rows x cols elements of src, whose rows begin srcStride
// apart, as their transpose: column j goes to the rows elements of dst from
// j*dstStride on.
func TransposeF32(dst []float32, dstStride int, src []float32, srcStride, rows, cols int) {
	if rows == 0 || cols == 0 {
		return
	}
	_, _ = src[(rows-1)*srcStride+cols-1], dst[(cols-1)*dstStride+rows-1]
	r8, c8 := 0, 0
	if useAVX2 && cols >= 8 {
		r8, c8 = rows&^7, cols&^7
		for r := 0; r < r8; r += 8 {
			transpose8AVX2(c8, &src[r*srcStride], 4*srcStride, &dst[r], 4*dstStride)
		}
	}
	for r := range rows {
		from := 0
		if r < r8 {
			from = c8
		}
		row := src[r*srcStride : r*srcStride+cols]
		for c := from; c < cols; c++ {
			dst[c*dstStride+r] = row[c]
		}
	}
}

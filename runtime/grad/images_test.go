package grad

import (
	"math/rand/v2"
	"testing"

	"onnxopt/onnx/op"
)

// TestImages compares stencils and channels-last images with the convolution
// tap by tap and by columns: kernels, strides, dilations, pads of both axes and
// groups, all derivatives, threads.
func TestImages(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 2))
	p := newPool(3)
	defer p.close()
	some := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rng.IntN(9) - 4) // sums are exact
		}
		return v
	}
	ran := 0
	for ran < 400 {
		w := &op.Window{}
		var in, out, kernel []int
		fits := true
		for range 2 {
			k, stride, dilation := 1+rng.IntN(4), 1+rng.IntN(3), 1+rng.IntN(2)
			before, after, size := rng.IntN(4), rng.IntN(4), 1+rng.IntN(18)
			o := (size+before+after-(k-1)*dilation-1)/stride + 1
			fits = fits && size+before+after >= (k-1)*dilation+1
			in, out, kernel = append(in, size), append(out, o), append(kernel, k)
			w.Strides, w.Dilations = append(w.Strides, stride), append(w.Dilations, dilation)
			w.Before, w.After = append(w.Before, before), append(w.After, after)
		}
		if !fits {
			continue
		}
		ran++
		batch, group, c, m := 1+rng.IntN(3), 1+rng.IntN(3), 1+rng.IntN(10), 1+rng.IntN(18)
		if ran%2 == 0 {
			c, m = 1, 1
		}
		fast := newConvolution(p, w, in, out, kernel, batch, group, c*group, m*group)
		slow := newConvolution(p, w, in, out, kernel, batch, group, c*group, m*group)
		if c*m > 1 && fast.pixels == nil && !fast.direct {
			fast.pixels = newPixels(p, w, in, out, kernel, batch, group, c, m)
			if fast.pixels != nil {
				fast.pixelsBack = fast.pixels.forData(p, w, in, out, kernel)
			}
		}
		slow.planes, slow.pixels, slow.pixelsBack = nil, nil, nil
		x, gy, weights := some(batch*group*c*fast.in), some(batch*group*m*fast.out), some(group*c*m*fast.kernel)
		results := func(v *convolution) [4][]float32 {
			written, y, gx, gw := some(len(x)), make([]float32, len(gy)), make([]float32, len(x)), make([]float32, len(weights))
			for range 2 { // buffers are used again
				v.run(y, x, weights)
				v.weightGrad(gw, x, gy)
				v.dataGrad(gx, weights, gy, false)
				v.dataGrad(written, weights, gy, true)
			}
			return [4][]float32{y, gx, gw, written}
		}
		got, want := results(fast), results(slow)
		for k, name := range []string{"y", "gx", "gw", "gx written"} {
			for i := range want[k] {
				if got[k][i] != want[k][i] {
					t.Fatalf("window %+v of %v: %s[%d] is %v, want %v", *w, in, name, i, got[k][i], want[k][i])
				}
			}
		}
	}
}

package runtime

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// convVolume is a three-dimensional float32 convolution: for each image and
// group the product of the weights and, for a part of the output at a time, the
// input that each tap of each channel reads (im2col).
type convVolume struct {
	attrs *op.Attrs
	bias  bool
}

func matchConvVolume(l *lowerer, n *graph.Node) *lowered {
	attrs, ok := l.attrs(n)
	if !n.Is("Conv") || !ok || l.float32Rank(n.In(0)) != 5 || l.float32Rank(n.In(1)) != 5 || n.In(2) != nil && l.float32Rank(n.In(2)) != 1 {
		return nil
	}
	c := &convVolume{attrs, n.In(2) != nil}
	return &lowered{in: n.Inputs(), out: n.Outputs(), nodes: []*graph.Node{n}, run: c.run}
}

// volumePart is the numbers of input that are laid out at a time.
const volumePart = 64 << 10

func (c *convVolume) run(f *frame, in []tensor.Value) ([]tensor.Value, error) {
	t, ok := float32In(in)
	if !ok || t[0].Rank() != 5 || t[1].Rank() != 5 {
		return nil, errFallback
	}
	geometry, err := op.NewConvGeometry(c.attrs, t[0].Shape, t[1].Shape)
	if err != nil || c.bias && t[2].Len() != t[1].Shape[0] {
		return nil, errFallback
	}
	x, w, size, window, group := t[0].Float32s(), t[1].Float32s(), geometry.Out()[2:], geometry.Window(), geometry.Group()
	images, m, pixels, plane := t[0].Shape[0], t[1].Shape[0], volume(size), volume(t[0].Shape[2:])
	k, cg := volume(t[1].Shape[1:]), t[1].Shape[1]
	out, y := f.floats(append([]int{images, m}, size...)...)
	if len(y) == 0 || k == 0 {
		return nil, errFallback
	}
	var bias []float32
	if c.bias {
		bias = t[2].Float32s()
	}
	step := min(max(volumePart/k&^31, 32), pixels)
	parts, mg, inputs, taps := (pixels+step-1)/step, m/group, t[0].Shape[2:], t[1].Shape[2:]
	f.work += 2 * int64(len(y)) * int64(k)
	f.do(images*group*parts, func(worker, i int) {
		from, block := i%parts*step, i/parts
		g := block % group
		n := min(step, pixels-from)
		packed := kernel.Panels(n) * k * kernel.Lanes
		buf := f.s.workers.buffer(worker, packed+k*n)
		cols := buf[packed : packed+k*n]
		for ch := range cg {
			taken := x[(block*cg+ch)*plane : (block*cg+ch+1)*plane]
			columns(cols[ch*k/cg*n:(ch+1)*k/cg*n], taken, inputs, size, taps, window, from, n)
		}
		b := kernel.PackB(buf[:packed], cols, k, n, n, 1)
		p := kernel.Gemm{Groups: 1, Rows: mg, N: n, K: k, A: w[g*mg*k:], Lda: k, B: b, C: y[block*mg*pixels+from:], Ldc: pixels, Ldr: pixels}
		p.Run(0, 1, 0, n)
		for o := 0; o < mg && bias != nil; o++ {
			row := y[(block*mg+o)*pixels+from:][:n]
			kernel.Function{Kind: kernel.Line, A: 1, B: bias[g*mg+o], Lo: negInf, Hi: -negInf}.Apply(row, row)
		}
	})
	return f.one(out)
}

// columns sets, for each tap, the numbers of a channel x that the outputs
// [from, from+n) read there, zeros outside it.
func columns(dst, x []float32, in, out, taps []int, w *op.Window, from, n int) {
	for tap := range volume(taps) {
		kz, ky, kx := tap/(taps[1]*taps[2]), tap/taps[2]%taps[1], tap%taps[2]
		left := kx*w.Dilations[2] - w.Before[2]
		for at := 0; at < n; {
			p := from + at
			ox := p % out[2]
			row := dst[tap*n+at:][:min(out[2]-ox, n-at)]
			at += len(row)
			iz := p/(out[1]*out[2])*w.Strides[0] + kz*w.Dilations[0] - w.Before[0]
			iy := p/out[2]%out[1]*w.Strides[1] + ky*w.Dilations[1] - w.Before[1]
			if iz < 0 || iz >= in[0] || iy < 0 || iy >= in[1] {
				clear(row)
				continue
			}
			line := x[(iz*in[1]+iy)*in[2]:][:in[2]]
			for j := range row {
				if ix := (ox+j)*w.Strides[2] + left; ix >= 0 && ix < len(line) {
					row[j] = line[ix]
				} else {
					row[j] = 0
				}
			}
		}
	}
}

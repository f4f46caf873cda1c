package runtime

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
)

// A ConvTranspose is the convolution, of stride 1 and with the kernel turned
// round, of its input with stride-1 pixels of padding between its pixels. In
// integers padding is the zero point and adds nothing.

func matchIntegerConvTranspose(l *lowerer, n *graph.Node) *lowered {
	t, ok := l.target(n)
	if !ok || !t.from.Def().Is("ConvTranspose") {
		return nil
	}
	c := &integerConv{node: t.from.Def(), transpose: true, group: 1, products: products{y: &t}}
	if c.x, ok = l.dequantized(c.node.In(0)); !ok {
		return nil
	}
	if c.w, ok = l.dequantized(c.node.In(1)); !ok || c.w.consts == nil || c.w.consts.Rank() != 4 || c.w.consts.Len() == 0 {
		return nil
	}
	w := c.w.consts.Shape
	c.shape = []int{w[1], w[0], w[2], w[3]}
	if c.attrs, ok = l.attrs(c.node); !ok || c.attrs.Int("group") != 1 || !c.weights(1, w[1]) || !c.setBias(l, c.node.In(2), w[1]) {
		return nil
	}
	return c.lowered([]*graph.Value{c.x.value}, n.Outputs(), covered(c.node, t.nodes, c.x, c.w, c.b))
}

// turned is the weights [C][M][taps] as [M][taps, backward][C].
func (c *integerConv) turned() []int16 {
	m, ch, taps := c.shape[0], c.shape[1], c.shape[2]*c.shape[3]
	b, out := c.w.consts.Bytes(), make([]int16, m*ch*taps)
	for i := range ch {
		for o := range m {
			zero := int16(c.w.zero[min(o, len(c.w.zero)-1)])
			for t := range taps {
				q := b[(i*m+o)*taps+t]
				v := int16(q)
				if c.w.dtype == tensor.Int8 {
					v = int16(int8(q))
				}
				out[(o*taps+taps-1-t)*ch+i] = v - zero
			}
		}
	}
	return out
}

// stuffed is the geometry of the convolution that a ConvTranspose is.
func (c *integerConv) stuffed(x *tensor.Tensor) (im image, stuff [2]int, ok bool) {
	plain := plainShape(x.Shape)
	win, out, err := op.NewTransposeGeometry(c.attrs, plain, c.w.consts.Shape)
	if err != nil || len(plain) != 4 || plain[2] == 0 || plain[3] == 0 {
		return im, stuff, false
	}
	s := win.Strides
	im = image{n: plain[0], c: plain[1], h: (plain[2]-1)*s[0] + 1, w: (plain[3]-1)*s[1] + 1, m: c.shape[0], oh: out[0], ow: out[1],
		kh: c.shape[2], kw: c.shape[3], sh: 1, sw: 1, dh: win.Dilations[0], dw: win.Dilations[1], group: 1}
	im.top, im.left = im.dh*(im.kh-1)-win.Before[0], im.dw*(im.kw-1)-win.Before[1]
	return im, [2]int{s[0], s[1]}, im.top >= 0 && im.left >= 0
}

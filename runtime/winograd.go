package runtime

import "onnxopt/runtime/kernel"

// winograd is how a convolution with a 3x3 kernel is cut into tiles of 4x4
// outputs; see kernel.Transform.
type winograd struct {
	across, down int // tiles of an image
	rows         int // of tiles that are worked on together
}

const (
	// winogradBytes is what the transformed inputs and outputs of the tiles
	// that are worked on together may take.
	winogradBytes = 768 << 10
	// winogradWeights bounds the channels of input times those of output: the
	// weights take four times their memory.
	winogradWeights = 256 * 256
)

// newWinograd is nil where a direct product is as fast: few channels, whose
// transforms dominate, few tiles for many weights, or an image that they cover
// badly.
func newWinograd(im *image) *winograd {
	if im.kh != 3 || im.kw != 3 || im.sh != 1 || im.sw != 1 || im.dh != 1 || im.dw != 1 || im.group != 1 ||
		im.c%kernel.Lanes != 0 || im.m%kernel.Lanes != 0 || min(im.c, im.m) < 32 || im.c*im.m > winogradWeights {
		return nil
	}
	const n = kernel.WinogradTile
	w := &winograd{across: (im.ow + n - 1) / n, down: (im.oh + n - 1) / n}
	if w.across*w.down < 16 || 10*w.across*w.down*n*n > 14*im.oh*im.ow {
		return nil
	}
	tiles := winogradBytes / 4 / kernel.WinogradProducts / (im.c + im.m)
	w.rows = min(max(tiles/w.across, (14+w.across-1)/w.across), w.down)
	parts := (w.down + w.rows - 1) / w.rows
	w.rows = (w.down + parts - 1) / parts
	return w
}

func (c *conv) runWinograd(f *frame, x, y, residual []float32) {
	im, w := &c.im, c.winograd
	parts := (w.down + w.rows - 1) / w.rows
	if im.n*parts >= 2*f.s.workers.threads || f.s.workers.threads == 1 {
		f.do(im.n*parts, func(worker, part int) {
			t := c.tiles(part/parts, part%parts*w.rows)
			t.place(f.s.workers.buffer(worker, t.size()))
			t.pad(x, 0, t.height)
			t.transform(0, t.rows)
			for p := range kernel.WinogradProducts {
				t.product(p)
			}
			t.results(y, residual, 0, t.rows)
		})
		return
	}
	for part := range im.n * parts { // few parts: each in parallel
		t := c.tiles(part/parts, part%parts*w.rows)
		f.do(1, func(_, _ int) { t.place(f.s.workers.buffer(0, t.size())) })
		strips := min(f.s.workers.threads, t.rows)
		f.do(strips, func(_, i int) { t.pad(x, t.height*i/strips, t.height*(i+1)/strips) })
		f.do(strips, func(_, i int) { t.transform(t.rows*i/strips, t.rows*(i+1)/strips) })
		f.do(kernel.WinogradProducts, func(_, p int) { t.product(p) })
		f.do(strips, func(_, i int) { t.results(y, residual, t.rows*i/strips, t.rows*(i+1)/strips) })
	}
}

// winogradTiles is rows of tiles, from row first on, of image n.
type winogradTiles struct {
	c                     *conv
	n, first, rows, count int
	height, stride        int // of the padded input
	padded, v, m, edges   []float32
}

func (c *conv) tiles(n, first int) winogradTiles {
	rows := min(c.winograd.rows, c.winograd.down-first)
	return winogradTiles{c: c, n: n, first: first, rows: rows, count: rows * c.winograd.across,
		height: rows*kernel.WinogradTile + 2, stride: (c.winograd.across*kernel.WinogradTile + 2) * c.im.c}
}

// edge is what a tile that sticks out of the image needs; each row of tiles
// has its own.
func (t *winogradTiles) edge() int {
	return 2 * kernel.WinogradTile * kernel.WinogradTile * t.c.im.m
}

func (t *winogradTiles) size() int {
	return t.height*t.stride + kernel.WinogradProducts*t.count*(t.c.im.c+t.c.im.m) + t.rows*t.edge()
}

// place divides a buffer of that size.
func (t *winogradTiles) place(buf []float32) {
	products := kernel.WinogradProducts * t.count
	t.padded, buf = buf[:t.height*t.stride], buf[t.height*t.stride:]
	t.v, buf = buf[:products*t.c.im.c], buf[products*t.c.im.c:]
	t.m, t.edges = buf[:products*t.c.im.m], buf[products*t.c.im.m:]
}

// pad copies the rows [from, to) of the input that the tiles read.
func (t *winogradTiles) pad(x []float32, from, to int) {
	im := &t.c.im
	plane := im.h * im.w * im.c
	im.pad(t.padded[from*t.stride:], x[t.n*plane:(t.n+1)*plane], t.first*kernel.WinogradTile-im.top+from, to-from, t.stride, 0)
}

// transform makes the left operands of the products for the rows of tiles
// [from, to).
func (t *winogradTiles) transform(from, to int) {
	const tile = kernel.WinogradTile
	c, across := t.c.im.c, t.c.winograd.across
	in := kernel.Transform{Channels: c, SrcRow: t.stride, SrcStep: c, DstRow: kernel.WinogradInput * t.count * c, DstStep: t.count * c}
	for i := from * across; i < to*across; i++ {
		in.Run(t.v[i*c:], t.padded[i/across*tile*t.stride+i%across*tile*c:], nil)
	}
}

func (t *winogradTiles) product(p int) {
	c, m, size := t.c.im.c, t.c.im.m, len(t.c.packed)/kernel.WinogradProducts
	kernel.Sgemm(t.count, m, c, t.v[p*t.count*c:], c, t.c.packed[p*size:(p+1)*size], t.m[p*t.count*m:], m)
}

// results makes the outputs of the rows of tiles [from, to).
func (t *winogradTiles) results(y, residual []float32, from, to int) {
	const tile = kernel.WinogradTile
	im, across := &t.c.im, t.c.winograd.across
	clamp, lo, hi, act := t.c.chain.clamp()
	row := im.ow * im.m
	out := kernel.Transform{Output: true, Channels: im.m, SrcRow: kernel.WinogradInput * t.count * im.m, SrcStep: t.count * im.m,
		DstRow: row, DstStep: im.m, Bias: t.c.shift, Clamp: clamp, Lo: lo, Hi: hi}
	for i := from * across; i < to*across; i++ {
		oy, ox := (t.first+i/across)*tile, i%across*tile
		at := (t.n*im.oh+oy)*row + ox*im.m
		if oy+tile <= im.oh && ox+tile <= im.ow {
			var r []float32
			if residual != nil {
				r = residual[at:]
			}
			out.Run(y[at:], t.m[i*im.m:], r)
			continue
		}
		edge := t.edges[i/across*t.edge():][:t.edge()]
		t.c.edgeTile(out, edge, y, residual, t.m[i*im.m:], at, min(tile, im.oh-oy), min(tile, im.ow-ox)*im.m)
	}
	if act.Kind != kernel.Copy && from < to {
		first, end := (t.first+from)*tile, min((t.first+to)*tile, im.oh)
		part := y[(t.n*im.oh+first)*row : (t.n*im.oh+end)*row]
		act.Apply(part, part)
	}
}

// edgeTile is a tile that sticks out of the image: rows of width elements of
// it, from y[at] on, count.
func (c *conv) edgeTile(out kernel.Transform, edge, y, residual, m []float32, at, rows, width int) {
	const tile = kernel.WinogradTile
	line := tile * c.im.m
	whole, r := edge[:tile*line], []float32(nil)
	if residual != nil {
		r = edge[tile*line:]
		for i := range rows {
			copy(r[i*line:i*line+width], residual[at+i*out.DstRow:])
		}
	}
	stride := out.DstRow
	out.DstRow = line
	out.Run(whole, m, r)
	for i := range rows {
		copy(y[at+i*stride:at+i*stride+width], whole[i*line:])
	}
}

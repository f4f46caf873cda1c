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
		f.s.workers.run(im.n*parts, func(worker, part int) {
			c.tiles(f, worker, x, y, residual, part/parts, part%parts*w.rows, func(n int, body func(worker, part int)) {
				for i := range n {
					body(worker, i)
				}
			})
		})
		return
	}
	for part := range im.n * parts { // few parts: the products in parallel
		c.tiles(f, 0, x, y, residual, part/parts, part%parts*w.rows, f.s.workers.run)
	}
}

// tiles computes the rows of tiles from first on of image n. each runs the
// products.
func (c *conv) tiles(f *frame, worker int, x, y, residual []float32, n, first int, each func(n int, body func(worker, part int))) {
	const tile, products = kernel.WinogradTile, kernel.WinogradProducts
	im, w := &c.im, c.winograd
	rows := min(w.rows, w.down-first)
	count := rows * w.across
	height, stride := rows*tile+2, (w.across*tile+2)*im.c
	clamp, lo, hi, act := c.chain.clamp()

	buf := f.s.workers.buffer(worker, height*stride+products*count*(im.c+im.m)+2*tile*tile*im.m)
	padded, v, m := buf[:height*stride], buf[height*stride:][:products*count*im.c], buf[height*stride+products*count*im.c:][:products*count*im.m]
	edge := buf[len(buf)-2*tile*tile*im.m:]
	plane := im.h * im.w * im.c
	im.pad(padded, x[n*plane:(n+1)*plane], first*tile-im.top, height, stride, 0)
	in := kernel.Transform{Channels: im.c, SrcRow: stride, SrcStep: im.c, DstRow: kernel.WinogradInput * count * im.c, DstStep: count * im.c}
	for t := range count {
		in.Run(v[t*im.c:], padded[t/w.across*tile*stride+t%w.across*tile*im.c:], nil)
	}
	size := len(c.packed) / products
	each(products, func(_, p int) {
		kernel.Sgemm(count, im.m, im.c, v[p*count*im.c:], im.c, c.packed[p*size:(p+1)*size], m[p*count*im.m:], im.m)
	})
	row := im.ow * im.m
	out := kernel.Transform{Output: true, Channels: im.m, SrcRow: kernel.WinogradInput * count * im.m, SrcStep: count * im.m,
		DstRow: row, DstStep: im.m, Bias: c.shift, Clamp: clamp, Lo: lo, Hi: hi}
	for t := range count {
		oy, ox := (first+t/w.across)*tile, t%w.across*tile
		at := (n*im.oh+oy)*row + ox*im.m
		if oy+tile <= im.oh && ox+tile <= im.ow {
			var r []float32
			if residual != nil {
				r = residual[at:]
			}
			out.Run(y[at:], m[t*im.m:], r)
			continue
		}
		c.edgeTile(out, edge, y, residual, m[t*im.m:], at, min(tile, im.oh-oy), min(tile, im.ow-ox)*im.m)
	}
	if act.Kind != kernel.Copy {
		end := min((first+rows)*tile, im.oh)
		part := y[(n*im.oh+first*tile)*row : (n*im.oh+end)*row]
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

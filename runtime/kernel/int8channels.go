package kernel

import "unsafe"

// Kernels that keep channels apart, on pixels in NHWC order: depthwise
// convolution (average pools are one with equal weights) and greatest value.

// Pixels8 is windows of an image: the pixel of tap t of window i is at Base +
// Offsets[i] + Taps[t].
type Pixels8 struct {
	Base    unsafe.Pointer
	Offsets []int32
	Taps    []int32
	Signed  bool
}

// Depthwise8 is constant weights of a convolution of each channel with its own
// kernel: sum((q - zero) * w) + bias, exact in int32.
type Depthwise8 struct {
	C, Taps int
	signed  bool
	step    int // taps of one step of the kernel
	blocks  []channelBlock
	kernel  depthwiseKernel
	weight  func(tap, c int) int32
	start   []int32
	scale   []float32
}

// depthwiseKernel is an assembly kernel, as dotKernel.
type depthwiseKernel uint8

const (
	depthwiseGeneric depthwiseKernel = iota // pure Go
	depthwiseVNNI
	depthwisePairs // int16 pairs
)

// channelBlock is packed weights for width channels from at on.
type channelBlock struct {
	at, width int
	data      []byte
	start     []int32
	scale     []float32
}

// channelTile is one call of an assembly kernel; its layout is known to
// _asm/int8.
type channelTile struct {
	a       *byte
	offsets *int32
	taps    *int32
	tapsEnd int
	pixels  int
	w       *byte
	start   *int32
	scale   *float32
	out     *byte
	ldc     int
	last    finish
}

// channelBlocks covers c channels, at least 16, with kernels of 64, 32 and 16
// channels; the last one can overlap the one before.
func channelBlocks(c, widest int) (b []channelBlock) {
	for at := 0; at < c; {
		first, w := nextBlock(at, c, widest)
		b = append(b, channelBlock{at: first, width: w})
		at = first + w
	}
	return b
}

// nextBlock is where the block of the channels from at on begins, and its width.
func nextBlock(at, c, widest int) (first, w int) {
	w = widest
	for w > 16 && w > c-at {
		w /= 2
	}
	if left := c - at; left > 16 && left < 32 && c >= 32 && widest >= 32 || left > 32 && left < 64 && c >= 64 && widest >= 64 && left != 48 {
		w *= 2 // one wider block that overlaps instead of two
	}
	return min(at, c-w), w
}

// PackDepthwise8 packs w(tap, c), weights less their zero point; bias can be
// nil. It returns nil if the sums could pass int32.
func PackDepthwise8(taps, c int, w func(tap, c int) int32, zero int32, signed bool, bias []int32, scale []float32) *Depthwise8 {
	if taps == 0 || c == 0 || taps > maxSum {
		return nil
	}
	if signed {
		zero += 128
	}
	d := &Depthwise8{C: c, Taps: taps, signed: signed, weight: w, start: make([]int32, c), scale: scale}
	fits := true
	for i := range c {
		if bias != nil {
			d.start[i] = bias[i]
		}
		for t := range taps {
			v := w(t, i)
			d.start[i] -= zero * v
			fits = fits && v >= -128 && v <= 127
		}
	}
	var widest int
	if d.kernel, d.step, widest = chooseDepthwise(fits); d.kernel == depthwiseGeneric || c < 16 {
		return d
	}
	d.blocks = channelBlocks(c, widest)
	for i := range d.blocks {
		d.pack(&d.blocks[i])
	}
	return d
}

// pack lays weights out as the kernel interleaves the pixels: element
// 4*lane + e of vector v is channel 16*lane + 4*v + e.
func (d *Depthwise8) pack(b *channelBlock) {
	steps := (d.Taps + d.step - 1) / d.step
	b.data = make([]byte, steps*4*b.width)
	b.start, b.scale = make([]int32, b.width), make([]float32, b.width)
	for i := range b.width {
		v, lane, e := i/(b.width/4), i%(b.width/4)/4, i%4
		c := b.at + 16*lane + 4*v + e
		b.start[i], b.scale[i] = d.start[c], d.scale[c]
		for t := range d.Taps {
			at := unsafe.Pointer(&b.data[(t/d.step*b.width+i)*4])
			if d.step == 4 {
				*(*int8)(unsafe.Add(at, t%4)) = int8(d.weight(t, c))
			} else {
				*(*int16)(unsafe.Add(at, t%2*2)) = int16(d.weight(t, c))
			}
		}
	}
}

// Run computes the windows of out, ldc bytes apart.
func (d *Depthwise8) Run(p Pixels8, out []byte, ldc int, r Requant) {
	pixels := len(p.Offsets)
	if pixels == 0 {
		return
	}
	_, _ = out[(pixels-1)*ldc+d.C-1], p.Taps[d.Taps-1]
	if d.blocks == nil {
		d.generic(p, out, ldc, r)
		return
	}
	taps := p.Taps[:d.Taps]
	var whole [fewTaps]int32
	if d.Taps%d.step != 0 { // the last step has weights of zero
		taps = append(whole[:0], taps...)
		for len(taps)%d.step != 0 {
			taps = append(taps, taps[0])
		}
	}
	t := channelTile{offsets: &p.Offsets[0], taps: &taps[0], tapsEnd: 4 * len(taps), ldc: ldc, pixels: pixels, last: r.finish(d.signed)}
	for i := range d.blocks {
		b := &d.blocks[i]
		t.a, t.out = (*byte)(unsafe.Add(p.Base, b.at)), &out[b.at]
		t.w, t.start, t.scale = &b.data[0], &b.start[0], &b.scale[0]
		d.kernel.run(b.width, &t)
	}
}

func (d *Depthwise8) generic(p Pixels8, out []byte, ldc int, r Requant) {
	var flip byte
	if d.signed {
		flip = 0x80
	}
	for i, offset := range p.Offsets {
		for c := range d.C {
			sum := d.start[c]
			for t, tap := range p.Taps[:d.Taps] {
				sum += int32(*(*byte)(unsafe.Add(p.Base, int(offset+tap)+c))^flip) * d.weight(t, c)
			}
			out[i*ldc+c] = r.round(sum, d.scale[c])
		}
	}
}

// MaxPool8 is the greatest value of each of c channels over the taps.
func MaxPool8(p Pixels8, c int, out []byte, ldc int) {
	pixels := len(p.Offsets)
	if pixels == 0 || c == 0 || len(p.Taps) == 0 {
		return
	}
	_ = out[(pixels-1)*ldc+c-1]
	var flip byte
	t := channelTile{offsets: &p.Offsets[0], taps: &p.Taps[0], tapsEnd: 4 * len(p.Taps), ldc: ldc, pixels: pixels}
	if p.Signed {
		flip, t.last.flipA = 0x80, flipBytes
	}
	widest := widestMaxPool()
	if widest == 0 || c < 16 {
		for i, offset := range p.Offsets {
			for c := range c {
				var top byte
				for _, tap := range p.Taps {
					top = max(top, *(*byte)(unsafe.Add(p.Base, int(offset+tap)+c))^flip)
				}
				out[i*ldc+c] = top ^ flip
			}
		}
		return
	}
	for at := 0; at < c; {
		first, w := nextBlock(at, c, widest)
		t.a, t.out = (*byte)(unsafe.Add(p.Base, first)), &out[first]
		maxPool(w, &t)
		at = first + w
	}
}

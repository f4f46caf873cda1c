// Package distill trains a model to give the answers of another one: the
// teacher's outputs as soft targets, labels as hard ones, on the user's
// samples.
//
// Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015.
package distill

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// Data is samples in memory: one tensor for each model input, samples along
// the first axis, and what is known about their answers.
type Data struct {
	Inputs []*tensor.Tensor
	Labels []int // nil without
}

// maxData bounds the bytes of samples in memory.
const maxData = 4 << 30

// Load reads all samples. Models of several inputs must batch all of them.
func Load(src pass.Samples, labels []int) (*Data, error) {
	n := src.Len()
	if labels != nil && len(labels) != n {
		return nil, fmt.Errorf("%d labels for %d samples", len(labels), n)
	}
	d := &Data{Labels: labels}
	size := src.BatchSize()
	if size == 0 {
		size = 256
	}
	for at := 0; at < n; at += size {
		to := min(at+size, n)
		in, err := src.Values(at, to)
		if err != nil {
			return nil, err
		}
		if err := d.append(in, at, to, n); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *Data) append(in []tensor.Value, at, to, total int) error {
	if d.Inputs == nil {
		d.Inputs = make([]*tensor.Tensor, len(in))
	}
	for i, v := range in {
		t, ok := v.(*tensor.Tensor)
		if !ok || t.Type.Bits() < 8 || t.Rank() == 0 {
			return fmt.Errorf("input %d: training needs tensors with samples along the first axis", i)
		}
		if d.Inputs[i] == nil {
			shape := append([]int{total}, t.Shape[1:]...)
			x, err := tensor.Make(t.Type, shape, maxData)
			if err != nil {
				return fmt.Errorf("input %d: all samples together: %w", i, err)
			}
			d.Inputs[i] = x
		}
		row := len(d.Inputs[i].Bytes()) / max(total, 1)
		if t.Shape[0] < to-at || len(t.Bytes()) < (to-at)*row {
			return fmt.Errorf("input %d: samples of different shapes", i)
		}
		copy(d.Inputs[i].Bytes()[at*row:], t.Bytes()[:(to-at)*row])
	}
	return nil
}

// Len is the number of samples.
func (d *Data) Len() int { return d.Inputs[0].Shape[0] }

// Split sets n samples aside, chosen by the seed.
func (d *Data) Split(n int, seed uint64) (train, held *Data) {
	order := rand.New(rand.NewPCG(seed, 0x5eed)).Perm(d.Len())
	return d.pick(order[n:]), d.pick(order[:n])
}

func (d *Data) pick(index []int) *Data {
	p := &Data{}
	for _, t := range d.Inputs {
		x := tensor.New(t.Type, append([]int{len(index)}, t.Shape[1:]...)...)
		row := len(t.Bytes()) / t.Shape[0]
		for i, j := range index {
			copy(x.Bytes()[i*row:(i+1)*row], t.Bytes()[j*row:])
		}
		p.Inputs = append(p.Inputs, x)
	}
	if d.Labels != nil {
		p.Labels = make([]int, len(index))
		for i, j := range index {
			p.Labels[i] = d.Labels[j]
		}
	}
	return p
}

// Augment is random changes of training samples that keep their meaning. They
// apply to float32 inputs of rank 3 or more, whose last two axes are a
// picture's rows and columns.
type Augment struct {
	Shift int     // largest shift in pixels along each axis; edges are repeated
	Warp  float64 // standard deviation in pixels of a smooth displacement, see field
	Flip  bool    // left and right swapped in half of the samples
	Mixup float64 // largest share of another sample of the batch that is mixed in
	Noise float64 // standard deviation of added normal noise
}

// batch is where the samples of a step come from.
type batch struct {
	data  *Data
	aug   Augment
	seed  uint64
	size  int
	order []int
	epoch int
	rows  []int // the samples of the step
	view  int   // 1 to Views: the samples as seen from half a pixel aside; 0 as they are
	mix   []mixed
	plane []float32 // scratch
}

// mixed: the target of a row is (1-share) of its own and share of row other.
type mixed struct {
	other int
	share float32
}

func newBatch(d *Data, size int, a Augment, seed uint64) *batch {
	return &batch{data: d, aug: a, seed: seed, size: size, epoch: -1, rows: make([]int, size), mix: make([]mixed, size)}
}

// choose finds the samples of a step: a new order in each epoch, a function of
// the seed and the step alone.
func (b *batch) choose(step int) {
	n := b.data.Len()
	for i := range b.rows {
		at := step*b.size + i
		if e := at / n; e != b.epoch {
			b.epoch = e
			if b.order == nil {
				b.order = make([]int, n)
			}
			for k := range b.order {
				b.order[k] = k
			}
			rand.New(rand.NewPCG(b.seed, uint64(e)+1)).Shuffle(n, func(i, j int) { b.order[i], b.order[j] = b.order[j], b.order[i] })
		}
		b.rows[i] = b.order[at%n]
	}
}

// fill writes the chosen samples of input i, changed at random, into dst.
func (b *batch) fill(step, i int, dst []float32) {
	t := b.data.Inputs[i]
	src, row := t.Float32s(), t.Len()/t.Shape[0]
	rng := rand.New(rand.NewPCG(b.seed^0xa06, uint64(step)<<8|uint64(i)))
	picture := t.Rank() >= 3
	h, w := 1, row
	if picture {
		h, w = t.Shape[t.Rank()-2], t.Shape[t.Rank()-1]
	}
	for r, s := range b.rows {
		out, x := dst[r*row:(r+1)*row], src[s*row:(s+1)*row]
		if b.view > 0 && picture {
			for c := 0; c < row; c += h * w {
				halfway(out[c:c+h*w], x[c:c+h*w], h, w, b.view)
			}
			continue
		}
		dy, dx, flip := 0, 0, false
		if picture && b.aug.Shift > 0 {
			dy, dx = rng.IntN(2*b.aug.Shift+1)-b.aug.Shift, rng.IntN(2*b.aug.Shift+1)-b.aug.Shift
		}
		if picture && b.aug.Flip {
			flip = rng.IntN(2) == 1
		}
		if dy == 0 && dx == 0 && !flip {
			copy(out, x)
		} else {
			for c := 0; c < row; c += h * w {
				move(out[c:c+h*w], x[c:c+h*w], h, w, dy, dx, flip)
			}
		}
		if picture && b.aug.Warp > 0 {
			f := newField(rng, b.aug.Warp)
			for c := 0; c < row; c += h * w {
				b.plane = append(b.plane[:0], out[c:c+h*w]...)
				f.warp(out[c:c+h*w], b.plane, h, w)
			}
		}
		if b.aug.Noise > 0 {
			for k := range out {
				out[k] += float32(rng.NormFloat64() * b.aug.Noise)
			}
		}
	}
	if b.aug.Mixup > 0 {
		b.mixup(rng, dst, row)
	}
}

// mixup adds to each sample a share of the one half a batch away.
func (b *batch) mixup(rng *rand.Rand, dst []float32, row int) {
	half := b.size / 2
	for r := range half {
		share := float32(rng.Float64() * b.aug.Mixup)
		b.mix[r], b.mix[r+half] = mixed{r + half, share}, mixed{r, share}
		x, y := dst[r*row:(r+1)*row], dst[(r+half)*row:(r+half+1)*row]
		for k := range x {
			p, q := x[k], y[k]
			x[k], y[k] = p+share*(q-p), q+share*(p-q)
		}
	}
}

// move shifts and mirrors a plane, repeating its edges.
func move(dst, src []float32, h, w, dy, dx int, flip bool) {
	for y := range h {
		from := src[min(max(y-dy, 0), h-1)*w:]
		out := dst[y*w : (y+1)*w]
		for x := range out {
			k := min(max(x-dx, 0), w-1)
			if flip {
				k = w - 1 - k
			}
			out[x] = from[k]
		}
	}
}

// nodes is how many points along an axis have displacements of their own.
const nodes = 5

// field is the displacements in pixels, down and to the right, of points
// evenly over a plane, linear between them: shifts, turns, scalings and elastic
// distortions at once (Simard, Steinkraus, Platt, "Best Practices for
// Convolutional Neural Networks", 2003).
type field [nodes][nodes][2]float32

func newField(rng *rand.Rand, deviation float64) *field {
	f := &field{}
	for i := range f {
		for j := range f[i] {
			for k := range f[i][j] {
				f[i][j][k] = float32(rng.NormFloat64() * deviation)
			}
		}
	}
	return f
}

// between is the place of element i of n among k points: the point before it
// and how far on it is.
func between(i, n, k int) (before int, part float32) {
	at := float32(i*(k-1)) / float32(max(n-1, 1))
	before = min(int(at), k-2)
	return before, at - float32(before)
}

// warp writes src as seen through the field; edges are repeated.
func (f *field) warp(dst, src []float32, h, w int) {
	for y := range h {
		i, down := between(y, h, nodes)
		for x := range w {
			j, right := between(x, w, nodes)
			var at [2]float32
			for k := range at {
				a, b := f[i][j][k], f[i][j+1][k]
				c, d := f[i+1][j][k], f[i+1][j+1][k]
				a, c = a+right*(b-a), c+right*(d-c)
				at[k] = a + down*(c-a)
			}
			v := min(max(float32(y)+at[0], 0), float32(h-1))
			u := min(max(float32(x)+at[1], 0), float32(w-1))
			y0, x0 := int(v), int(u)
			y1, x1 := min(y0+1, h-1), min(x0+1, w-1)
			v, u = v-float32(y0), u-float32(x0)
			a, b := src[y0*w+x0], src[y0*w+x1]
			c, d := src[y1*w+x0], src[y1*w+x1]
			a, c = a+u*(b-a), c+u*(d-c)
			dst[y*w+x] = a + v*(c-a)
		}
	}
}

// Views is the number of views of a picture that evaluation can use beside the
// picture itself: half a pixel off along both axes, in four directions.
const Views = 4

// halfway is a plane moved by half a pixel along both axes, each element the
// mean of the four around its place; edges are repeated.
func halfway(dst, src []float32, h, w, view int) {
	dy, dx := 2*((view-1)/2)-1, 2*((view-1)%2)-1
	for y := range h {
		a, b := src[y*w:(y+1)*w], src[min(max(y+dy, 0), h-1)*w:]
		for x := range w {
			k := min(max(x+dx, 0), w-1)
			dst[y*w+x] = (a[x] + a[k] + b[x] + b[k]) / 4
		}
	}
}

// Pictures reports that some input has views.
func (d *Data) Pictures() bool {
	return slices.ContainsFunc(d.Inputs, func(t *tensor.Tensor) bool { return t.Type == tensor.Float32 && t.Rank() >= 3 })
}

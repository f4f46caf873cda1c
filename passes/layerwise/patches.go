package layerwise

import (
	"slices"

	"onnxopt/onnx/op"
)

// patches reads what single outputs of a convolution read: the input as rows
// of a matrix, [C/group * taps] each.
type patches struct {
	input, kernel, out []int // N C spatial..., spatial kernel, spatial output
	last               bool  // the input is held N spatial... C
	channels           int   // of one group
	win                *op.Window
}

func newPatches(a *op.Attrs, input, weight []int, last bool) (*patches, error) {
	g, err := op.NewConvGeometry(a, input, weight)
	if err != nil {
		return nil, err
	}
	return &patches{slices.Clone(input), weight[2:], slices.Clone(g.Out()[2:]), last, weight[1], g.Window()}, nil
}

// fits reports that inputs of a shape and layout can be read.
func (p *patches) fits(input []int, last bool) bool {
	return last == p.last && slices.Equal(p.input, input)
}

// pixels is the number of output positions of one sample.
func (p *patches) pixels() int { return volume(p.out) }

// table is which element of a channel the taps read at some output positions,
// -1 for padding: [positions][taps].
func (p *patches) table(positions []int) []int {
	t := make([]int, 0, volume(p.kernel)*len(positions))
	for _, pos := range positions {
		at := unravel(pos, p.out)
		for k := range volume(p.kernel) {
			t = append(t, p.element(at, unravel(k, p.kernel)))
		}
	}
	return t
}

// read writes the rows of the positions of a table, of a sample's group, to dst.
func (p *patches) read(x []float32, sample, group int, table []int, dst []float32) {
	plane, taps := volume(p.input[2:]), volume(p.kernel)
	channel, element := plane, 1 // how far apart
	if p.last {
		channel, element = 1, p.input[1]
	}
	x = x[sample*p.input[1]*plane+group*p.channels*channel:]
	if p.channels == 1 {
		for i, at := range table {
			dst[i] = 0
			if at >= 0 {
				dst[i] = x[at*element]
			}
		}
		return
	}
	for i, at := range table {
		row := dst[i/taps*p.channels*taps+i%taps:]
		switch {
		case at >= 0 && taps == 1 && p.last:
			copy(row[:p.channels], x[at*element:])
		case at >= 0:
			for c := range p.channels {
				row[c*taps] = x[at*element+c*channel]
			}
		default:
			for c := range p.channels {
				row[c*taps] = 0
			}
		}
	}
}

// element is what a tap at an output position reads of a channel, -1 for
// padding.
func (p *patches) element(at, tap []int) int {
	from := 0
	for d, t := range tap {
		i := at[d]*p.win.Strides[d] + t*p.win.Dilations[d] - p.win.Before[d]
		if i < 0 || i >= p.input[2+d] {
			return -1
		}
		from = from*p.input[2+d] + i
	}
	return from
}

func volume(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func unravel(i int, shape []int) []int {
	at := make([]int, len(shape))
	for d := len(shape) - 1; d >= 0; d-- {
		at[d] = i % shape[d]
		i /= shape[d]
	}
	return at
}

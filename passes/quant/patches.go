package quant

import (
	"slices"

	"onnxopt/onnx/op"
)

// patches reads what single outputs of a convolution read: the input as rows
// of a matrix, [C/group * taps] each.
type patches struct {
	input, kernel, out []int // N C spatial..., spatial kernel, spatial output
	channels           int   // of one group
	win                *op.Window
}

func newPatches(a *op.Attrs, input, weight []int) (*patches, error) {
	g, err := op.NewConvGeometry(a, input, weight)
	if err != nil {
		return nil, err
	}
	return &patches{slices.Clone(input), weight[2:], slices.Clone(g.Out()[2:]), weight[1], g.Window()}, nil
}

// pixels is the number of output positions of one sample.
func (p *patches) pixels() int { return volume(p.out) }

// read writes the row of output position pos of a sample's group.
func (p *patches) read(x []float32, sample, group, pos int, row []float64) {
	plane := volume(p.input[2:])
	at := unravel(pos, p.out)
	taps := volume(p.kernel)
	first := (sample*p.input[1] + group*p.channels) * plane
	for k := range taps {
		from, inside := 0, true
		for d, t := range unravel(k, p.kernel) {
			i := at[d]*p.win.Strides[d] + t*p.win.Dilations[d] - p.win.Before[d]
			inside = inside && i >= 0 && i < p.input[2+d]
			from = from*p.input[2+d] + i
		}
		for c := range p.channels {
			row[c*taps+k] = 0
			if inside {
				row[c*taps+k] = float64(x[first+c*plane+from])
			}
		}
	}
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

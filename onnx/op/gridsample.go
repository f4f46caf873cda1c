package op

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opGridSample = &Def{
	Name: "GridSample",
	Versions: []Version{
		{Since: 16, Schema: `X:T1 grid:T2 -> Y:T1 | align_corners:int=0 mode:string="bilinear" padding_mode:string="zeros" | T1: all; T2: fp`},
		{Since: 20, Schema: `X:T1 grid:T2 -> Y:T1 | align_corners:int=0 mode:string="linear" padding_mode:string="zeros" | T1: all; T2: fp`},
		{Since: 22, Schema: `X:T1 grid:T2 -> Y:T1 | align_corners:int=0 mode:string="linear" padding_mode:string="zeros" | T1: all bfloat16; T2: fp bfloat16`},
	},
	Infer: inferGridSample,
	Eval:  evalGridSample,
}

func inferGridSample(f *Infer) error {
	x, ok := f.Shape(0)
	g, ok2 := f.Shape(1)
	if ok && ok2 && (len(x) < 3 || len(g) != len(x)) {
		return fmt.Errorf("input %v and grid %v", f.Type(0), f.Type(1))
	}
	rank := max(len(x), len(g))
	if rank < 3 {
		return nil
	}
	out := Unknowns(rank)
	if ok2 {
		if g[rank-1].Conflict(dim.Of(int64(rank - 2))) {
			return fmt.Errorf("grid %v for %d spatial axes", f.Type(1), rank-2)
		}
		copy(out[2:], g[1:rank-1])
		out[0] = g[0]
	}
	if ok {
		out[0], out[1] = x[0], x[1]
	}
	f.Set(0, out...)
	return nil
}

// sampler reads an array of any rank between its elements.
type sampler struct {
	dims    []int
	strides []int
	mode    string // nearest, linear, cubic
	padding string // zeros, border, reflection
	corners bool   // -1 and 1 are the centers of the outermost elements, not their outer edges
	taps    [][]weighted
}

// weighted is an element index along one axis and its weight.
type weighted struct {
	at     int
	weight float64
}

func evalGridSample(e *Eval) error {
	x, grid := e.Tensor(0), e.Tensor(1)
	rank := x.Rank() - 2
	if rank < 1 || grid.Rank() != x.Rank() || grid.Shape[rank+1] != rank || grid.Shape[0] != x.Shape[0] {
		return fmt.Errorf("input %v and grid %v", x, grid)
	}
	s, err := newSampler(e, x.Shape[2:])
	if err != nil {
		return err
	}
	shape := slices.Concat(x.Shape[:2], grid.Shape[1:rank+1])
	if err := e.Fits(tensor.Float64, shape); err != nil {
		return err
	}
	v, g := x.Floats(), grid.Floats()
	y := make([]float64, volume(shape))
	plane, points := volume(s.dims), volume(shape[2:])
	pos := make([]float64, rank)
	for n := range shape[0] {
		for p := range points {
			for d := range pos { // the grid lists the innermost axis first
				pos[d] = s.denormalize(g[(n*points+p)*rank+rank-1-d], d)
			}
			s.locate(pos)
			for c := range shape[1] {
				at := n*shape[1] + c
				y[at*points+p] = s.sum(v[at*plane:][:plane], 0, 0)
			}
		}
	}
	e.Set(0, tensor.FromFloats(x.Type, shape, y))
	return nil
}

func newSampler(e *Eval, dims []int) (*sampler, error) {
	s := &sampler{dims: dims, strides: tensor.Strides(dims), padding: e.Str("padding_mode"), corners: e.Int("align_corners") != 0}
	switch mode := e.Str("mode"); mode {
	case "nearest":
		s.mode = mode
	case "linear", "bilinear":
		s.mode = "linear"
	case "cubic", "bicubic":
		s.mode = "cubic"
	default:
		return nil, fmt.Errorf("mode %q", mode)
	}
	if !slices.Contains([]string{"zeros", "border", "reflection"}, s.padding) {
		return nil, fmt.Errorf("padding_mode %q", s.padding)
	}
	s.taps = make([][]weighted, len(dims))
	return s, nil
}

// denormalize maps [-1, 1] to element positions of axis d.
func (s *sampler) denormalize(x float64, d int) float64 {
	n := float64(s.dims[d])
	if s.corners {
		return (x + 1) / 2 * (n - 1)
	}
	return ((x+1)*n - 1) / 2
}

// locate finds the elements, and their weights, that a position reads on each
// axis.
func (s *sampler) locate(pos []float64) {
	for d, p := range pos {
		n := s.dims[d]
		s.taps[d] = s.taps[d][:0]
		if n == 0 || math.IsNaN(p) {
			continue // the product of no elements is 0
		}
		if s.mode == "nearest" {
			p = math.RoundToEven(p)
		}
		if s.mode != "cubic" || s.padding != "border" { // there only the elements are clamped, as in PyTorch
			p = s.inside(p, n)
		}
		floor := math.Floor(min(max(p, -1<<30), 1<<30))
		switch f := p - floor; s.mode {
		case "nearest":
			s.tap(d, floor, 1)
		case "linear":
			s.tap(d, floor, 1-f)
			s.tap(d, floor+1, f)
		default:
			for k := -1.0; k <= 2; k++ {
				s.tap(d, floor+k, cubicKernel(-0.75, k-f))
			}
		}
	}
}

// tap adds an element to axis d; beyond the border the padding mode decides.
func (s *sampler) tap(d int, at, weight float64) {
	n := s.dims[d]
	if at < 0 || at >= float64(n) {
		if s.padding == "zeros" {
			return
		}
		at = math.Trunc(s.inside(at, n))
		at = min(max(at, 0), float64(n-1))
	}
	s.taps[d] = append(s.taps[d], weighted{int(at), weight})
}

// inside moves a position beyond the border of an axis of n elements: to the
// border, or reflected at it.
func (s *sampler) inside(p float64, n int) float64 {
	lo, hi := -0.5, float64(n)-0.5
	if s.corners {
		lo, hi = 0, float64(n-1)
	}
	if p >= lo && p <= hi {
		return p
	}
	switch s.padding {
	case "border":
		return min(max(p, 0), float64(n-1))
	case "reflection":
		if hi == lo || math.IsInf(p, 0) {
			return lo
		}
		r := math.Mod(p-lo, 2*(hi-lo))
		if r < 0 {
			r += 2 * (hi - lo)
		}
		return lo + min(r, 2*(hi-lo)-r)
	}
	return p
}

// sum is the weighted sum over the elements of the axes from d on.
func (s *sampler) sum(v []float64, d, at int) float64 {
	if d == len(s.dims) {
		return v[at]
	}
	total := 0.0
	for _, t := range s.taps[d] {
		total += t.weight * s.sum(v, d+1, at+t.at*s.strides[d])
	}
	return total
}

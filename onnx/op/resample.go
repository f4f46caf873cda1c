package op

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/tensor"
)

// resizeStep is the resampling of one axis from in to out positions. The
// region from start to end, relative to the axis, counts only for
// tf_crop_and_resize.
type resizeStep struct {
	axis, in, out int
	scale         float64
	start, end    float64
}

// resampler is the attributes of Resize. Interpolation is separable: one axis
// after the other.
type resampler struct {
	mode, transform, nearest string
	cubic                    float64
	antialias, exclude       bool
	fill                     float64 // beyond the input in tf_crop_and_resize
}

// tap is the contribution of input positions from first on to one output
// position; outside the input the border counts. Outside means that the
// output is the fill value.
type tap struct {
	first   int
	weights []float64
	outside bool
}

func (r *resampler) resize(e *Eval, x *tensor.Tensor, steps []resizeStep) (*tensor.Tensor, error) {
	shape := slices.Clone(x.Shape)
	for _, s := range steps {
		shape[s.axis] = s.out
	}
	if err := e.Fits(tensor.Float64, shape); err != nil {
		return nil, err
	}
	if r.mode == "nearest" {
		return r.pick(e, x, shape, steps)
	}
	v, at := x.Floats(), slices.Clone(x.Shape)
	for _, s := range steps {
		if s.identity() {
			continue
		}
		taps := make([]tap, s.out)
		for i := range taps {
			var err error
			if taps[i], err = r.tapOf(s, i); err != nil {
				return nil, err
			}
		}
		to := slices.Clone(at)
		to[s.axis] = s.out
		if err := e.Fits(tensor.Float64, to); err != nil {
			return nil, err
		}
		v, at = r.along(v, at, s, taps), to
	}
	if x.Type.IsInt() { // the standard leaves rounding open; its reference rounds to even
		lo, hi := x.Type.IntRange()
		for i := range v {
			v[i] = min(max(math.RoundToEven(v[i]), float64(lo)), float64(hi))
		}
	}
	return tensor.FromFloats(x.Type, shape, v), nil
}

func (s *resizeStep) identity() bool {
	return s.in == s.out && s.scale == 1 && s.start == 0 && s.end == 1
}

// along resamples one axis.
func (r *resampler) along(v []float64, shape []int, s resizeStep, taps []tap) []float64 {
	outer, inner := volume(shape[:s.axis]), volume(shape[s.axis+1:])
	y := make([]float64, outer*s.out*inner)
	for o := range outer {
		for i, t := range taps {
			row := y[(o*s.out+i)*inner:][:inner]
			if t.outside {
				for k := range row {
					row[k] = r.fill
				}
				continue
			}
			for j, w := range t.weights {
				from := min(max(t.first+j, 0), s.in-1)
				for k, x := range v[(o*s.in+from)*inner:][:inner] {
					row[k] += w * x
				}
			}
		}
	}
	return y
}

// pick copies the nearest elements, of any type.
func (r *resampler) pick(e *Eval, x *tensor.Tensor, shape []int, steps []resizeStep) (*tensor.Tensor, error) {
	from := make([][]int, len(shape)) // -1: outside
	for a, n := range shape {
		for i := range n {
			from[a] = append(from[a], i)
		}
	}
	for _, s := range steps {
		if s.identity() {
			continue
		}
		for i := range s.out {
			n, outside, err := r.nearestOf(s, i)
			if err != nil {
				return nil, err
			}
			if from[s.axis][i] = n; outside {
				from[s.axis][i] = -1
			}
		}
	}
	out, err := e.New(x.Type, shape...)
	if err != nil {
		return nil, err
	}
	put := tensor.Copier(out, x)
	var putFill func(to, from int)
	own, pos := tensor.Strides(x.Shape), make([]int, len(shape))
	for i := range out.Len() {
		unravel(i, shape, pos)
		at := 0
		for a, p := range pos {
			if from[a][p] < 0 {
				at = -1
				break
			}
			at += from[a][p] * own[a]
		}
		if at >= 0 {
			put(i, at)
			continue
		}
		if putFill == nil {
			putFill = tensor.Copier(out, tensor.FromFloats(x.Type, []int{1}, []float64{r.fill}))
		}
		putFill(i, 0)
	}
	return out, nil
}

func nearestIndex(p float64, mode string) (int, error) {
	switch mode {
	case "round_prefer_floor":
		p = math.Ceil(p - 0.5)
	case "round_prefer_ceil":
		p = math.Floor(p + 0.5)
	case "floor":
		p = math.Floor(p)
	case "ceil":
		p = math.Ceil(p)
	default:
		return 0, fmt.Errorf("nearest_mode %q", mode)
	}
	return int(p), nil
}

// unscaled is x / scale, in float32 where the scale is one, as other runtimes
// compute it: 3.5 / 0.7 is 5, and nearest neighbours are the same.
func (s *resizeStep) unscaled(x float64) float64 {
	if float64(s.out) == s.scale*float64(s.in) {
		return x * float64(s.in) / float64(s.out)
	}
	if float64(float32(s.scale)) == s.scale {
		return float64(float32(x) / float32(s.scale))
	}
	return x / s.scale
}

// position is the place in the input of output position i.
func (r *resampler) position(s resizeStep, i int) (p float64, outside bool, err error) {
	x, in := float64(i), float64(s.in)
	length := s.scale * in // possibly a fraction
	if s.in == 0 {
		return 0, false, fmt.Errorf("axis %d of size 0 is resized", s.axis)
	}
	switch r.transform {
	case "half_pixel":
		p = s.unscaled(x+0.5) - 0.5
	case "pytorch_half_pixel":
		if p = -0.5; length != 1 {
			p = s.unscaled(x+0.5) - 0.5
		}
	case "half_pixel_symmetric":
		p = in/2*(1-float64(s.out)/length) + s.unscaled(x+0.5) - 0.5
	case "align_corners":
		if length != 1 {
			p = x * (in - 1) / (length - 1)
		}
	case "asymmetric":
		p = s.unscaled(x)
	case "tf_half_pixel_for_nn": // opset 11 and 12
		p = s.unscaled(x + 0.5)
	case "tf_crop_and_resize":
		if length != 1 {
			p = s.start*(in-1) + x*(s.end-s.start)*(in-1)/(length-1)
		} else {
			p = 0.5 * (s.start + s.end) * (in - 1)
		}
		outside = p < 0 || p > in-1
	default:
		return 0, false, fmt.Errorf("coordinate_transformation_mode %q", r.transform)
	}
	return p, outside, nil
}

// tapOf is the weights of output position i. With p = n + ratio, n whole and
// ratio in (0, 1], the kernel of 2h points covers n-h+1 to n+h.
func (r *resampler) tapOf(s resizeStep, i int) (tap, error) {
	p, outside, err := r.position(s, i)
	if err != nil || outside {
		return tap{outside: true}, err
	}
	whole := math.Ceil(p) - 1
	ratio := p - whole
	var radius float64
	var kernel func(d float64) float64
	switch r.mode {
	case "linear", "bilinear":
		radius, kernel = 1, func(d float64) float64 { return max(0, 1-math.Abs(d)) }
	case "cubic":
		radius, kernel = 2, func(d float64) float64 { return cubicKernel(r.cubic, d) }
	default:
		return tap{}, fmt.Errorf("mode %q", r.mode)
	}
	stretch := 1.0
	if r.antialias {
		stretch = min(s.scale, 1)
	}
	reach := -int(math.Floor(-radius/stretch) + 1) // positions below n
	t := tap{first: int(whole) - reach}
	sum := 0.0
	for k := -reach; k <= reach+1; k++ {
		w := kernel((float64(k) - ratio) * stretch)
		if at := int(whole) + k; r.exclude && (at < 0 || at >= s.in) {
			w = 0
		}
		t.weights = append(t.weights, w)
		sum += w
	}
	if (r.exclude || r.antialias) && sum != 0 {
		for k := range t.weights {
			t.weights[k] /= sum
		}
	}
	return t, nil
}

// cubicKernel is the cubic convolution kernel (Keys 1981, equation 4).
func cubicKernel(a, d float64) float64 {
	d = math.Abs(d)
	switch {
	case d <= 1:
		return ((a+2)*d-(a+3))*d*d + 1
	case d < 2:
		return ((a*d-5*a)*d+8*a)*d - 4*a
	}
	return 0
}

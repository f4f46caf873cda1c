package op

import (
	"fmt"
	"math"
	"strings"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opRoiAlign = &Def{
	Name: "RoiAlign",
	Versions: []Version{
		{Since: 10, Schema: `X:T1 rois:T1 batch_indices:T2 -> Y:T1 | mode:string="avg" output_height:int=1 output_width:int=1 sampling_ratio:int=0 spatial_scale:float=1 | T1: fp; T2: int64`},
		{Since: 16, Schema: `X:T1 rois:T1 batch_indices:T2 -> Y:T1 | coordinate_transformation_mode:string="half_pixel" mode:string="avg" output_height:int=1 output_width:int=1 sampling_ratio:int=0 spatial_scale:float=1 | T1: fp; T2: int64`},
		{Since: 22, Schema: `X:T1 rois:T1 batch_indices:T2 -> Y:T1 | coordinate_transformation_mode:string="half_pixel" mode:string="avg" output_height:int=1 output_width:int=1 sampling_ratio:int=0 spatial_scale:float=1 | T1: fp bfloat16; T2: int64`},
	},
	Infer: func(f *Infer) error {
		if err := f.match("[?,?,?,?] [R,4] [R]"); err != nil {
			return err
		}
		return inferRoi(f, []int{f.Int("output_height"), f.Int("output_width")})
	},
	Eval: evalRoiAlign,
}

// inferRoi is [regions, channels, pooled...].
func inferRoi(f *Infer, pooled []int) error {
	x, ok := f.Shape(0)
	r, ok2 := f.Shape(1)
	if ok && len(x) != 4 || ok2 && len(r) != 2 || len(pooled) != 2 {
		return fmt.Errorf("input %v, rois %v, pooled to %v", f.Type(0), f.Type(1), pooled)
	}
	out := []dim.Dim{dim.Unknown, dim.Unknown, dim.Of(int64(pooled[0])), dim.Of(int64(pooled[1]))}
	if ok {
		out[1] = x[1]
	}
	if ok2 {
		out[0] = r[0]
	}
	f.Set(0, out...)
	return nil
}

// roiAxis is the sampling of a region along one axis: bins of samples each.
type roiAxis struct {
	start, bin float64
	samples    int
}

// at is the position of sample i of bin b.
func (r roiAxis) at(b, i int) float64 {
	return r.start + float64(b)*r.bin + (float64(i)+0.5)*r.bin/float64(r.samples)
}

func evalRoiAlign(e *Eval) error {
	x, rois, batch := e.Tensor(0), e.Tensor(1), e.Tensor(2)
	h, w := e.Int("output_height"), e.Int("output_width")
	if x.Rank() != 4 || rois.Rank() != 2 || rois.Shape[1] != 4 || batch.Len() != rois.Shape[0] || h < 1 || w < 1 {
		return fmt.Errorf("input %v, rois %v, batch_indices %v, output %dx%d", x, rois, batch, h, w)
	}
	n, channels, plane := rois.Shape[0], x.Shape[1], x.Shape[2]*x.Shape[3]
	shape := []int{n, channels, h, w}
	if err := e.Fits(tensor.Float64, shape); err != nil {
		return err
	}
	images := batch.Ints()
	if err := wrapIndices(images, x.Shape[0]); err != nil {
		return err
	}
	v, boxes := x.Floats(), rois.Floats()
	pool := averageOf
	if strings.EqualFold(e.Str("mode"), "max") {
		pool = largestOf
	}
	y := make([]float64, volume(shape))
	for r := range n {
		ax, err := e.roiAxes(boxes[4*r:4*r+4], h, w)
		if err != nil {
			return err
		}
		for b := range h * w {
			corners := roiCorners(ax, b/w, b%w, x.Shape[2], x.Shape[3])
			for c := range channels {
				y[(r*channels+c)*h*w+b] = pool(corners, v[(int(images[r])*channels+c)*plane:][:plane])
			}
		}
	}
	e.Set(0, tensor.FromFloats(x.Type, shape, y))
	return nil
}

// roiAxes scales a box (x1, y1, x2, y2) and divides it into bins.
func (e *Eval) roiAxes(box []float64, h, w int) (ax [2]roiAxis, err error) {
	shift, least := 0.0, 1.0
	if e.Str("coordinate_transformation_mode") == "half_pixel" {
		shift, least = 0.5, math.Inf(-1)
	}
	for d, bins := range []int{h, w} {
		start := box[1-d]*e.Float("spatial_scale") - shift
		extent := max(box[3-d]*e.Float("spatial_scale")-shift-start, least)
		ax[d] = roiAxis{start, extent / float64(bins), e.Int("sampling_ratio")}
		if ax[d].samples <= 0 {
			ax[d].samples = int(math.Ceil(ax[d].bin))
		}
		if !(math.Abs(extent) < 1<<24) || ax[d].samples > 1<<12 {
			return ax, fmt.Errorf("region %v", box)
		}
	}
	return ax, nil
}

// roiCorners is the four neighbours of every sample of a bin, with their
// bilinear weights. Samples outside the image have weights 0.
func roiCorners(ax [2]roiAxis, by, bx, height, width int) [][4]weighted {
	var out [][4]weighted
	for iy := range max(ax[0].samples, 0) {
		for ix := range max(ax[1].samples, 0) {
			y, x := ax[0].at(by, iy), ax[1].at(bx, ix)
			if y < -1 || y > float64(height) || x < -1 || x > float64(width) {
				out = append(out, [4]weighted{})
				continue
			}
			y0, y1, fy := between(y, height)
			x0, x1, fx := between(x, width)
			out = append(out, [4]weighted{
				{y0*width + x0, (1 - fy) * (1 - fx)}, {y0*width + x1, (1 - fy) * fx},
				{y1*width + x0, fy * (1 - fx)}, {y1*width + x1, fy * fx},
			})
		}
	}
	return out
}

// between is the elements around a position, clamped to n, and the fraction.
func between(p float64, n int) (lo, hi int, f float64) {
	p = max(p, 0)
	lo = int(p)
	if lo >= n-1 {
		return n - 1, n - 1, 0
	}
	return lo, lo + 1, p - float64(lo)
}

func averageOf(corners [][4]weighted, v []float64) float64 {
	sum := 0.0
	for _, s := range corners {
		for _, c := range s {
			sum += c.weight * v[c.at]
		}
	}
	return sum / float64(max(len(corners), 1))
}

// largestOf is the maximum of the weighted corners, not of the interpolated
// samples: what the standard's reference and tests have.
func largestOf(corners [][4]weighted, v []float64) float64 {
	best := 0.0
	for i, s := range corners {
		for k, c := range s {
			if x := c.weight * v[c.at]; i+k == 0 || x > best {
				best = x
			}
		}
	}
	return best
}

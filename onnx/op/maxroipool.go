package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/tensor"
)

var opMaxRoiPool = &Def{
	Name: "MaxRoiPool",
	Versions: []Version{
		{Since: 1, Schema: `X:T rois:T -> Y:T | pooled_shape:ints! spatial_scale:float=1 | T: fp`},
		{Since: 22, Schema: `X:T rois:T -> Y:T | pooled_shape:ints! spatial_scale:float=1 | T: fp bfloat16`},
	},
	Check: Exact,
	Quant: Quant{Kind: QuantSame},
	Infer: func(f *Infer) error { return inferRoi(f, f.Attrs.Ints("pooled_shape")) },
	Eval:  evalMaxRoiPool,
}

// evalMaxRoiPool divides each region (batch, x1, y1, x2, y2), rounded to whole
// elements with both ends included, into bins and takes their maximum, 0 for
// an empty bin (Girshick, Fast R-CNN).
func evalMaxRoiPool(e *Eval) error {
	x, rois, pooled := e.Tensor(0), e.Tensor(1), e.Attrs.Ints("pooled_shape")
	if x.Rank() != 4 || rois.Rank() != 2 || rois.Shape[1] != 5 || len(pooled) != 2 || pooled[0] < 1 || pooled[1] < 1 {
		return fmt.Errorf("input %v, rois %v, pooled to %v", x, rois, pooled)
	}
	shape := []int{rois.Shape[0], x.Shape[1], pooled[0], pooled[1]}
	if err := e.Fits(tensor.Float64, shape); err != nil {
		return err
	}
	v, boxes, width, plane := x.Floats(), rois.Floats(), x.Shape[3], x.Shape[2]*x.Shape[3]
	y := make([]float64, volume(shape))
	for i := range y {
		box := boxes[i/volume(shape[1:])*5:][:5]
		if n := int(box[0]); n < 0 || n >= x.Shape[0] {
			return fmt.Errorf("region of image %v in a batch of %d", box[0], x.Shape[0])
		}
		channel := v[(int(box[0])*shape[1]+i/(pooled[0]*pooled[1])%shape[1])*plane:][:plane]
		rows := e.roiBin(box[2], box[4], i/pooled[1]%pooled[0], pooled[0], x.Shape[2])
		columns := e.roiBin(box[1], box[3], i%pooled[1], pooled[1], width)
		best := math.Inf(-1)
		for r := rows[0]; r < rows[1]; r++ {
			for c := columns[0]; c < columns[1]; c++ {
				best = max(best, channel[r*width+c])
			}
		}
		if !math.IsInf(best, -1) {
			y[i] = best
		}
	}
	e.Set(0, tensor.FromFloats(x.Type, shape, y))
	return nil
}

// roiBin is the half-open range of bin b of n along an axis of size elements.
// It is computed in float32, as other runtimes do, so that halves round alike.
func (e *Eval) roiBin(from, to float64, b, n, size int) [2]int {
	scale := float32(e.Float("spatial_scale"))
	start, end := math.Round(float64(float32(from)*scale)), math.Round(float64(float32(to)*scale))
	bin := float32(max(end-start+1, 1)) / float32(n)
	clamp := func(p float64) int { return int(min(max(p+start, 0), float64(size))) }
	return [2]int{clamp(math.Floor(float64(float32(b) * bin))), clamp(math.Ceil(float64(float32(b+1) * bin)))}
}

package op

import (
	"cmp"
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opNonMaxSuppression = &Def{
	Name: "NonMaxSuppression",
	Versions: []Version{
		{Since: 10, Schema: `boxes:float scores:float max_output_boxes_per_class?:int64 iou_threshold?:float score_threshold?:float -> selected_indices:int64 | center_point_box:int=0`},
		{Since: 11, Schema: `boxes:float scores:float max_output_boxes_per_class?:int64 iou_threshold?:float score_threshold?:float -> selected_indices:int64 | center_point_box:int=0`},
	},
	Check: Exact,
	Infer: func(f *Infer) error {
		f.Set(0, f.Symbol(), dim.Of(3))
		return nil
	},
	Eval: evalNonMaxSuppression,
}

// evalNonMaxSuppression takes the boxes of each class by falling score, equal
// scores in order, and drops those that overlap a taken one. Overlaps are
// computed in float32, as other runtimes do, so that ties at the threshold
// fall alike.
func evalNonMaxSuppression(e *Eval) error {
	boxes, scores := e.Tensor(0), e.Tensor(1)
	if boxes.Rank() != 3 || boxes.Shape[2] != 4 || scores.Rank() != 3 || scores.Shape[0] != boxes.Shape[0] || scores.Shape[2] != boxes.Shape[1] {
		return fmt.Errorf("boxes %v and scores %v", boxes, scores)
	}
	limit := int64(0)
	if t := e.Tensor(2); t != nil && t.Len() > 0 {
		limit = t.Ints()[0]
	}
	var overlap float32
	if t := e.Tensor(3); t != nil && t.Len() > 0 {
		overlap = t.Float32s()[0]
	}
	var least *float32
	if t := e.Tensor(4); t != nil && t.Len() > 0 {
		least = &t.Float32s()[0]
	}
	n, classes := boxes.Shape[1], scores.Shape[1]
	corners := cornersOf(boxes.Float32s(), e.Int("center_point_box") != 0)
	var out []int64
	for row := range boxes.Shape[0] * classes {
		batch := row / classes
		own := corners[batch*n : (batch+1)*n]
		for _, i := range suppress(own, scores.Float32s()[row*n:(row+1)*n], limit, overlap, least) {
			out = append(out, int64(batch), int64(row%classes), int64(i))
		}
	}
	e.Set(0, tensor.Of([]int{len(out) / 3, 3}, out))
	return nil
}

// box is a rectangle with ordered corners.
type box struct{ y1, x1, y2, x2 float32 }

// cornersOf reads boxes of two opposite corners (y, x) or of center and size
// (x, y, width, height).
func cornersOf(v []float32, center bool) []box {
	out := make([]box, len(v)/4)
	for i := range out {
		a, b, c, d := v[4*i], v[4*i+1], v[4*i+2], v[4*i+3]
		if center {
			out[i] = box{b - d/2, a - c/2, b + d/2, a + c/2}
		} else {
			out[i] = box{min(a, c), min(b, d), max(a, c), max(b, d)}
		}
	}
	return out
}

func (a box) area() float32 { return (a.y2 - a.y1) * (a.x2 - a.x1) }

// overlaps reports an intersection over union above the threshold.
func (a box) overlaps(b box, threshold float32) bool {
	h, w := min(a.y2, b.y2)-max(a.y1, b.y1), min(a.x2, b.x2)-max(a.x1, b.x1)
	if h <= 0 || w <= 0 || a.area() <= 0 || b.area() <= 0 {
		return false
	}
	both := h * w
	return both/(a.area()+b.area()-both) > threshold
}

func suppress(boxes []box, scores []float32, limit int64, overlap float32, least *float32) []int {
	var order, taken []int
	for i, s := range scores {
		if least == nil || s > *least {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(scores[j], scores[i]) })
	for _, i := range order {
		if int64(len(taken)) >= limit {
			break
		}
		if !slices.ContainsFunc(taken, func(j int) bool { return boxes[i].overlaps(boxes[j], overlap) }) {
			taken = append(taken, i)
		}
	}
	return taken
}

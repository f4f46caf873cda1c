package compare

import (
	"cmp"
	"maps"
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/samples"
)

// Detection compares boxes: those of B against those of A, taken as the truth.
type Detection struct {
	Boxes Pair `json:"boxes"` // of at least minScore, over all samples
	// MAP is the mean over classes of the average precision of B's boxes, one
	// right that covers a box of A of its class with an IoU of 0.5 (Everingham et
	// al., "The PASCAL Visual Object Classes Challenge", 2010, all points).
	MAP float64 `json:"map50"`
	// Matched is the share of A's boxes that B has, IoU and Score the mean
	// overlap and difference of scores of these.
	Matched float64 `json:"matched"`
	IoU     float64 `json:"iou"`
	Score   float64 `json:"score_difference"`
	// Labelled is the MAP of each model's boxes against Options.Boxes.
	Labelled *Pair `json:"map50_labels,omitempty"`
}

// minScore is the score from which a box of A counts as one.
const minScore = 0.3

// box is one detection.
type box struct {
	sample, class int
	score         float64
	at            [4]float64 // x0 y0 x1 y1
}

// detector collects the boxes of both models.
type detector struct {
	boxes, scores, classes int // outputs; -1 for none
	found                  [2][]box
}

// newDetector finds the outputs that hold boxes [..., 4], scores [...] and
// classes [...]; nil if there are none. Boxes come from a choice among many.
func newDetector(m *graph.Model, chosen map[*graph.Value]bool) *detector {
	d := &detector{boxes: -1, scores: -1, classes: -1}
	for i, v := range m.Graph.Outputs() {
		rank := len(v.Type.Shape)
		switch float := v.Type.Elem.IsFloat(); {
		case !chosen[v]:
		case float && rank > 1 && lastIs4(v) && d.boxes < 0:
			d.boxes = i
		case float && d.scores < 0:
			d.scores = i
		case v.Type.Elem.IsInt() && d.classes < 0:
			d.classes = i
		}
	}
	if d.boxes < 0 || d.scores < 0 {
		return nil
	}
	return d
}

func lastIs4(v *graph.Value) bool {
	n, ok := v.Type.Shape[len(v.Type.Shape)-1].Const()
	return ok && n == 4
}

// add takes the outputs of one batch of a model, samples from the first on.
func (d *detector) add(model, first, samples int, out []tensor.Value) {
	t, ok := out[d.boxes].(*tensor.Tensor)
	s, ok2 := out[d.scores].(*tensor.Tensor)
	if !ok || !ok2 || t.Rank() < 2 || t.Len() != 4*s.Len() {
		return
	}
	xy, scores := t.Floats(), s.Floats()
	var classes []int64
	if d.classes >= 0 {
		if c, ok := out[d.classes].(*tensor.Tensor); ok && c.Len() == len(scores) {
			classes = c.Ints()
		}
	}
	per := len(scores)
	if t.Rank() > 2 && t.Shape[0] > 0 {
		per = len(scores) / t.Shape[0]
	}
	for i, score := range scores {
		b := box{sample: first + i/max(per, 1), score: score, at: [4]float64(xy[4*i : 4*i+4])}
		if classes != nil {
			b.class = int(classes[i])
		}
		if i/max(per, 1) < samples {
			d.found[model] = append(d.found[model], b)
		}
	}
}

func iou(a, b [4]float64) float64 {
	area := func(r [4]float64) float64 { return max(r[2]-r[0], 0) * max(r[3]-r[1], 0) }
	both := area([4]float64{max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])})
	if both == 0 {
		return 0
	}
	return both / (area(a) + area(b) - both)
}

// result compares B's boxes with A's, and both with those of labels, if not nil.
func (d *detector) result(labels [][]samples.Box) *Detection {
	strong := func(list []box) []box {
		return slices.DeleteFunc(slices.Clone(list), func(b box) bool { return b.score < minScore })
	}
	truth := strong(d.found[0])
	r := &Detection{Boxes: Pair{float64(len(truth)), float64(len(strong(d.found[1])))}}
	if labels != nil {
		var right []box
		for i, list := range labels {
			for _, l := range list {
				right = append(right, box{sample: i, class: l.Class, at: l.At})
			}
		}
		r.Labelled = &Pair{match(right, d.found[0]).precision, match(right, d.found[1]).precision}
	}
	if len(truth) == 0 && r.Boxes.B == 0 {
		r.MAP, r.Matched, r.IoU = 1, 1, 1 // neither sees anything
		return r
	}
	m := match(truth, d.found[1])
	if r.MAP = m.precision; m.matched > 0 {
		r.Matched, r.IoU, r.Score = m.matched/r.Boxes.A, m.iou/m.matched, m.score/m.matched
	}
	return r
}

// matching is how boxes cover the true ones: the mean average precision, the
// number matched, and over these the sums of overlaps and of differences of scores.
type matching struct{ precision, matched, iou, score float64 }

// match gives each found box, those of highest score first, the free true box
// that it covers best.
func match(right, found []box) matching {
	type key struct{ sample, class int }
	truth := map[key][]box{}
	perClass := map[int]int{}
	for _, b := range right {
		truth[key{b.sample, b.class}] = append(truth[key{b.sample, b.class}], b)
		perClass[b.class]++
	}
	found = slices.Clone(found)
	slices.SortStableFunc(found, func(a, b box) int { return cmp.Compare(b.score, a.score) })
	used := map[key][]bool{}
	hits := map[int][]bool{} // of each class, by falling score
	var m matching
	for _, b := range found {
		k := key{b.sample, b.class}
		if used[k] == nil {
			used[k] = make([]bool, len(truth[k]))
		}
		best, at := 0.5, -1
		for i, t := range truth[k] {
			if o := iou(b.at, t.at); o >= best && !used[k][i] {
				best, at = o, i
			}
		}
		hits[b.class] = append(hits[b.class], at >= 0)
		if at >= 0 {
			used[k][at] = true
			m.matched++
			m.iou += best
			m.score += math.Abs(b.score - truth[k][at].score)
		}
	}
	for _, class := range slices.Sorted(maps.Keys(perClass)) {
		m.precision += averagePrecision(hits[class], perClass[class]) / float64(len(perClass))
	}
	return m
}

// averagePrecision is the area under the curve of precision over recall, each
// precision the largest at that recall or beyond.
func averagePrecision(right []bool, truth int) float64 {
	precision := make([]float64, len(right))
	hits := 0
	for i, ok := range right {
		if ok {
			hits++
		}
		precision[i] = float64(hits) / float64(i+1)
	}
	area, most := 0.0, 0.0
	for i := len(right) - 1; i >= 0; i-- {
		most = max(most, precision[i])
		if right[i] {
			area += most / float64(truth)
		}
	}
	return area
}

package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMlTreeEnsembleClassifier = &Def{
	Name:   "TreeEnsembleClassifier",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 1, Schema: `X:T1 -> Y:T2 Z:float | base_values:floats class_ids:ints class_nodeids:ints class_treeids:ints class_weights:floats classlabels_int64s:ints classlabels_strings:strings nodes_falsenodeids:ints nodes_featureids:ints nodes_hitrates:floats nodes_missing_value_tracks_true:ints nodes_modes:strings nodes_nodeids:ints nodes_treeids:ints nodes_truenodeids:ints nodes_values:floats post_transform:string="NONE" | T1: float double int64 int32; T2: string int64`},
		{Since: 3, Schema: `X:T1 -> Y:T2 Z:float | base_values:floats base_values_as_tensor:tensor class_ids:ints class_nodeids:ints class_treeids:ints class_weights:floats class_weights_as_tensor:tensor classlabels_int64s:ints classlabels_strings:strings nodes_falsenodeids:ints nodes_featureids:ints nodes_hitrates:floats nodes_hitrates_as_tensor:tensor nodes_missing_value_tracks_true:ints nodes_modes:strings nodes_nodeids:ints nodes_treeids:ints nodes_truenodeids:ints nodes_values:floats nodes_values_as_tensor:tensor post_transform:string="NONE" | T1: float double int64 int32; T2: string int64`},
		{Since: 5, Schema: `X:T1 -> Y:T2 Z:float | base_values:floats base_values_as_tensor:tensor class_ids:ints class_nodeids:ints class_treeids:ints class_weights:floats class_weights_as_tensor:tensor classlabels_int64s:ints classlabels_strings:strings nodes_falsenodeids:ints nodes_featureids:ints nodes_hitrates:floats nodes_hitrates_as_tensor:tensor nodes_missing_value_tracks_true:ints nodes_modes:strings nodes_nodeids:ints nodes_treeids:ints nodes_truenodeids:ints nodes_values:floats nodes_values_as_tensor:tensor post_transform:string="NONE" | T1: float double int64 int32; T2: string int64`, Deprecated: true},
	},
	Infer: inferTreeClassifier,
	Eval:  evalTreeClassifier,
}

func inferTreeClassifier(f *Infer) error {
	l := labelsOf(&f.Attrs, "classlabels_int64s", "classlabels_strings")
	columns := dim.Unknown
	if l.len() > 1 {
		columns = dim.Of(int64(l.len()))
	}
	inferClassifier(f, l, columns)
	return nil
}

// evalTreeClassifier is the class of the largest score. Two classes of which
// the trees vote for one alone are decided by that score: above one half if no
// weight is negative, else by its sign.
func evalTreeClassifier(e *Eval) error {
	m, err := featuresOf(e.Tensor(0))
	if err != nil {
		return err
	}
	l := labelsOf(&e.Attrs, "classlabels_int64s", "classlabels_strings")
	f, err := newForest(&e.Attrs, "class_", max(l.len(), 1))
	if err != nil {
		return err
	}
	if f.targets == 1 {
		l = l.binary()
	}
	base := floatsAttr(&e.Attrs, "base_values")
	if len(base) > 1 && len(base) != f.targets {
		return fmt.Errorf("%d base values for %d classes", len(base), f.targets)
	}
	t := treeClassifier{f, base, e.Str("post_transform"), true, false}
	for _, w := range floatsAttr(&e.Attrs, "class_weights") {
		t.positive = t.positive && w >= 0
	}
	ids := e.Attrs.Ints("class_ids")
	t.oneSided = len(ids) > 0 && slices.Min(ids) == slices.Max(ids)
	which, z, columns := make([]int, m.n), []float64{}, f.targets
	for i := range m.n {
		var scores []float64
		if which[i], scores, err = t.classify(m.row(i)); err != nil {
			return err
		}
		z, columns = append(z, scores...), len(scores)
	}
	y, err := l.pick(which)
	if err != nil {
		return err
	}
	e.Set(0, y)
	e.Set(1, tensor.FromFloats(tensor.Float32, []int{m.n, columns}, z))
	return nil
}

type treeClassifier struct {
	*forest
	base     []float64
	post     string
	positive bool // no weight is negative
	oneSided bool // all votes are for one class
}

func (t *treeClassifier) classify(x []float64) (int, []float64, error) {
	scores, voted, err := t.scores(x, "SUM")
	if err != nil {
		return 0, nil, err
	}
	if t.targets > 2 {
		for i := range scores {
			if len(t.base) > 0 {
				scores[i] += t.base[i%len(t.base)]
			}
		}
		which := argMax(scores)
		return which, scores, postTransform(t.post, scores)
	}
	positive := t.targets - 1
	switch {
	case len(t.base) == 2 && voted[1]: // the base of class 0 is not used
		scores[1] = t.base[1] + scores[0]
		scores[0] = -scores[1]
	case len(t.base) == 2:
		scores[0], scores[1] = scores[0]+t.base[0], scores[1]+t.base[1]
	case len(t.base) == 1:
		scores[0] += t.base[0]
	}
	if len(t.base) < 2 && !voted[positive] {
		scores = scores[:1]
	}
	return t.decide(scores)
}

// decide is the label and output of one or two classes' scores.
func (t *treeClassifier) decide(scores []float64) (int, []float64, error) {
	which, weight := 0, scores[len(scores)-1]
	if weight > 0 && !(t.oneSided && t.targets == 2 && t.positive) || weight > 0.5 {
		which = 1
	}
	if len(scores) == 1 && t.oneSided && t.targets == 2 && t.post != "PROBIT" {
		scores = bothClasses(scores[0], t.positive)
		if t.positive || t.post != "LOGISTIC" {
			return which, scores, nil
		}
	}
	return which, scores, postTransform(t.post, scores)
}

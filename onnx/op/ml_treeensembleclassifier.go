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

// evalTreeClassifier is the class of the largest score. Where the trees of two
// classes vote for one alone, as converters write binary models, that score
// decides: above one half if no weight is negative, else by its sign.
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
	ids := e.Attrs.Ints("class_ids")
	t := treeClassifier{forest: f, base: base, post: e.Str("post_transform"), positive: true}
	t.oneSided = f.targets == 2 && len(base) < 2 && len(ids) > 0 && slices.Min(ids) == slices.Max(ids)
	for _, w := range floatsAttr(&e.Attrs, "class_weights") {
		t.positive = t.positive && w >= 0
	}
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
	oneSided bool // two classes, all votes for one
}

func (t *treeClassifier) classify(x []float64) (which int, scores []float64, err error) {
	scores, voted, err := t.scores(x, "SUM")
	if err != nil {
		return 0, nil, err
	}
	for i := range scores {
		if len(t.base) > 0 && (voted[i] || !t.oneSided) {
			scores[i] += t.base[i%len(t.base)]
		}
	}
	which = argMax(scores)
	if t.oneSided || t.targets == 1 {
		weight, threshold := sumFloats(scores), 0.0
		if t.oneSided && t.positive {
			threshold = 0.5
		}
		which = 0
		if weight > threshold {
			which = 1
		}
	}
	if t.oneSided && voted[0] && t.post != "PROBIT" {
		return which, bothClasses(scores[0], t.positive, t.post), nil
	}
	return which, scores, postTransform(t.post, scores)
}

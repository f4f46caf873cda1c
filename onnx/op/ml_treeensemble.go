package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMlTreeEnsemble = &Def{
	Name:   "TreeEnsemble",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 5, Schema: `X:T -> Y:T | aggregate_function:int=1 leaf_targetids:ints! leaf_weights:tensor! membership_values:tensor n_targets:int nodes_falseleafs:ints! nodes_falsenodeids:ints! nodes_featureids:ints! nodes_hitrates:tensor nodes_missing_value_tracks_true:ints nodes_modes:tensor! nodes_splits:tensor! nodes_trueleafs:ints! nodes_truenodeids:ints! post_transform:int=0 tree_roots:ints! | T: fp`},
	},
	Infer: inferTreeEnsemble,
	Eval:  evalTreeEnsemble,
}

func inferTreeEnsemble(f *Infer) error {
	if err := f.match("[?,?]"); err != nil {
		return err
	}
	targets := dim.Unknown
	if f.Has("n_targets") {
		targets = dim.Of(int64(f.Int("n_targets")))
	}
	f.Set(0, rowsDim(f), targets)
	return nil
}

// The enumerations of the integer attributes.
var (
	treeAggregates = []string{"AVERAGE", "SUM", "MIN", "MAX"}
	treeTransforms = []string{"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"}
	treeModes      = []string{"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"}
)

const branchMember = 6

func evalTreeEnsemble(e *Eval) error {
	x := e.Tensor(0)
	m, err := featuresOf(x)
	if err != nil {
		return err
	}
	aggregate, post := e.Int("aggregate_function"), e.Int("post_transform")
	if aggregate < 0 || aggregate >= len(treeAggregates) || post < 0 || post >= len(treeTransforms) {
		return fmt.Errorf("aggregate_function %d, post_transform %d", aggregate, post)
	}
	f, err := newTreeEnsemble(&e.Attrs)
	if err != nil {
		return err
	}
	y, err := f.regress(e, m, treeAggregates[aggregate], treeTransforms[post], nil)
	if err != nil {
		return err
	}
	e.Set(0, tensor.FromFloats(x.Type, []int{m.n, f.targets}, y))
	return nil
}

// newTreeEnsemble reads interior nodes and leaves; leaf k is node n+k.
func newTreeEnsemble(a *Attrs) (*forest, error) {
	f := &forest{targets: max(a.Int("n_targets"), 1), roots: a.Ints("tree_roots")}
	modes, splits, weights := a.TensorAttr("nodes_modes"), a.TensorAttr("nodes_splits"), a.TensorAttr("leaf_weights")
	if modes == nil || splits == nil || weights == nil || !modes.Type.IsInt() || !splits.Type.IsFloat() || !weights.Type.IsFloat() {
		return nil, fmt.Errorf("nodes_modes, nodes_splits and leaf_weights are missing or of another type")
	}
	n, targetIDs, leafWeights := modes.Len(), a.Ints("leaf_targetids"), weights.Floats()
	lists := make([][]int, 5)
	for i, name := range []string{"nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids", "nodes_trueleafs", "nodes_falseleafs"} {
		if lists[i] = a.Ints(name); len(lists[i]) != n {
			return nil, fmt.Errorf("%d %s for %d nodes", len(lists[i]), name, n)
		}
	}
	if splits.Len() != n || len(leafWeights) != len(targetIDs) || len(f.roots) == 0 {
		return nil, fmt.Errorf("%d splits for %d nodes, %d weights for %d leaves, %d roots", splits.Len(), n, len(leafWeights), len(targetIDs), len(f.roots))
	}
	child := func(at, leaf int) (int, error) {
		limit, first := n, 0
		if leaf != 0 {
			limit, first = len(targetIDs), n
		}
		if at < 0 || at >= limit {
			return 0, fmt.Errorf("child %d of %d", at, limit)
		}
		return first + at, nil
	}
	f.nodes = make([]treeNode, n+len(targetIDs))
	missing, thresholds, kinds := a.Ints("nodes_missing_value_tracks_true"), splits.Floats(), modes.Ints()
	members := memberSets(a.TensorAttr("membership_values"))
	for i := range n {
		node := &f.nodes[i]
		node.feature, node.threshold = lists[0][i], thresholds[i]
		node.missingTrue = i < len(missing) && missing[i] != 0
		switch k := kinds[i]; {
		case k == branchMember && len(members) > 0:
			node.holds, node.members, members = comparisons["BRANCH_EQ"], members[0], members[1:]
		case k >= 0 && k < int64(len(treeModes)):
			node.holds = comparisons[treeModes[k]]
		default:
			return nil, fmt.Errorf("mode %d of node %d, %d sets of members left", k, i, len(members))
		}
		var err error
		if node.yes, err = child(lists[1][i], lists[3][i]); err != nil {
			return nil, err
		}
		if node.no, err = child(lists[2][i], lists[4][i]); err != nil {
			return nil, err
		}
	}
	for k, t := range targetIDs {
		if t < 0 || t >= f.targets {
			return nil, fmt.Errorf("leaf for target %d of %d", t, f.targets)
		}
		f.nodes[n+k].votes = []vote{{t, leafWeights[k]}}
	}
	for _, r := range f.roots {
		if r < 0 || r >= n {
			return nil, fmt.Errorf("root %d of %d nodes", r, n)
		}
	}
	return f, nil
}

// memberSets splits the values at each NaN.
func memberSets(t *tensor.Tensor) [][]float64 {
	if t == nil {
		return nil
	}
	sets := [][]float64{{}}
	for _, v := range t.Floats() {
		if math.IsNaN(v) {
			sets = append(sets, []float64{})
		} else {
			sets[len(sets)-1] = append(sets[len(sets)-1], v)
		}
	}
	return sets
}

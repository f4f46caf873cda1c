package op

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/tensor"
)

// forest is the decision trees of the three tree ensemble operators.
type forest struct {
	nodes   []treeNode
	roots   []int // indices of nodes
	targets int
}

// treeNode is a decision on one feature or, with votes, a leaf.
type treeNode struct {
	holds       func(x, threshold float64) bool // nil: a leaf
	feature     int
	threshold   float64
	members     []float64 // of a set membership, instead of the threshold
	missingTrue bool      // where NaN goes
	yes, no     int       // indices of nodes
	votes       []vote
}

// vote is what a leaf adds to a target.
type vote struct {
	target int
	weight float64
}

var comparisons = map[string]func(x, t float64) bool{
	"BRANCH_LEQ": func(x, t float64) bool { return x <= t },
	"BRANCH_LT":  func(x, t float64) bool { return x < t },
	"BRANCH_GTE": func(x, t float64) bool { return x >= t },
	"BRANCH_GT":  func(x, t float64) bool { return x > t },
	"BRANCH_EQ":  func(x, t float64) bool { return x == t },
	"BRANCH_NEQ": func(x, t float64) bool { return x != t },
}

// leaf follows row x from a root. A path longer than the number of nodes is a
// cycle.
func (f *forest) leaf(root int, x []float64) (*treeNode, error) {
	n := &f.nodes[root]
	for range f.nodes {
		if n.holds == nil {
			return n, nil
		}
		if n.feature < 0 || n.feature >= len(x) {
			return nil, fmt.Errorf("feature %d of %d", n.feature, len(x))
		}
		v := x[n.feature]
		yes := n.holds(v, n.threshold) || n.missingTrue && math.IsNaN(v)
		if n.members != nil {
			yes = slices.Contains(n.members, v) || n.missingTrue && math.IsNaN(v)
		}
		next := n.no
		if yes {
			next = n.yes
		}
		n = &f.nodes[next]
	}
	if n.holds != nil {
		return nil, fmt.Errorf("the trees have a cycle")
	}
	return n, nil
}

// scores aggregates the votes of all trees by target: AVERAGE, SUM, MIN or
// MAX. voted tells which targets have a vote.
func (f *forest) scores(x []float64, aggregate string) (scores []float64, voted []bool, err error) {
	scores, voted = make([]float64, f.targets), make([]bool, f.targets)
	for _, root := range f.roots {
		leaf, err := f.leaf(root, x)
		if err != nil {
			return nil, nil, err
		}
		for _, v := range leaf.votes {
			s := &scores[v.target]
			switch {
			case aggregate == "MIN" && voted[v.target]:
				*s = min(*s, v.weight)
			case aggregate == "MAX" && voted[v.target]:
				*s = max(*s, v.weight)
			default:
				*s += v.weight
			}
			voted[v.target] = true
		}
	}
	for i := range scores {
		if aggregate == "AVERAGE" {
			scores[i] /= float64(len(f.roots))
		}
	}
	return scores, voted, nil
}

// floatsAttr is the attribute name as floats, or name_as_tensor.
func floatsAttr(a *Attrs, name string) []float64 {
	if t := a.TensorAttr(name + "_as_tensor"); t != nil {
		return t.Floats()
	}
	return float64s(a.Floats(name))
}

type treeKey struct{ tree, node int }

// newForest reads the nodes_ attributes of the operators of version 1 and 3,
// and the votes whose attributes start with prefix: target_ or class_.
func newForest(a *Attrs, prefix string, targets int) (*forest, error) {
	f := &forest{targets: targets}
	trees, ids, modes := a.Ints("nodes_treeids"), a.Ints("nodes_nodeids"), a.Strings("nodes_modes")
	features, values := a.Ints("nodes_featureids"), floatsAttr(a, "nodes_values")
	yes, no, missing := a.Ints("nodes_truenodeids"), a.Ints("nodes_falsenodeids"), a.Ints("nodes_missing_value_tracks_true")
	n := len(ids)
	if n == 0 || targets < 1 || len(trees) != n || len(modes) != n || len(features) != n || len(values) != n || len(yes) != n || len(no) != n {
		return nil, fmt.Errorf("%d nodes with other attributes of %d, %d, %d, %d, %d, %d elements for %d targets",
			n, len(trees), len(modes), len(features), len(values), len(yes), len(no), targets)
	}
	place := map[treeKey]int{}
	for i := range ids {
		place[treeKey{trees[i], ids[i]}] = i
	}
	f.nodes = make([]treeNode, n)
	child := make([]bool, n)
	for i := range f.nodes {
		node := &f.nodes[i]
		node.feature, node.threshold = features[i], values[i]
		node.missingTrue = i < len(missing) && missing[i] != 0
		if modes[i] == "LEAF" {
			continue
		}
		if node.holds = comparisons[modes[i]]; node.holds == nil {
			return nil, fmt.Errorf("node mode %q", modes[i])
		}
		var ok, ok2 bool
		node.yes, ok = place[treeKey{trees[i], yes[i]}]
		node.no, ok2 = place[treeKey{trees[i], no[i]}]
		if !ok || !ok2 {
			return nil, fmt.Errorf("node %d of tree %d has no child %d or %d", ids[i], trees[i], yes[i], no[i])
		}
		child[node.yes], child[node.no] = true, true
	}
	for i := range f.nodes {
		if !child[i] {
			f.roots = append(f.roots, i)
		}
	}
	return f, f.readVotes(a, prefix, place)
}

func (f *forest) readVotes(a *Attrs, prefix string, place map[treeKey]int) error {
	trees, nodes, ids := a.Ints(prefix+"treeids"), a.Ints(prefix+"nodeids"), a.Ints(prefix+"ids")
	weights := floatsAttr(a, prefix+"weights")
	if len(trees) != len(ids) || len(nodes) != len(ids) || len(weights) != len(ids) {
		return fmt.Errorf("%d %sids with other attributes of %d, %d, %d elements", len(ids), prefix, len(trees), len(nodes), len(weights))
	}
	for i, t := range ids {
		at, ok := place[treeKey{trees[i], nodes[i]}]
		if !ok || t < 0 || t >= f.targets {
			return fmt.Errorf("vote of node %d of tree %d for target %d of %d", nodes[i], trees[i], t, f.targets)
		}
		f.nodes[at].votes = append(f.nodes[at].votes, vote{t, weights[i]})
	}
	return nil
}

// regress is the transformed scores of every row, with the base values added.
func (f *forest) regress(e *Eval, m features, aggregate, post string, base []float64) ([]float64, error) {
	if len(base) > 1 && len(base) != f.targets {
		return nil, fmt.Errorf("%d base values for %d targets", len(base), f.targets)
	}
	if err := e.Fits(tensor.Float64, []int{m.n, f.targets}); err != nil {
		return nil, err
	}
	var y []float64
	for i := range m.n {
		s, _, err := f.scores(m.row(i), aggregate)
		if err != nil {
			return nil, err
		}
		for k := range s {
			if len(base) > 0 {
				s[k] += base[k%len(base)]
			}
		}
		if err := postTransform(post, s); err != nil {
			return nil, err
		}
		y = append(y, s...)
	}
	return y, nil
}

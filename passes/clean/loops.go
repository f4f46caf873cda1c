package clean

import (
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/rewrite"
)

// maxTurns bounds the turns of a Loop that is unrolled.
const maxTurns = 64

// unrollLoop handles a Loop whose number of turns is constant: none, one, or so
// many that unrolled it has fewer nodes. It says why it leaves another alone.
func unrollLoop(e *rewrite.Editor, n *graph.Node) {
	body := n.Attr("body")
	if body == nil || body.G == nil || len(body.G.Inputs()) != len(n.Inputs()) {
		return
	}
	trip, cond := e.Shape.Const(n.In(0)), e.Shape.Const(n.In(1))
	if trip == nil || trip.Len() != 1 || n.In(1) != nil && (cond == nil || cond.Len() != 1) {
		e.Kept(n, "not unrolled: how often it runs is not constant")
		return
	}
	turns := trip.Ints()[0]
	if cond != nil && !cond.Bools()[0] {
		turns = 0
	}
	states := len(body.G.Inputs()) - 2
	switch {
	case turns <= 0 && len(n.Outputs()) <= states:
		if e.Allow() {
			replaceOutputs(e, n, "the loop never runs", func(i int) *graph.Value { return n.In(i + 2) })
		}
	case turns <= 0:
		e.Kept(n, "never runs, but has outputs of no turns")
	case turns > maxTurns:
		e.Kept(n, "not unrolled: it may run more than %d times", maxTurns)
	case turns > 1 && !staysTrue(e, body.G):
		e.Kept(n, "not unrolled: its body computes when it ends")
	case turns > 1 && !shrinks(e, n, body.G, int(turns)):
		e.Kept(n, "not unrolled: %d copies of its body are more nodes", turns)
	case e.Allow():
		unroll(e, n, body.G, int(turns))
	}
}

// staysTrue reports that a loop body never ends the loop.
func staysTrue(e *rewrite.Editor, body *graph.Graph) bool {
	v := body.Outputs()[0]
	for v.Def() != nil && v.Def().Is("Identity") {
		v = v.Def().In(0)
	}
	c := e.Shape.Const(v)
	return v == body.Inputs()[1] || c != nil && c.Len() == 1 && c.Bools()[0]
}

// shrinks reports that turns copies of what does not fold away in the body of n
// are fewer nodes than the loop.
func shrinks(e *rewrite.Editor, n *graph.Node, body *graph.Graph, turns int) bool {
	constant := constantStates(e, n, body)
	whole, left := 1, 0
	for k := range body.All() {
		whole++
		if !constant[k.Out(0)] && !k.Is("Identity") {
			left++
		}
	}
	states := len(body.Inputs()) - 2
	joins := len(n.Outputs()) - states // a Concat of each scan output, and an Unsqueeze in each turn
	return turns*(left+joins)+joins < whole
}

// maxFolded bounds the values of a loop body that count as folded away.
const maxFolded = 64

// constantStates is the values in the body of n that are constants in every
// turn, because they depend on the number of the turn and on constants only.
func constantStates(e *rewrite.Editor, n *graph.Node, body *graph.Graph) map[*graph.Value]bool {
	in, out := body.Inputs(), body.Outputs()
	varies := map[*graph.Value]bool{}
	for i := range len(in) - 2 {
		varies[in[i+2]] = e.Shape.Const(n.In(i+2)) == nil
	}
	for {
		constant := map[*graph.Value]bool{in[0]: true, in[1]: true}
		for v, no := range varies {
			constant[v] = !no
		}
		for k := range body.Nodes() {
			if folds(e, k, constant) {
				for _, v := range k.Outputs() {
					constant[v] = v != nil
				}
			}
		}
		again := false
		for i := range len(in) - 2 {
			if v := in[i+2]; !varies[v] && !constant[out[i+1]] && e.Shape.Const(out[i+1]) == nil {
				varies[v], again = true, true
			}
		}
		if !again {
			return constant
		}
	}
}

// folds reports that constant folding computes k from the given constants.
func folds(e *rewrite.Editor, k *graph.Node, constant map[*graph.Value]bool) bool {
	r, err := op.Resolve(k, e.Model.Opset)
	if err != nil || r.Eval == nil || r.Flags&(op.Random|op.Control) != 0 || k.Is("DequantizeLinear") {
		return false
	}
	for _, v := range k.Inputs() {
		if v != nil && !constant[v] && e.Shape.Const(v) == nil {
			return false
		}
	}
	return !slices.ContainsFunc(k.Outputs(), func(v *graph.Value) bool {
		if v == nil {
			return false
		}
		shape, ok := e.Type(v).Static()
		count, err := tensor.Count(shape)
		return !ok || err != nil || count > maxFolded
	})
}

// unroll puts so many copies of the body in place of n.
func unroll(e *rewrite.Editor, n *graph.Node, body *graph.Graph, turns int) {
	in, out := body.Inputs(), body.Outputs()
	states := slices.Clone(n.Inputs()[2:])
	scans := make([][]*graph.Value, len(out)-1-len(states))
	for t := range turns {
		mapped := map[*graph.Value]*graph.Value{in[0]: e.Const(n, tensor.Scalar(int64(t))), in[1]: e.Const(n, tensor.FromBools(nil, []bool{true}))}
		for i, v := range states {
			mapped[in[i+2]] = v
		}
		insert(n, body, mapped)
		for i := range states {
			states[i] = through(mapped, out[i+1])
		}
		for i := range scans {
			scans[i] = append(scans[i], unsqueezed(e, n, through(mapped, out[1+len(states)+i])))
		}
	}
	replaceOutputs(e, n, fmt.Sprintf("the loop's body inlined for its %d turns", turns), func(i int) *graph.Value {
		switch {
		case i < len(states):
			return states[i]
		case turns == 1:
			return scans[i-len(states)][0]
		}
		parts := scans[i-len(states)]
		return n.Graph().Add(n, "Concat", parts[0].Name, parts, graph.Int("axis", 0))
	})
}

// unsqueezed is v with an axis of size 1 before the others, before n.
func unsqueezed(e *rewrite.Editor, n *graph.Node, v *graph.Value) *graph.Value {
	if e.Opset() < 13 {
		return n.Graph().Add(n, "Unsqueeze", v.Name, []*graph.Value{v}, graph.Ints("axes", 0))
	}
	return n.Graph().Add(n, "Unsqueeze", v.Name, []*graph.Value{v, e.Ints(n, 0)})
}

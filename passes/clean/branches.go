package clean

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/passes/rewrite"
)

// swapBranches makes If(Not(c)) an If(c) with its branches exchanged.
func swapBranches(e *rewrite.Editor, n *graph.Node) {
	not := n.In(0).Def()
	if not == nil || !not.Is("Not") || !e.Allow() {
		return
	}
	n.SetIn(0, not.In(0))
	for _, a := range n.Attrs {
		switch a.Name {
		case "then_branch":
			a.Name = "else_branch"
		case "else_branch":
			a.Name = "then_branch"
		}
	}
	e.Changed(n, "branches exchanged in place of %s", not.Title())
	e.KeepShapes(e.Shape)
	e.Drop(not)
}

// rankTest replaces Equal(Size(Shape(x)), k), of an x that an If computes with
// another rank in each branch, by the condition of that If.
func rankTest(e *rewrite.Editor, n *graph.Node) {
	size, k := n.In(0), e.Shape.Const(n.In(1))
	if k == nil {
		size, k = n.In(1), e.Shape.Const(n.In(0))
	}
	if k == nil || k.Len() != 1 || size == nil || size.Def() == nil || !size.Def().Is("Size") || !onlyConditions(n.Out(0)) {
		return
	}
	shape := size.Def().In(0).Def()
	if shape == nil || !shape.Is("Shape") || len(shape.Attrs) > 0 || shape.In(0).Def() == nil || !shape.In(0).Def().Is("If") {
		return
	}
	x := shape.In(0)
	branches := branchesOf(x.Def())
	if branches[0] == nil || branches[1] == nil {
		return
	}
	then, other := e.Rank(branches[0].Outputs()[x.Slot()]), e.Rank(branches[1].Outputs()[x.Slot()])
	want := int(k.Ints()[0])
	if then < 0 || other < 0 || then == other || want != then && want != other || !e.Allow() {
		return
	}
	v := x.Def().In(0)
	if want == other {
		v = e.Add(n, "Not", []*graph.Value{v})
	}
	e.Replace(n, n.Out(0), v, "is the condition of %s, whose branches have ranks %d and %d", x.Def().Title(), then, other)
}

// onlyConditions reports that v is read only as a condition of If, perhaps
// negated, where one element of any shape will do.
func onlyConditions(v *graph.Value) bool {
	for _, u := range v.Uses() {
		if u.Node == nil || !u.Node.Is("If") && !(u.Node.Is("Not") && onlyConditions(u.Node.Out(0))) {
			return false
		}
	}
	return true
}

// branchesOf is the branches of an If, nil where there is none.
func branchesOf(n *graph.Node) (b [2]*graph.Graph) {
	for i, name := range []string{"then_branch", "else_branch"} {
		if a := n.Attr(name); a != nil {
			b[i] = a.G
		}
	}
	return b
}

// mergeIfs joins n with an earlier If of the same condition, when all that n
// reads is there already or is a result of that If, and drops results that
// nothing reads.
func mergeIfs(e *rewrite.Editor, n *graph.Node) {
	g := n.Graph()
	for _, u := range n.In(0).Uses() {
		first := u.Node
		if first == nil || first == n || !first.Is("If") || first.Graph() != g || !before(first, n) || !e.Allow() || !readyAt(first, n) {
			continue
		}
		combine(e, []*graph.Node{first, n}, "merged with "+first.Title())
		return
	}
	used, unread := 0, 0
	for _, v := range n.Outputs() {
		if v != nil && len(v.Uses()) > 0 {
			used++
		} else {
			unread++
		}
	}
	if used > 0 && unread > 0 && e.Allow() {
		combine(e, []*graph.Node{n}, "results dropped that nothing reads")
	}
}

// maxMoved bounds the nodes that are moved to make Ifs neighbours.
const maxMoved = 16

// readyAt makes n ready to stand right behind first, by moving what it reads
// before first, and reports whether that is possible.
func readyAt(first, n *graph.Node) bool {
	between, ok := map[*graph.Node]bool{}, true
	for k := first.Next(); k != nil && k != n; k = k.Next() {
		between[k] = true
	}
	needed := map[*graph.Node]bool{}
	var need func(v *graph.Value)
	need = func(v *graph.Value) {
		d := v.Def()
		if d == nil || !between[d] || needed[d] {
			return
		}
		needed[d] = true
		ok = ok && len(needed) <= maxMoved
		each := func(w *graph.Value) {
			ok = ok && w.Def() != first
			if ok {
				need(w)
			}
		}
		for _, w := range d.Inputs() {
			if w != nil {
				each(w)
			}
		}
		d.Captures(each)
	}
	n.Captures(need)
	if !ok {
		return false
	}
	for k := first.Next(); k != nil && k != n; {
		next := k.Next()
		if needed[k] {
			n.Graph().MoveBefore(first, k)
		}
		k = next
	}
	return true
}

// combine puts one If in place of several of one condition, each of which
// stands ready behind the one before.
func combine(e *rewrite.Editor, ifs []*graph.Node, detail string) {
	at, last := ifs[0], ifs[len(ifs)-1]
	g := at.Graph()
	var kept []*graph.Value // results that something else reads
	for _, n := range ifs {
		for _, v := range n.Outputs() {
			if v != nil && readOutside(v, g, ifs) {
				kept = append(kept, v)
			}
		}
	}
	var branches [2]*graph.Graph
	for i := range branches {
		if branchesOf(at)[i] == nil || branchesOf(last)[i] == nil || len(kept) == 0 {
			return
		}
		branches[i] = joinBranches(g, ifs, i, kept)
	}
	names := make([]string, len(kept))
	for i, v := range kept {
		names[i] = g.Fresh(v.Name)
	}
	k := g.NewNode("If", []*graph.Value{at.In(0)}, names, graph.GraphAttr("then_branch", branches[0]), graph.GraphAttr("else_branch", branches[1]))
	k.Name = at.Name
	g.InsertBefore(at, k)
	e.Shape.Update(k)
	for i, v := range kept {
		v.Supersede(k.Out(i))
	}
	e.Changed(last, "%s", detail)
	e.KeepShapes(e.Shape)
	for _, n := range slices.Backward(ifs) {
		e.Drop(n)
	}
}

// readOutside reports that something but the subgraphs of ifs reads v.
func readOutside(v *graph.Value, g *graph.Graph, ifs []*graph.Node) bool {
	for _, u := range v.Uses() {
		if u.Node == nil && u.Graph == g {
			return true
		}
		at, holder := u.Graph, u.Node
		if holder != nil {
			at = holder.Graph()
		}
		for at != g && at != nil {
			holder = at.Parent()
			at = holder.Graph()
		}
		if !slices.Contains(ifs, holder) {
			return true
		}
	}
	return false
}

// joinBranches is branch i of all ifs as one graph with the results kept.
func joinBranches(g *graph.Graph, ifs []*graph.Node, i int, kept []*graph.Value) *graph.Graph {
	sub := g.NewSubgraph(branchesOf(ifs[0])[i].Name)
	mapped := map[*graph.Value]*graph.Value{}
	info := map[*graph.Value]graph.Type{}
	for _, n := range ifs {
		b := branchesOf(n)[i]
		for v := range b.Initializers() {
			d := *v.Data
			mapped[v] = sub.AddInitializer(v.Name, &d)
		}
		for m := range b.Nodes() {
			k := sub.CloneNode(m, mapped)
			rename(sub, k)
			sub.InsertBefore(nil, k)
		}
		for slot, v := range n.Outputs() {
			if v != nil {
				mapped[v] = through(mapped, b.Outputs()[slot])
				info[v] = b.OutputInfo(slot).Type
			}
		}
	}
	for _, v := range kept {
		o := mapped[v]
		if o.Def() == nil || o.Graph() != sub || o.IsOutput() {
			o = sub.Add(nil, "Identity", v.Name, []*graph.Value{o})
		}
		o.Type = info[v]
		sub.AddOutput(o)
	}
	return sub
}

// before reports that a stands before b in their graph.
func before(a, b *graph.Node) bool {
	for n := a.Next(); n != nil; n = n.Next() {
		if n == b {
			return true
		}
	}
	return false
}

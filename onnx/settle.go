package onnx

import (
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
)

// settle checks what single messages do not show, cycles and recursion, and
// makes the promises of Verify true: node order and names that no enclosing
// graph has.
func settle(m *graph.Model) error {
	if err := settleGraph(m, m.Graph); err != nil {
		return err
	}
	for _, f := range m.Functions {
		if err := settleGraph(m, f.Body); err != nil {
			return fmt.Errorf("function %s: %w", printable(f.Name), err)
		}
	}
	return recursion(m)
}

func settleGraph(m *graph.Model, g *graph.Graph) error {
	if !ordered(g, map[*graph.Node]bool{}) {
		m.Repaired = append(m.Repaired, fmt.Sprintf("graph %s: nodes stand before nodes that they read", printable(g.Name)))
		if err := g.Sort(); err != nil {
			return fmt.Errorf("%s", printable(err.Error()))
		}
	}
	unhide(m, g, map[string]bool{})
	return nil
}

// ordered reports that every node follows those that it reads, also through
// its subgraphs.
func ordered(g *graph.Graph, done map[*graph.Node]bool) bool {
	ready := func(v *graph.Value) bool { return v == nil || v.Def() == nil || done[v.Def()] }
	for n := range g.Nodes() {
		for _, v := range n.Inputs() {
			if !ready(v) {
				return false
			}
		}
		for sub := range n.Subgraphs() {
			if !ordered(sub, done) {
				return false
			}
		}
		done[n] = true
	}
	for _, v := range g.Outputs() {
		if !ready(v) {
			return false
		}
	}
	return true
}

// unhide renames values of subgraphs that hide one of an enclosing graph.
// Links do not go by names, so nothing else changes.
func unhide(m *graph.Model, g *graph.Graph, outer map[string]bool) {
	var mine []string
	for v := range g.Values() {
		if outer[v.Name] {
			m.Repaired = append(m.Repaired, fmt.Sprintf("graph %s: value %s hides one of an enclosing graph", printable(g.Name), printable(v.Name)))
			v.Name = g.Fresh(v.Name)
		}
		mine = append(mine, v.Name)
		outer[v.Name] = true
	}
	for n := range g.Nodes() {
		for sub := range n.Subgraphs() {
			unhide(m, sub, outer)
		}
	}
	for _, name := range mine {
		delete(outer, name)
	}
}

type functionID struct{ domain, name, overload string }

// maxExpanded bounds the nodes of a model with every call in the place of the
// function's body.
const maxExpanded = 1 << 24

// recursion refuses functions that are defined twice, call themselves, or
// multiply beyond maxExpanded.
func recursion(m *graph.Model) error {
	if len(m.Functions) == 0 {
		return nil
	}
	index := map[functionID]int{}
	for i, f := range m.Functions {
		id := functionID{graph.CanonicalDomain(f.Domain), f.Name, f.Overload}
		if _, twice := index[id]; twice {
			return fmt.Errorf("function %s is defined twice", printable(f.Name))
		}
		index[id] = i
	}
	calls := make([][]int, len(m.Functions))
	callers := make([]int, len(m.Functions)) // how many functions call this one
	for i, f := range m.Functions {
		for n := range f.Body.All() {
			if k, ok := index[functionID{graph.CanonicalDomain(n.Domain), n.Op, n.Overload}]; ok {
				calls[i] = append(calls[i], k)
				callers[k]++
			}
		}
	}
	var free, order []int // order has callers before what they call
	for i, c := range callers {
		if c == 0 {
			free = append(free, i)
		}
	}
	for len(free) > 0 {
		i := free[len(free)-1]
		free = free[:len(free)-1]
		order = append(order, i)
		for _, k := range calls[i] {
			if callers[k]--; callers[k] == 0 {
				free = append(free, k)
			}
		}
	}
	for i, c := range callers {
		if c > 0 {
			return fmt.Errorf("function %s calls itself, or is called by functions that do", printable(m.Functions[i].Name))
		}
	}
	return expansion(m, index, order)
}

// expansion counts the nodes of the model with every call expanded.
func expansion(m *graph.Model, index map[functionID]int, order []int) error {
	size := make([]int, len(m.Functions))
	count := func(g *graph.Graph) (nodes int) {
		for n := range g.All() {
			nodes++
			if k, ok := index[functionID{graph.CanonicalDomain(n.Domain), n.Op, n.Overload}]; ok {
				nodes += size[k]
			}
			nodes = min(nodes, maxExpanded+1)
		}
		return nodes
	}
	for _, i := range slices.Backward(order) {
		size[i] = count(m.Functions[i].Body)
	}
	if count(m.Graph) > maxExpanded {
		return fmt.Errorf("its functions expand to more than %d nodes", maxExpanded)
	}
	return nil
}

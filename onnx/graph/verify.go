package graph

import "fmt"

// Verify checks the structure of m: names unique within their scope, nodes in
// topological order, def and use links mutual, outputs produced, captures in
// scope. It returns the first violation.
func (m *Model) Verify() error {
	if m.Graph == nil {
		return fmt.Errorf("model has no graph")
	}
	if err := m.Graph.verify(map[*Value]bool{}, map[string]bool{}); err != nil {
		return err
	}
	for _, f := range m.Functions {
		if err := f.Body.verify(map[*Value]bool{}, map[string]bool{}); err != nil {
			return fmt.Errorf("function %s: %w", f.Name, err)
		}
	}
	return nil
}

// verify checks g, with the values and names that enclosing graphs have so
// far. Both are restored before it returns.
func (g *Graph) verify(scope map[*Value]bool, names map[string]bool) error {
	var mine []*Value
	define := func(v *Value) error {
		if names[v.Name] || v.Name == "" {
			return fmt.Errorf("value name %q is not unique", v.Name)
		}
		if v.graph != g {
			return fmt.Errorf("value %s belongs to another graph", v.Name)
		}
		names[v.Name], scope[v] = true, true
		mine = append(mine, v)
		return v.verifyUses()
	}
	defer func() {
		for _, v := range mine {
			delete(names, v.Name)
			delete(scope, v)
		}
	}()
	for _, v := range g.inputs {
		if err := define(v); err != nil {
			return err
		}
	}
	for v := range g.Initializers() {
		if v.input {
			continue
		}
		if err := define(v); err != nil {
			return err
		}
	}
	count := 0
	for n := range g.Nodes() {
		count++
		if err := n.verify(g, scope, names); err != nil {
			return err
		}
		for i, v := range n.out {
			if v == nil {
				continue
			}
			if v.def != n || v.slot != i {
				return fmt.Errorf("node %s: output %s has another definition", n.Title(), v.Name)
			}
			if err := define(v); err != nil {
				return fmt.Errorf("node %s: %w", n.Title(), err)
			}
		}
	}
	if count != g.count {
		return fmt.Errorf("graph %s counts %d nodes, has %d", g.Name, g.count, count)
	}
	return g.verifyOutputs(scope)
}

func (g *Graph) verifyOutputs(scope map[*Value]bool) error {
	for i, v := range g.outputs {
		if !scope[v] {
			return fmt.Errorf("graph output %s is produced by nothing", v.Name)
		}
		if k := g.outPos[i]; k >= len(v.uses) || v.uses[k] != (Use{Graph: g, Index: i}) {
			return fmt.Errorf("graph output %s is not linked", v.Name)
		}
	}
	return nil
}

func (v *Value) verifyUses() error {
	for k, u := range v.uses {
		switch {
		case u.Node == nil && (u.Index >= len(u.Graph.outputs) || u.Graph.outputs[u.Index] != v):
			return fmt.Errorf("value %s: stale use as output %d of graph %s", v.Name, u.Index, u.Graph.Name)
		case u.Node != nil && (u.Node.graph == nil || u.Node.In(u.Index) != v || u.Node.usePos[u.Index] != k):
			return fmt.Errorf("value %s: stale use by node %s", v.Name, u.Node.Title())
		}
	}
	return nil
}

func (n *Node) verify(g *Graph, scope map[*Value]bool, names map[string]bool) error {
	if n.graph != g {
		return fmt.Errorf("node %s belongs to another graph", n.Title())
	}
	for i, v := range n.in {
		if v == nil {
			continue
		}
		if !scope[v] {
			return fmt.Errorf("node %s: input %s is not defined before it", n.Title(), v.Name)
		}
		if n.usePos[i] >= len(v.uses) || v.uses[n.usePos[i]] != (Use{Node: n, Index: i}) {
			return fmt.Errorf("node %s: input %s is not linked back", n.Title(), v.Name)
		}
	}
	for sub := range n.Subgraphs() {
		if sub.parent != n {
			return fmt.Errorf("node %s: subgraph %s has another parent", n.Title(), sub.Name)
		}
		if err := sub.verify(scope, names); err != nil {
			return fmt.Errorf("node %s: graph %s: %w", n.Title(), sub.Name, err)
		}
	}
	return nil
}

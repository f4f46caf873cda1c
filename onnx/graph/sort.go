package graph

import (
	"container/heap"
	"fmt"
)

// Sort orders the nodes of g and its subgraphs topologically, keeping the
// present order where it is free. It fails on a cycle, naming a node of it,
// and changes nothing then.
func (g *Graph) Sort() error {
	order, err := g.topological()
	if err != nil {
		return err
	}
	for n := range g.Nodes() {
		for sub := range n.Subgraphs() {
			if err := sub.Sort(); err != nil {
				return err
			}
		}
	}
	g.Order(order)
	return nil
}

func (g *Graph) topological() ([]*Node, error) {
	index := make(map[*Node]int, g.count)
	for n := range g.Nodes() {
		index[n] = len(index)
	}
	waits := make([]int, len(index))
	readers := make([][]int, len(index))
	nodes := make([]*Node, len(index))
	for n, i := range index {
		nodes[i] = n
	}
	for i, n := range nodes {
		n.eachRead(func(v *Value) {
			if d, ok := index[v.def]; ok && v.def != nil {
				waits[i]++
				readers[d] = append(readers[d], i)
			}
		})
	}
	var ready intHeap
	for i, w := range waits {
		if w == 0 {
			ready = append(ready, i)
		}
	}
	heap.Init(&ready)
	order := make([]*Node, 0, len(nodes))
	for len(ready) > 0 {
		i := heap.Pop(&ready).(int)
		order = append(order, nodes[i])
		for _, r := range readers[i] {
			if waits[r]--; waits[r] == 0 {
				heap.Push(&ready, r)
			}
		}
	}
	if len(order) < len(nodes) {
		for i, w := range waits {
			if w > 0 {
				return nil, fmt.Errorf("node %s is part of a cycle or depends on one", nodes[i].Title())
			}
		}
	}
	return order, nil
}

// eachRead visits the values that n and its subgraphs read.
func (n *Node) eachRead(f func(*Value)) {
	for _, v := range n.in {
		if v != nil {
			f(v)
		}
	}
	for sub := range n.Subgraphs() {
		for _, v := range sub.outputs {
			f(v)
		}
		for m := range sub.Nodes() {
			m.eachRead(f)
		}
	}
}

// Captures visits the values of enclosing graphs that n's subgraphs read;
// a value can come more than once.
func (n *Node) Captures(f func(*Value)) {
	for sub := range n.Subgraphs() {
		inside := func(g *Graph) bool {
			for ; g != nil; g = g.up() {
				if g == sub {
					return true
				}
			}
			return false
		}
		visit := func(v *Value) {
			if !inside(v.graph) {
				f(v)
			}
		}
		for _, v := range sub.outputs {
			visit(v)
		}
		for m := range sub.Nodes() {
			m.eachRead(visit)
		}
	}
}

func (g *Graph) up() *Graph {
	if g.parent == nil {
		return nil
	}
	return g.parent.graph
}

type intHeap []int

func (h intHeap) Len() int           { return len(h) }
func (h intHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h intHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *intHeap) Push(x any)        { *h = append(*h, x.(int)) }
func (h *intHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

package graph

import (
	"slices"

	"onnxopt/onnx/tensor"
)

// AttrKind is the type of an attribute, numbered as
// AttributeProto.AttributeType.
type AttrKind uint8

const (
	AttrUndefined AttrKind = 0
	AttrFloat     AttrKind = 1
	AttrInt       AttrKind = 2
	AttrString    AttrKind = 3
	AttrTensor    AttrKind = 4
	AttrGraph     AttrKind = 5
	AttrFloats    AttrKind = 6
	AttrInts      AttrKind = 7
	AttrStrings   AttrKind = 8
	AttrTensors   AttrKind = 9
	AttrGraphs    AttrKind = 10
	AttrSparse    AttrKind = 11
	AttrSparses   AttrKind = 12
	AttrType      AttrKind = 13
	AttrTypes     AttrKind = 14
)

// Attr is an AttributeProto: the field that Kind names is set, or Ref in the
// body of a function.
type Attr struct {
	Name    string
	Kind    AttrKind
	F       float32
	I       int64
	S       string // any bytes
	T       *Data  // AttrTensor, AttrSparse
	G       *Graph
	Floats  []float32
	Ints    []int64
	Strings []string
	Tensors []*Data // AttrTensors, AttrSparses
	Graphs  []*Graph
	Type    *Type
	Types   []*Type
	Ref     string // the function's attribute that gives the value
	Doc     string
	Extra   Extra
}

// Constructors of attributes.

func Float(name string, v float32) *Attr { return &Attr{Name: name, Kind: AttrFloat, F: v} }
func Int(name string, v int64) *Attr     { return &Attr{Name: name, Kind: AttrInt, I: v} }
func Str(name, v string) *Attr           { return &Attr{Name: name, Kind: AttrString, S: v} }
func Floats(name string, v ...float32) *Attr {
	return &Attr{Name: name, Kind: AttrFloats, Floats: v}
}
func Ints(name string, v ...int64) *Attr { return &Attr{Name: name, Kind: AttrInts, Ints: v} }
func Strs(name string, v ...string) *Attr {
	return &Attr{Name: name, Kind: AttrStrings, Strings: v}
}
func TensorAttr(name string, t *tensor.Tensor) *Attr {
	return &Attr{Name: name, Kind: AttrTensor, T: &Data{Tensor: t}}
}
func GraphAttr(name string, g *Graph) *Attr { return &Attr{Name: name, Kind: AttrGraph, G: g} }

// Attr is the attribute with a name, nil if n has none.
func (n *Node) Attr(name string) *Attr {
	for _, a := range n.Attrs {
		if a.Name == name {
			return a
		}
	}
	return nil
}

// Int is an integer attribute or, when absent, def. Defaults of the schema are
// op's matter.
func (n *Node) Int(name string, def int64) int64 {
	if a := n.Attr(name); a != nil && a.Kind == AttrInt {
		return a.I
	}
	return def
}

// Float is a float attribute or def.
func (n *Node) Float(name string, def float32) float32 {
	if a := n.Attr(name); a != nil && a.Kind == AttrFloat {
		return a.F
	}
	return def
}

// Str is a string attribute or def.
func (n *Node) Str(name, def string) string {
	if a := n.Attr(name); a != nil && a.Kind == AttrString {
		return a.S
	}
	return def
}

// Ints is an integer list attribute, nil when absent.
func (n *Node) Ints(name string) []int64 {
	if a := n.Attr(name); a != nil {
		return a.Ints
	}
	return nil
}

// SetAttr adds a or replaces the attribute of the same name. Graphs that a
// holds become subgraphs of n.
func (n *Node) SetAttr(a *Attr) {
	n.RemoveAttr(a.Name)
	n.Attrs = append(n.Attrs, a)
	n.adopt(a)
}

func (n *Node) adopt(a *Attr) {
	if a.G != nil {
		a.G.parent = n
	}
	for _, g := range a.Graphs {
		g.parent = n
	}
}

// RemoveAttr drops an attribute; what its subgraphs use of outer values is
// released.
func (n *Node) RemoveAttr(name string) {
	n.Attrs = slices.DeleteFunc(n.Attrs, func(a *Attr) bool {
		if a.Name != name {
			return false
		}
		a.release()
		return true
	})
}

func (a *Attr) release() {
	if a.G != nil {
		a.G.release()
	}
	for _, g := range a.Graphs {
		g.release()
	}
}

// Clone copies a with its lists, sharing tensors. Graphs are not cloned: see
// CloneGraph.
func (a *Attr) Clone() *Attr {
	c := *a
	c.Floats, c.Ints, c.Strings = slices.Clone(a.Floats), slices.Clone(a.Ints), slices.Clone(a.Strings)
	return &c
}

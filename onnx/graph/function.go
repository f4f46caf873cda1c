package graph

import "fmt"

// Instantiate is the body of f for one call n: attribute references are
// replaced by n's attributes or f's defaults. The result is a graph of its
// own, with n's inputs as formal inputs.
func (f *Function) Instantiate(n *Node) (*Graph, error) {
	g := f.Body.cloneInto(f.Body.names.clone(), map[*Value]*Value{})
	given := map[string]*Attr{}
	for _, a := range f.Defaults {
		given[a.Name] = a
	}
	for _, a := range n.Attrs {
		given[a.Name] = a
	}
	for m := range g.All() {
		kept := m.Attrs[:0]
		for _, a := range m.Attrs {
			if a.Ref == "" {
				kept = append(kept, a)
				continue
			}
			v := given[a.Ref]
			if v == nil {
				continue // absent in the call: absent in the body
			}
			if v.G != nil || v.Graphs != nil {
				return nil, fmt.Errorf("function %s: attribute %s passes a graph", f.Name, a.Ref)
			}
			c := v.Clone()
			c.Name = a.Name
			kept = append(kept, c)
		}
		m.Attrs = kept
	}
	return g, nil
}

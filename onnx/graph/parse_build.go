package graph

import "fmt"

// names finds values by name: those of one graph, then of the enclosing ones.
type names struct {
	values map[string]*Value
	outer  *names
}

func (s *names) find(name string) *Value {
	for ; s != nil; s = s.outer {
		if v := s.values[name]; v != nil {
			return v
		}
	}
	return nil
}

// failAt records an error at a position of the text.
func (p *parser) failAt(pos int, format string, args ...any) {
	if p.err == nil {
		p.pos = pos
		p.fail("%s", fmt.Sprintf(format, args...))
	}
}

// build links the names of t. The values of a function have no types but
// those in infos.
func (p *parser) build(t *graphText, g *Graph, outer *names, function bool) {
	if p.err != nil {
		return
	}
	s := &names{map[string]*Value{}, outer}
	for _, in := range t.inputs {
		typ := in.typ
		if function {
			typ = Type{}
		}
		if s.values[in.name] != nil || in.name == "" {
			p.failAt(in.pos, "input %q is not unique", in.name)
			return
		}
		v := g.AddInput(in.name, typ)
		s.values[in.name] = v
		if in.data != nil {
			g.SetDefault(v, in.data)
		}
	}
	for _, v := range t.infos {
		if v.data == nil {
			continue
		}
		switch old := s.values[v.name]; {
		case v.name == "" || old != nil && (old.Data != nil || !old.input):
			p.failAt(v.pos, "initializer %q is not unique", v.name)
		case old != nil:
			g.SetDefault(old, v.data)
		default:
			s.values[v.name] = g.LoadInitializer(v.name, v.data)
		}
	}
	p.buildNodes(t, g, s)
	for i, out := range t.outputs {
		v := s.find(out.name)
		if v == nil {
			p.failAt(out.pos, "output %q is produced by nothing", out.name)
			return
		}
		g.AddOutput(v)
		switch {
		case function:
		case v.graph != g || v.input || v.Type.Known():
			g.DescribeOutput(i, &Value{Name: v.Name, Type: out.typ})
		default:
			v.Type = out.typ
		}
	}
	for _, info := range t.infos {
		if v := s.values[info.name]; v == nil {
			p.failAt(info.pos, "value %q is produced by nothing", info.name)
		} else if info.data == nil {
			if !v.Type.Known() {
				v.Type = info.typ
			}
			g.Declared = append(g.Declared, v)
		}
	}
}

func (p *parser) buildNodes(t *graphText, g *Graph, s *names) {
	nodes := make([]*Node, len(t.nodes))
	for i, q := range t.nodes {
		n := g.NewNode(q.op, nil, q.out)
		n.Name, n.Domain, n.Overload = q.name, q.domain, q.overload
		for _, v := range n.out {
			if v == nil {
				continue
			}
			if s.values[v.Name] != nil {
				p.failAt(q.pos, "output %q is defined twice", v.Name)
				return
			}
			s.values[v.Name] = v
		}
		g.InsertBefore(nil, n)
		nodes[i] = n
	}
	for i, q := range t.nodes {
		in := make([]*Value, len(q.in))
		for k, name := range q.in {
			if name == "" {
				continue
			}
			if in[k] = s.find(name); in[k] == nil {
				p.failAt(q.pos, "input %q is produced by nothing", name)
				return
			}
		}
		nodes[i].LoadInputs(in)
		nodes[i].LoadAttrs(p.buildAttrs(q.attrs, g, s))
	}
}

func (p *parser) buildAttrs(list []attrText, g *Graph, s *names) []*Attr {
	var out []*Attr
	seen := map[string]bool{}
	for _, a := range list {
		if a.Kind == AttrUndefined && a.Ref == "" {
			p.failAt(a.pos, "attribute %s has no value", a.Name)
		}
		if seen[a.Name] {
			p.failAt(a.pos, "attribute %s is given twice", a.Name)
		}
		seen[a.Name] = true
		for _, t := range a.graphs {
			if p.err != nil {
				return out
			}
			sub := g.NewSubgraph(t.name)
			p.build(t, sub, s, false)
			if a.Kind == AttrGraph {
				a.G = sub
			} else {
				a.Graphs = append(a.Graphs, sub)
			}
		}
		out = append(out, a.Attr)
	}
	return out
}

// Package trace shows the graph after each pass on a self-contained page.
package trace

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"onnxopt/onnx/graph"
)

//go:embed trace.html
var tracePage string

var traceTemplate = template.Must(template.New("trace").Parse(tracePage))

// Trace collects the graph after each pass, and writes a page with one column
// for each state of it. Runs of a pass that changed nothing join the column
// before.
type Trace struct {
	Title string
	steps []*step
	texts []string        // the lines of the last step
	lines map[string]bool // the same as a set
}

// step is one column.
type step struct {
	Name      string   // the pass that made this state
	Unchanged []string // later passes that left it as it is
	Nodes     int
	Added     int
	Gone      int      // lines of the step before that are gone
	Removed   []string // the first of them
	Lines     []line
}

// line is a node, or a number of nodes that are left out.
type line struct {
	Text  template.HTML
	New   bool
	Fold  int
	Depth int
}

const (
	// Up to so many nodes a column, or the first one, shows all; else changes
	// with a few lines around them.
	fullColumn, fullOriginal = 200, 2000
	around                   = 2
	// maxRemoved bounds the list of lines that a pass removed.
	maxRemoved = 200
)

// Add records the graph of m as the pass called name left it.
func (t *Trace) Add(name string, m *graph.Model) {
	texts, depths := nodeLines(m.Graph)
	now := make(map[string]bool, len(texts))
	added := 0
	for _, s := range texts {
		now[s] = true
		if len(t.steps) > 0 && !t.lines[s] {
			added++
		}
	}
	s := &step{Name: name, Nodes: len(texts), Added: added}
	if len(t.steps) > 0 {
		last := t.steps[len(t.steps)-1]
		for _, text := range t.texts {
			if now[text] {
				continue
			}
			if s.Gone++; s.Gone <= maxRemoved {
				s.Removed = append(s.Removed, text)
			}
		}
		if added == 0 && s.Gone == 0 {
			if n := len(last.Unchanged); n == 0 || last.Unchanged[n-1] != name {
				last.Unchanged = append(last.Unchanged, name)
			}
			return
		}
	}
	s.Lines = t.fold(texts, depths)
	t.steps, t.texts, t.lines = append(t.steps, s), texts, now
}

// fold leaves out unchanged lines far from changes in large graphs.
func (t *Trace) fold(texts []string, depths []int) []line {
	near := make([]bool, len(texts))
	for i, s := range texts {
		if len(texts) <= fullColumn || len(t.steps) == 0 && len(texts) <= fullOriginal || len(t.steps) > 0 && !t.lines[s] {
			for k := max(0, i-around); k <= min(len(texts)-1, i+around); k++ {
				near[k] = true
			}
		}
	}
	var out []line
	for i, s := range texts {
		switch last := len(out) - 1; {
		case near[i]:
			out = append(out, line{Text: marked(s), New: len(t.steps) > 0 && !t.lines[s], Depth: depths[i]})
		case last >= 0 && out[last].Fold > 0:
			out[last].Fold++
		default:
			out = append(out, line{Fold: 1})
		}
	}
	return out
}

// nodeLines is one line for each node, with the nesting of subgraphs.
func nodeLines(g *graph.Graph) (texts []string, depths []int) {
	var walk func(g *graph.Graph, depth int)
	walk = func(g *graph.Graph, depth int) {
		for n := range g.Nodes() {
			texts, depths = append(texts, nodeLine(n)), append(depths, depth)
			for sub := range n.Subgraphs() {
				walk(sub, depth+1)
			}
		}
	}
	walk(g, 0)
	return texts, depths
}

// nodeLine is outputs = Op<attributes>(inputs); tabs mark value names.
func nodeLine(n *graph.Node) string {
	var b strings.Builder
	names := func(list []*graph.Value) {
		for i, v := range list {
			if i > 0 {
				b.WriteString(", ")
			}
			if v != nil {
				fmt.Fprintf(&b, "\t%s\t", v.Name)
			}
		}
	}
	names(n.Outputs())
	fmt.Fprintf(&b, " = \v%s\v", n.Op)
	for i, a := range n.Attrs {
		b.WriteString(map[bool]string{true: "<", false: ", "}[i == 0])
		b.WriteString(a.Name)
		switch a.Kind {
		case graph.AttrInt:
			fmt.Fprintf(&b, "=%d", a.I)
		case graph.AttrFloat:
			fmt.Fprintf(&b, "=%g", a.F)
		case graph.AttrInts:
			fmt.Fprintf(&b, "=%d", a.Ints)
		case graph.AttrString:
			fmt.Fprintf(&b, "=%s", a.S)
		}
		if i == len(n.Attrs)-1 {
			b.WriteString(">")
		}
	}
	b.WriteString("(")
	names(n.Inputs())
	b.WriteString(")")
	return b.String()
}

// marked is a line as HTML: value names can be picked, operators stand out.
func marked(s string) template.HTML {
	var b strings.Builder
	for i, part := range strings.Split(s, "\t") {
		op := strings.Split(part, "\v")
		switch {
		case i%2 == 1:
			fmt.Fprintf(&b, "<i>%s</i>", template.HTMLEscapeString(part))
		case len(op) == 3:
			fmt.Fprintf(&b, "%s<b>%s</b>%s", template.HTMLEscapeString(op[0]), template.HTMLEscapeString(op[1]), template.HTMLEscapeString(op[2]))
		default:
			b.WriteString(template.HTMLEscapeString(part))
		}
	}
	return template.HTML(b.String())
}

// WriteHTML writes the page.
func (t *Trace) WriteHTML(w io.Writer) error {
	type column struct {
		*step
		List []template.HTML
	}
	var columns []column
	for _, s := range t.steps {
		c := column{step: s}
		for _, r := range s.Removed {
			c.List = append(c.List, marked(r))
		}
		columns = append(columns, c)
	}
	return traceTemplate.Execute(w, map[string]any{"Title": t.Title, "Columns": columns})
}

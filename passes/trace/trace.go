// Package trace shows the graph after each pass on a self-contained page.
package trace

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"unicode"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
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

// maxShown bounds the elements of a constant that are shown.
const maxShown = 4

// constantText is the elements of a small tensor, the type of a larger one.
func constantText(t *tensor.Tensor) string {
	if t.Len() > maxShown || t.Type == tensor.String || t.Type.IsComplex() {
		return t.String()
	}
	var list []string
	for i := range t.Len() {
		if t.Type.IsFloat() {
			list = append(list, fmt.Sprintf("%.6g", t.Floats()[i]))
		} else {
			list = append(list, fmt.Sprint(t.Ints()[i]))
		}
	}
	return "{" + strings.Join(list, ", ") + "}"
}

// nodeLine is outputs = Op<attributes>(inputs); tabs mark value names, form
// feeds what constants are.
func nodeLine(n *graph.Node) string {
	var b strings.Builder
	plain := func(s string) string { return strings.Join(strings.FieldsFunc(s, unicode.IsControl), " ") }
	names := func(list []*graph.Value) {
		for i, v := range list {
			if i > 0 {
				b.WriteString(", ")
			}
			if v == nil {
				continue
			}
			fmt.Fprintf(&b, "\t%s\t", plain(v.Name))
			if t := v.Const(); t != nil {
				fmt.Fprintf(&b, "\f%s\f", constantText(t))
			}
		}
	}
	names(n.Outputs())
	fmt.Fprintf(&b, " = \v%s\v", plain(n.Op))
	for i, a := range n.Attrs {
		b.WriteString(map[bool]string{true: "<", false: ", "}[i == 0])
		b.WriteString(plain(a.Name))
		switch a.Kind {
		case graph.AttrInt:
			fmt.Fprintf(&b, "=%d", a.I)
		case graph.AttrFloat:
			fmt.Fprintf(&b, "=%g", a.F)
		case graph.AttrInts:
			fmt.Fprintf(&b, "=%d", a.Ints)
		case graph.AttrString:
			fmt.Fprintf(&b, "=%s", plain(string(a.S)))
		case graph.AttrTensor:
			if a.T.Tensor != nil {
				fmt.Fprintf(&b, "=%s", constantText(a.T.Tensor))
			}
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

// marked is a line as HTML: value names can be picked, operators stand out, what
// constants are is in small.
func marked(s string) template.HTML {
	tags := map[rune]string{'\t': "i", '\v': "b", '\f': "small"}
	open := map[rune]bool{}
	var b strings.Builder
	for _, r := range s {
		tag := tags[r]
		switch {
		case tag == "":
			b.WriteString(template.HTMLEscapeString(string(r)))
		case open[r]:
			fmt.Fprintf(&b, "</%s>", tag)
		default:
			fmt.Fprintf(&b, "<%s>", tag)
		}
		open[r] = !open[r]
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

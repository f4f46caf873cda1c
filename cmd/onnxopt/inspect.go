package main

import (
	"cmp"
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/shape"
	"onnxopt/passes"
)

var inspectVerb = verb{
	name: "inspect", args: "MODEL", minArgs: 1, maxArgs: 1,
	doc:     "say what is in a model: inputs, outputs, operators, sizes, opset",
	example: "onnxopt inspect model.onnx",
	setup: func(f *pflag.FlagSet) func(*call) error {
		asJSON := f.Bool("json", false, "print as JSON")
		text := f.Bool("text", false, "print the graph in the ONNX text syntax")
		types := f.Bool("types", false, "list every value that a node computes, with its inferred type")
		return func(c *call) error { return inspect(c, *asJSON, *text, *types) }
	},
}

type inspection struct {
	File       string        `json:"file"`
	Bytes      int64         `json:"bytes"`
	IRVersion  int64         `json:"ir_version"`
	Opsets     []graph.Opset `json:"opsets"`
	Producer   string        `json:"producer,omitempty"`
	Inputs     []valueInfo   `json:"inputs"`
	Outputs    []valueInfo   `json:"outputs"`
	Nodes      int           `json:"nodes"`
	Parameters int           `json:"parameters"`
	Weights    int           `json:"weight_bytes"`
	Operators  []opCount     `json:"operators"`
	Unknown    []string      `json:"unknown_operators,omitempty"`
	Conflicts  []string      `json:"conflicts,omitempty"`
	Values     []valueInfo   `json:"values,omitempty"` // on demand
}

type valueInfo struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

type opCount struct {
	Op    string `json:"op"`
	Count int    `json:"count"`
}

func inspect(c *call, asJSON, text, types bool) error {
	m, err := loadModel(c.args[0])
	if err != nil {
		return err
	}
	if text {
		fmt.Fprintln(c.out, graph.Text(m))
		return nil
	}
	s := shape.Infer(m)
	r := inspection{File: c.args[0], Bytes: fileSize(c.args[0]), IRVersion: m.IRVersion, Opsets: m.Opsets, Producer: m.Producer,
		Nodes: nodes(m.Graph), Parameters: parameters(m.Graph)}
	for _, v := range m.Graph.Inputs() {
		r.Inputs = append(r.Inputs, valueInfo{v.Name, v.Type.String()})
	}
	for _, v := range m.Graph.Outputs() {
		r.Outputs = append(r.Outputs, valueInfo{v.Name, s.Type(v).Refine(v.Type).String()})
	}
	for v := range m.Graph.Initializers() {
		if v.Data.Tensor != nil {
			r.Weights += len(v.Data.Tensor.Bytes())
		}
	}
	count := map[string]int{}
	unknown := map[string]bool{}
	for n := range m.Graph.All() {
		name := n.Op
		if graph.CanonicalDomain(n.Domain) != "" {
			name = n.Domain + "." + n.Op
		}
		count[name]++
		if _, err := op.Resolve(n, m.Opset); err != nil && m.Function(n.Domain, n.Op, n.Overload) == nil {
			unknown[name] = true
		}
	}
	for _, name := range sortedKeys(count) {
		r.Operators = append(r.Operators, opCount{name, count[name]})
	}
	slices.SortStableFunc(r.Operators, func(a, b opCount) int { return cmp.Compare(b.Count, a.Count) })
	r.Unknown = sortedKeys(unknown)
	for _, e := range s.Conflicts {
		r.Conflicts = append(r.Conflicts, e.Error())
	}
	if types {
		for n := range m.Graph.All() {
			for _, v := range n.Outputs() {
				if v != nil {
					r.Values = append(r.Values, valueInfo{v.Name, s.Type(v).String()})
				}
			}
		}
	}
	if asJSON {
		return writeJSON(c.out, r)
	}
	r.print(c)
	return nil
}

func (r *inspection) print(c *call) {
	t := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "file\t%s, %s\n", r.File, bytesText(r.Bytes))
	fmt.Fprintf(t, "format\tIR version %d", r.IRVersion)
	for _, o := range r.Opsets {
		name := o.Domain
		if name == "" {
			name = "ai.onnx"
		}
		fmt.Fprintf(t, ", %s %d", name, o.Version)
	}
	fmt.Fprintf(t, "\nproducer\t%s\n", r.Producer)
	for _, v := range r.Inputs {
		fmt.Fprintf(t, "input\t%s: %s\n", v.Name, v.Type)
	}
	for _, v := range r.Outputs {
		fmt.Fprintf(t, "output\t%s: %s\n", v.Name, v.Type)
	}
	fmt.Fprintf(t, "weights\t%d parameters, %s\n", r.Parameters, bytesText(int64(r.Weights)))
	fmt.Fprintf(t, "nodes\t%d\n", r.Nodes)
	for _, o := range r.Operators {
		fmt.Fprintf(t, "\t%d %s\n", o.Count, o.Op)
	}
	for _, u := range r.Unknown {
		fmt.Fprintf(t, "unknown operator\t%s\n", u)
	}
	for _, e := range r.Conflicts {
		fmt.Fprintf(t, "conflict\t%s\n", e)
	}
	for _, v := range r.Values {
		fmt.Fprintf(t, "value\t%s: %s\n", v.Name, v.Type)
	}
	t.Flush()
}

var passesVerb = verb{
	name: "passes", args: "", doc: "list the passes and presets",
	example: "onnxopt passes",
	setup: func(f *pflag.FlagSet) func(*call) error {
		asJSON := f.Bool("json", false, "print as JSON")
		return func(c *call) error { return listPasses(c, *asJSON) }
	},
}

func listPasses(c *call, asJSON bool) error {
	type line struct {
		Name   string `json:"name"`
		Effect string `json:"effect"`
		Doc    string `json:"doc"`
	}
	var list []line
	for _, p := range passes.Table {
		list = append(list, line{p.Name, p.Effect.String(), p.Doc})
	}
	if asJSON {
		return writeJSON(c.out, struct {
			Passes  []line          `json:"passes"`
			Presets []passes.Preset `json:"presets"`
		}{list, passes.Presets})
	}
	t := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, l := range list {
		fmt.Fprintf(t, "%s\t%s\t%s\n", l.Name, l.Effect, l.Doc)
	}
	fmt.Fprintln(t)
	for _, p := range passes.Presets {
		fmt.Fprintf(t, "%s\tpreset\t%s\n", p.Name, p.Doc)
	}
	return t.Flush()
}

var opsVerb = verb{
	name: "ops", args: "", doc: "list the operators that are known, with their versions",
	example: "onnxopt ops",
	setup: func(f *pflag.FlagSet) func(*call) error {
		asJSON := f.Bool("json", false, "print as JSON")
		return func(c *call) error { return listOps(c, *asJSON) }
	},
}

func listOps(c *call, asJSON bool) error {
	type line struct {
		Domain    string  `json:"domain"`
		Name      string  `json:"name"`
		Versions  []int64 `json:"versions"`
		Evaluated bool    `json:"evaluated"`
		Inferred  bool    `json:"inferred"`
	}
	var list []line
	for _, part := range op.Table {
		for _, d := range part {
			l := line{Domain: d.Domain, Name: d.Name, Evaluated: d.Eval != nil, Inferred: d.Infer != nil}
			for _, v := range d.Versions {
				l.Versions = append(l.Versions, v.Since)
			}
			list = append(list, l)
		}
	}
	slices.SortFunc(list, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Name, b.Name))
	})
	if asJSON {
		return writeJSON(c.out, list)
	}
	t := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, l := range list {
		fmt.Fprintf(t, "%s\t%s\t%v\n", cmp.Or(l.Domain, "ai.onnx"), l.Name, l.Versions)
	}
	fmt.Fprintf(t, "%d operators\n", len(list))
	return t.Flush()
}

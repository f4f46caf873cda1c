package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"onnxopt/passes/quant"
)

var lintVerb = verb{
	name: "lint", args: "MODEL", minArgs: 1, maxArgs: 1,
	doc:     "say what a target refuses or does not run in integers in a quantized model, and why",
	example: "onnxopt lint --target openvino model.int8.onnx",
	setup: func(f *pflag.FlagSet) func(*call) error {
		target := f.String("target", "", "runtime, or all (default portable)")
		asJSON := f.Bool("json", false, "print as JSON")
		all := f.Bool("verbose", false, "list the nodes that run in integers too")
		return func(c *call) error { return lint(c, *target, *asJSON, *all) }
	},
}

// lint ends with code 2 where a target refuses the model.
func lint(c *call, target string, asJSON, verbose bool) error {
	m, err := loadModel(c.args[0])
	if err != nil {
		return err
	}
	list := []string{target}
	if target == "all" {
		list = targets()
	}
	refused := 0
	found := map[string][]quant.Finding{}
	t := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	for _, name := range list {
		p, err := quant.FindProfile(name)
		if err != nil {
			return err
		}
		found[p.Name] = quant.Lint(m, p)
		var count [4]int
		for _, f := range found[p.Name] {
			count[f.Verdict]++
			if f.Verdict != quant.Integer || verbose {
				fmt.Fprintf(t, "%s\t%v\t%s %s\t%s\n", p.Name, f.Verdict, f.Op, f.Node, f.Why)
			}
		}
		fmt.Fprintf(t, "%s\t\t\t%d in integers, %d in float, %d refused", p.Name, count[quant.Integer], count[quant.Float], count[quant.Refused])
		if n := count[quant.Requantized]; n > 0 {
			fmt.Fprintf(t, ", %d rounded by the target", n)
		}
		fmt.Fprintln(t)
		refused += count[quant.Refused]
	}
	if asJSON {
		if err := writeJSON(c.out, found); err != nil {
			return err
		}
	} else if err := t.Flush(); err != nil {
		return err
	}
	if refused > 0 {
		return refuse("%s: %d things that the target refuses", c.args[0], refused)
	}
	return nil
}

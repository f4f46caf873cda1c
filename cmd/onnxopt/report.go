package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"onnxopt/passes/pass"
	htmlreport "onnxopt/passes/report"
	"onnxopt/runtime/compare"
)

// report is the result of optimize, as --json prints it.
type report struct {
	Input    string             `json:"input"`
	Output   string             `json:"output"`
	Preset   string             `json:"preset,omitempty"`
	Written  bool               `json:"written"`
	Before   htmlreport.Figures `json:"before"`
	After    htmlreport.Figures `json:"after"`
	Compare  *compare.Result    `json:"compare,omitempty"`
	Warnings []string           `json:"warnings,omitempty"`
	Ledger   *pass.Ledger       `json:"ledger"`
}

func (r *report) print(w io.Writer, stats, quiet, verbose bool) {
	if !quiet {
		r.printNodes(w, verbose)
	}
	if stats {
		r.printStats(w)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\toriginal\toptimized\t\t\n")
	fmt.Fprintf(t, "file size\t%s\t%s\t%.3fx\t\n", bytesText(r.Before.Bytes), bytesText(r.After.Bytes), float64(r.After.Bytes)/float64(r.Before.Bytes))
	fmt.Fprintf(t, "parameters\t%d\t%d\t\t\n", r.Before.Parameters, r.After.Parameters)
	fmt.Fprintf(t, "nodes\t%d\t%d\t\t\n", r.Before.Nodes, r.After.Nodes)
	r.printCompare(t)
	t.Flush()
	r.printTensors(w)
	for _, warning := range r.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
	if r.Written {
		fmt.Fprintf(w, "wrote %s\n", r.Output)
	} else {
		fmt.Fprintf(w, "NOT WRITTEN: %s\n", r.Output)
	}
}

func (r *report) printCompare(t io.Writer) {
	c := r.Compare
	if c == nil {
		return
	}
	if c.Seen > 0 {
		fmt.Fprintf(t, "fitted on\t\t%d\tof the %d samples: new ones may do worse\t\n", c.Seen, c.Samples)
	}
	if c.Top1 != nil {
		fmt.Fprintf(t, "top-1\t%.2f %%\t%.2f %%\t%+.2f\t\n", 100*c.Top1.A, 100*c.Top1.B, 100*(c.Top1.B-c.Top1.A))
	}
	if c.Agreement > 0 {
		fmt.Fprintf(t, "agreement\t\t%.2f %%\tof %d samples\t\n", 100*c.Agreement, c.Samples)
	}
	if d := c.Detection; d != nil {
		if d.Labelled != nil {
			fmt.Fprintf(t, "mAP at IoU 0.5\t%.2f %%\t%.2f %%\t%+.2f\t\n", 100*d.Labelled.A, 100*d.Labelled.B, 100*(d.Labelled.B-d.Labelled.A))
		}
		fmt.Fprintf(t, "boxes found again\t\t%.2f %%\tof %.0f\t\n", 100*d.Matched, d.Boxes.A)
	}
	for _, o := range c.Measured() {
		fmt.Fprintf(t, "SQNR of %s\t\t%.1f dB\t\t\n", o.Name, o.SQNR)
	}
	if low, ok := lowest(c.Tensors); ok {
		on := ""
		if c.TensorSamples < c.Samples {
			on = fmt.Sprintf(" on %d samples", c.TensorSamples)
		}
		fmt.Fprintf(t, "lowest SQNR\t\t%.1f dB\t%s %s%s\t\n", low.SQNR, low.Op, low.Name, on)
	}
	if l := c.Latency; l != nil {
		fmt.Fprintf(t, "latency\t%.3f ms\t%.3f ms\t%.2fx\t\n", l.A, l.B, l.B/l.A)
	}
}

func lowest(list []compare.Tensor) (compare.Tensor, bool) {
	if len(list) == 0 {
		return compare.Tensor{}, false
	}
	return slices.MinFunc(list, func(a, b compare.Tensor) int { return cmp.Compare(a.SQNR, b.SQNR) }), true
}

func (r *report) printTensors(w io.Writer) {
	if r.Compare != nil && r.Compare.FirstBad != "" {
		fmt.Fprintf(w, "first bad layer: %s\n", r.Compare.FirstBad)
	}
}

// printNodes lists what was done to every node, or why it was kept. Unless
// verbose, exact passes take one line for all nodes of an operator that they
// treated alike.
func (r *report) printNodes(w io.Writer, verbose bool) {
	lossy := map[string]bool{}
	for _, p := range r.Ledger.Passes {
		lossy[p.Pass] = p.Effect == pass.Lossy.String()
	}
	type line struct {
		pass.Entry
		count int
	}
	var lines []*line
	alike := map[pass.Entry]*line{}
	for _, e := range r.Ledger.Entries {
		if e.Action == pass.Warning {
			continue
		}
		key := e
		if key.Node = ""; lossy[e.Pass] || verbose {
			key = e
		}
		if alike[key] == nil {
			alike[key] = &line{Entry: e}
			lines = append(lines, alike[key])
		}
		alike[key].count++
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, l := range lines {
		what := strings.TrimSpace(l.Op + " " + l.Node)
		if l.count > 1 {
			what = fmt.Sprintf("%d of them, %s first", l.count, l.Node)
			if l.Op != "" {
				what = fmt.Sprintf("%d %s, %s first", l.count, l.Op, l.Node)
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", l.Pass, l.Action, what, l.Detail)
	}
	t.Flush()
	fmt.Fprintln(w)
}

func (r *report) printStats(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "pass\teffect\tchanges\tnodes\ttime\t\n")
	for _, p := range r.Ledger.Passes {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%.1f ms\t\n", p.Pass, p.Effect, p.Changes, p.Nodes, float64(p.Time.Microseconds())/1e3)
	}
	t.Flush()
	fmt.Fprintln(w)
}

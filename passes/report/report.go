// Package report writes what a pipeline did to a model as one self-contained
// HTML page.
package report

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"time"

	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
	"onnxopt/passes/quant"
	"onnxopt/runtime/compare"
)

//go:embed page.html
var page string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"milliseconds": func(d time.Duration) string { return fmt.Sprintf("%.2f ms", 1e3*d.Seconds()) },
}).Parse(page))

// Figures are the size of a model.
type Figures struct {
	Bytes      int64 `json:"bytes"`
	Parameters int   `json:"parameters"`
	Nodes      int   `json:"nodes"`
}

// Report is everything that the page shows. Compare is nil where nothing was run.
type Report struct {
	Input, Output, Preset string
	Written               bool
	Refusal               string
	Warnings              []string
	Before, After         Figures
	Compare               *compare.Result
	Ledger                *pass.Ledger
	Model                 *graph.Model // the result, for what targets do with it
	Recipe                string
}

// view is the page's data.
type view struct {
	*Report
	Tiles       []tile
	BeforeAfter []template.HTML
	Signal      template.HTML
	FirstBad    string
	Sensitivity template.HTML
	Histograms  []figure
	Targets     []target
	Flips       []compare.Flip
	Nodes       []pass.Entry
	Passes      []pass.PassStats
}

type tile struct{ Label, Value, Note, Class string }

type figure struct {
	Name, Note string
	SVG        template.HTML
}

type target struct {
	Name                    string
	Integer, Float, Refused int
	Reasons                 []string
}

// Write writes the page.
func (r *Report) Write(w io.Writer) error {
	v := &view{Report: r, Tiles: r.tiles(), Targets: r.targets(), Passes: r.Ledger.Passes, Nodes: r.nodes()}
	v.BeforeAfter = append(v.BeforeAfter, pairChart("file size", "kB", float64(r.Before.Bytes)/1e3, float64(r.After.Bytes)/1e3))
	if c := r.Compare; c != nil {
		if c.Top1 != nil {
			v.BeforeAfter = append(v.BeforeAfter, pairChart("top-1 error", "%", 100*(1-c.Top1.A), 100*(1-c.Top1.B)))
		}
		if c.Latency != nil {
			v.BeforeAfter = append(v.BeforeAfter, pairChart("latency here", "ms", c.Latency.A, c.Latency.B))
		}
		v.Signal, v.FirstBad, v.Flips = signalChart(c.Tensors), c.FirstBad, c.Flips
		v.Histograms = r.histograms()
	}
	v.Sensitivity = sensitivityChart(r.Ledger.Sensitivity, slices.Concat(r.Ledger.Half, r.Ledger.Float))
	return pageTemplate.Execute(w, v)
}

func (r *Report) tiles() []tile {
	ratio := float64(r.After.Bytes) / float64(max(r.Before.Bytes, 1))
	list := []tile{{"size", fmt.Sprintf("%.1f %%", 100*ratio), fmt.Sprintf("%s, was %s", bytesText(r.After.Bytes), bytesText(r.Before.Bytes)), better(ratio < 1)},
		{"nodes", fmt.Sprint(r.After.Nodes), fmt.Sprintf("was %d; %d parameters, was %d", r.Before.Nodes, r.After.Parameters, r.Before.Parameters), ""}}
	c := r.Compare
	if c == nil {
		return list
	}
	if c.Seen > 0 {
		list = append(list, tile{"fitted on", fmt.Sprint(c.Seen), fmt.Sprintf("of the %d samples: new ones may do worse", c.Samples), ""})
	}
	if c.Top1 != nil {
		list = append(list, tile{"top-1", fmt.Sprintf("%.2f %%", 100*c.Top1.B), fmt.Sprintf("was %.2f %%: %+.2f points", 100*c.Top1.A, 100*(c.Top1.B-c.Top1.A)), better(c.Top1.B >= c.Top1.A-0.001)})
	}
	if c.Agreement > 0 {
		list = append(list, tile{"same answer", fmt.Sprintf("%.2f %%", 100*c.Agreement), fmt.Sprintf("of %d samples", c.Samples), better(c.Agreement > 0.99)})
	}
	if d := c.Detection; d != nil {
		if l := d.Labelled; l != nil {
			list = append(list, tile{"mAP at IoU 0.5", fmt.Sprintf("%.2f %%", 100*l.B), fmt.Sprintf("was %.2f %%: %+.2f points", 100*l.A, 100*(l.B-l.A)), better(l.B >= l.A-0.001)})
		}
		list = append(list, tile{"mAP of these boxes", fmt.Sprintf("%.1f %%", 100*d.MAP), "against the original's boxes", better(d.MAP >= 0.9)},
			tile{"boxes found again", fmt.Sprintf("%.1f %%", 100*d.Matched), fmt.Sprintf("of %.0f; %.0f in all, mean IoU %.3f", d.Boxes.A, d.Boxes.B, d.IoU), better(d.Matched >= 0.9)})
	}
	if c.Tokens > 0 {
		list = append(list, tile{"same class at each position", fmt.Sprintf("%.2f %%", 100*c.Tokens), "", better(c.Tokens > 0.99)})
	}
	measured := c.Measured()
	for _, o := range measured[:min(3, len(measured))] {
		list = append(list, tile{"SQNR of " + o.Name, fmt.Sprintf("%.1f dB", o.SQNR), fmt.Sprintf("cosine %.6f, largest difference %.3g", o.Cosine, o.MaxAbs), better(o.SQNR >= 20)})
	}
	if c.Latency != nil && c.Latency.A > 0 {
		list = append(list, tile{"latency here", fmt.Sprintf("%.2fx", c.Latency.B/c.Latency.A), fmt.Sprintf("%.3g ms, was %.3g ms", c.Latency.B, c.Latency.A), ""})
	}
	return list
}

func better(yes bool) string {
	if yes {
		return "good"
	}
	return "bad"
}

func bytesText(n int64) string {
	if n >= 10<<20 {
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f kB", float64(n)/1e3)
}

// nodes is the ledger with the lossy passes first: those lines are what a reader
// looks for.
func (r *Report) nodes() []pass.Entry {
	lossy := map[string]bool{}
	for _, p := range r.Ledger.Passes {
		lossy[p.Pass] = p.Effect == pass.Lossy.String()
	}
	var out []pass.Entry
	for _, first := range []bool{true, false} {
		for _, e := range r.Ledger.Entries {
			if e.Action != pass.Warning && lossy[e.Pass] == first {
				out = append(out, e)
			}
		}
	}
	return out
}

// targets lints the result for every profile.
func (r *Report) targets() []target {
	if r.Model == nil {
		return nil
	}
	var out []target
	for i := range quant.Profiles {
		t := target{Name: quant.Profiles[i].Name}
		reasons := map[string]int{}
		for _, f := range quant.Lint(r.Model, &quant.Profiles[i]) {
			switch f.Verdict {
			case quant.Integer:
				t.Integer++
				continue
			case quant.Float, quant.Requantized:
				t.Float++
			case quant.Refused:
				t.Refused++
			}
			if reasons[f.Why]++; reasons[f.Why] == 1 {
				t.Reasons = append(t.Reasons, f.Why)
			}
		}
		for k, why := range t.Reasons {
			if n := reasons[why]; n > 1 {
				t.Reasons[k] = fmt.Sprintf("%d times: %s", n, why)
			}
		}
		const shown = 4
		if len(t.Reasons) > shown {
			t.Reasons = append(t.Reasons[:shown], fmt.Sprintf("and %d more: onnxopt lint --target %s", len(t.Reasons)-shown, t.Name))
		}
		out = append(out, t)
	}
	return out
}

// histograms shows the calibrated values of lowest SQNR.
func (r *Report) histograms() []figure {
	const shown = 6
	list := slices.Clone(r.Compare.Tensors)
	slices.SortStableFunc(list, func(a, b compare.Tensor) int { return cmp.Compare(a.SQNR, b.SQNR) })
	var out []figure
	for _, t := range list {
		g, ok := r.Ledger.Ranges[t.Name]
		if !ok || g.Sketch == nil || len(out) == shown {
			continue
		}
		k := g.Sketch.Counts()
		note := fmt.Sprintf("%s, %.1f dB; covers %.4g to %.4g (%v), scale %.4g, zero point %d", t.Op, t.SQNR, g.Range.Min, g.Range.Max, g.Method, g.Scale, g.ZeroPoint)
		if n := k.NaN + k.PosInf + k.NegInf; n > 0 {
			note += fmt.Sprintf("; %d NaN or infinite", n)
		}
		out = append(out, figure{t.Name, note, histogram(g)})
	}
	return out
}

// finite is x, or limit where x is infinite or NaN.
func finite(x, limit float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return limit
	}
	return x
}

package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"onnxopt/onnx/graph"
	"onnxopt/runtime"
	"onnxopt/runtime/calibrate"
	"onnxopt/runtime/compare"
	"onnxopt/runtime/samples"
)

var compareVerb = verb{
	name: "compare", args: "A B --data D", minArgs: 2, maxArgs: 2,
	doc:     "run two models on the same samples and say how they differ",
	example: "onnxopt compare model.onnx model.opt.onnx --data samples.npz",
	setup: func(f *pflag.FlagSet) func(*call) error {
		o := &comparer{}
		o.declare(f)
		f.IntVar(&o.samples, "samples", 0, "samples to compare on, 0 for all")
		f.IntVar(&o.options.Batch, "batch", 0, "samples at once (default 50, or what the model takes)")
		f.IntVar(&o.options.Threads, "threads", 1, "threads; results do not depend on it")
		f.StringVar(&o.options.Device, "device", "", deviceUsage)
		f.StringVar(&o.shard, "shard", "", "evaluate only this part of the samples, as 3/16, and only outputs")
		f.StringVarP(&o.out, "output", "o", "", "with --shard: evaluation file to write, for merge")
		f.BoolVar(&o.json, "json", false, "print as JSON")
		return o.run
	},
}

const deviceUsage = "compute integers as another processor does: " + runtime.AVX2Saturating + " is onnxruntime on x86 without VNNI"

// comparer is one run of the verb compare.
type comparer struct {
	dataFlags
	samples    int
	options    compare.Options
	shard, out string
	json       bool
}

func (o *comparer) run(c *call) error {
	if (o.shard == "") != (o.out == "") || o.shard != "" && o.data == "" {
		return fmt.Errorf("compare: --shard needs --data and -o, and -o needs --shard")
	}
	a, err := loadModel(c.args[0])
	if err != nil {
		return err
	}
	b, err := loadModel(c.args[1])
	if err != nil {
		return err
	}
	set, err := o.open(a, samples.Evaluation)
	if err != nil {
		return err
	}
	if set == nil {
		if set, err = samples.Random(inputsOf(a.Graph.Inputs()), 8, 1); err != nil {
			return err
		}
		fmt.Fprintln(c.errOut, "no --data: comparing on random inputs")
	}
	defer set.Close()
	if o.options.Labels, o.options.Boxes, err = o.answers(set, o.samples); err != nil {
		return err
	}
	p := &progress{c: c}
	o.options.Names = [2]string{c.args[0], c.args[1]}
	o.options.Progress = func(done, total int) { p.update("compare", done, total) }
	if o.shard != "" {
		return o.evaluate(c, a, b, first(set, o.samples))
	}
	r, err := compare.Run(c, a, b, first(set, o.samples), o.options)
	if err != nil {
		return err
	}
	return showComparison(c, r, o.json)
}

// evaluate writes what one shard of the samples says.
func (o *comparer) evaluate(c *call, a, b *graph.Model, set compare.Source) error {
	i, n, err := calibrate.ParseShard(o.shard)
	if err != nil {
		return fmt.Errorf("--shard: %w", err)
	}
	span, err := calibrate.Shard(i, n, set.Len())
	if err != nil {
		return err
	}
	t, err := compare.Evaluate(c, a, b, set, span, o.options)
	if err != nil {
		return err
	}
	if t.Data, err = o.identity(); err != nil {
		return err
	}
	if err := writeFile(c, o.out, func(w io.Writer) error { _, err := t.WriteTo(w); return err }); err != nil {
		return err
	}
	return showComparison(c, t.Result(), o.json)
}

func showComparison(c *call, r *compare.Result, asJSON bool) error {
	if asJSON {
		return writeJSON(c.out, r)
	}
	printComparison(c, r)
	return nil
}

func printComparison(c *call, r *compare.Result) {
	t := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "tensor\top\tSQNR\tcosine\tlargest difference\tMSE\tMAE\tR2\n")
	for _, list := range [][]compare.Tensor{r.Tensors, r.Outputs} {
		for _, x := range list {
			fmt.Fprintf(t, "%s\t%s\t%.1f dB\t%.6f\t%.4g\t%.4g\t%.4g\t%.4f\n", x.Name, x.Op, x.SQNR, x.Cosine, x.MaxAbs, x.MSE, x.MAE, x.R2)
		}
	}
	t.Flush()
	fmt.Fprintln(c.out)
	if r.FirstBad != "" {
		fmt.Fprintf(c.out, "first bad layer: %s\n", r.FirstBad)
	}
	if len(r.Chosen) > 0 {
		fmt.Fprintf(c.out, "chosen among candidates, which count instead: %s\n", strings.Join(r.Chosen, ", "))
		for _, x := range r.Candidates {
			fmt.Fprintf(c.out, "candidates %s: SQNR %.1f dB\n", x.Name, x.SQNR)
		}
	}
	if d := r.Detection; d != nil {
		fmt.Fprintf(c.out, "boxes: %.0f and %.0f, %.1f %% matched (mean IoU %.3f, scores differ by %.3f), mAP at IoU 0.5 against the first model %.2f %%\n",
			d.Boxes.A, d.Boxes.B, 100*d.Matched, d.IoU, d.Score, 100*d.MAP)
	}
	if d := r.Detection; d != nil && d.Labelled != nil {
		fmt.Fprintf(c.out, "mAP at IoU 0.5 against the labels: %.2f %% and %.2f %%\n", 100*d.Labelled.A, 100*d.Labelled.B)
	}
	if r.Tokens > 0 {
		fmt.Fprintf(c.out, "positions with the same top class: %.2f %%\n", 100*r.Tokens)
	}
	if r.Top1 != nil {
		fmt.Fprintf(c.out, "top-1: %.2f %% and %.2f %%\n", 100*r.Top1.A, 100*r.Top1.B)
	}
	if r.Agreement > 0 {
		fmt.Fprintf(c.out, "agreement: %.2f %% of %d samples\n", 100*r.Agreement, r.Samples)
	}
	if l := r.Latency; l != nil {
		fmt.Fprintf(c.out, "latency: %.3f ms and %.3f ms, ratio %.2f\n", l.A, l.B, l.B/l.A)
	}
	for i, f := range r.Flips {
		if i == 10 {
			fmt.Fprintf(c.out, "... and %d more changed samples (--json lists up to 100)\n", len(r.Flips)-i)
			break
		}
		fmt.Fprintf(c.out, "sample %d: class %d became %d\n", f.Sample, f.A, f.B)
	}
}

package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"onnxopt/runtime"
	"onnxopt/runtime/compare"
	"onnxopt/runtime/samples"
)

var compareVerb = verb{
	name: "compare", args: "A B --data D", minArgs: 2, maxArgs: 2,
	doc:     "run two models on the same samples and say how they differ",
	example: "onnxopt compare model.onnx model.opt.onnx --data samples.npz",
	setup: func(f *pflag.FlagSet) func(*call) error {
		d := &dataFlags{}
		d.declare(f)
		n := f.Int("samples", 0, "samples to compare on, 0 for all")
		threads := f.Int("threads", 1, "threads")
		device := f.String("device", "", deviceUsage)
		asJSON := f.Bool("json", false, "print as JSON")
		return func(c *call) error { return compareModels(c, d, *n, *threads, *device, *asJSON) }
	},
}

const deviceUsage = "compute integers as another processor does: " + runtime.AVX2Saturating + " is onnxruntime on x86 without VNNI"

func compareModels(c *call, d *dataFlags, n, threads int, device string, asJSON bool) error {
	a, err := loadModel(c.args[0])
	if err != nil {
		return err
	}
	b, err := loadModel(c.args[1])
	if err != nil {
		return err
	}
	set, err := d.open(a, samples.Evaluation)
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
	labels, err := d.truth(set)
	if err != nil {
		return err
	}
	if labels != nil && n > 0 {
		labels = labels[:min(n, len(labels))]
	}
	p := &progress{c: c}
	r, err := compare.Run(c, a, b, first(set, n), compare.Options{Names: [2]string{c.args[0], c.args[1]}, Threads: threads, Device: device, Labels: labels,
		Progress: func(done, total int) { p.update("compare", done, total) }})
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(c.out, r)
	}
	printComparison(c, r)
	return nil
}

func printComparison(c *call, r *compare.Result) {
	t := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "tensor\top\tSQNR\tcosine\tlargest difference\n")
	for _, list := range [][]compare.Tensor{r.Tensors, r.Outputs} {
		for _, x := range list {
			fmt.Fprintf(t, "%s\t%s\t%.1f dB\t%.6f\t%.4g\n", x.Name, x.Op, x.SQNR, x.Cosine, x.MaxAbs)
		}
	}
	t.Flush()
	fmt.Fprintln(c.out)
	if r.FirstBad != "" {
		fmt.Fprintf(c.out, "first bad layer: %s\n", r.FirstBad)
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

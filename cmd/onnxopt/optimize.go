package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/passes"
	"onnxopt/passes/pass"
	"onnxopt/passes/quant"
	htmlreport "onnxopt/passes/report"
	"onnxopt/passes/search"
	"onnxopt/runtime"
	"onnxopt/runtime/compare"
	"onnxopt/runtime/samples"
)

var optimizeVerb = verb{
	name: "optimize", args: "MODEL -o OUT", minArgs: 1, maxArgs: 1,
	doc:     "run a pipeline of passes over a model and measure what it did",
	example: "onnxopt optimize model.onnx --data samples.npz --labels labels.csv -o model.opt.onnx",
	setup: func(f *pflag.FlagSet) func(*call) error {
		o := &optimizer{}
		o.declare(f)
		return o.run
	},
}

// optimizer is one run of the verb optimize.
type optimizer struct {
	dataFlags
	out, preset, calibration, device           string
	passes, debug, printAfter                  []string
	maxDrop                                    float64
	calibrationSamples, samples, threads       int
	json, stats, verify, force, quiet, verbose bool
	ranges                                     string // calibration file to read
	page, recipe, recipeOut                    string
	qoperator, smooth, equalize                bool
	settings                                   pass.Settings
	pattern                                    []int

	dropGiven  func() bool
	presetOpen bool // no preset was asked for

	classes []int           // the right answers, of --labels
	boxes   [][]samples.Box // or these

	c      *call
	off    map[string]bool
	model  *graph.Model // being changed
	float  *graph.Model // the float model with the same structure, for comparison
	result report
	ledger *pass.Ledger
	list   []pass.Pass
	job    *pass.Calibration // nil unless calibration is sharded
	seen   int               // of the samples to compare on, how many the passes have seen
}

func (o *optimizer) declare(f *pflag.FlagSet) {
	o.dropGiven = func() bool { return f.Changed("max-drop") }
	f.StringVarP(&o.out, "output", "o", "", "file to write")
	f.StringVar(&o.preset, "preset", "", "simplify, int8, weights, dynamic, float16 or small (default int8 with --data, else simplify)")
	o.dataFlags.declare(f)
	f.StringVar(&o.calibration, "calibration", "", "samples for calibration, if others than --data")
	f.IntVar(&o.calibrationSamples, "calibration-samples", 1000, "samples to calibrate on, 0 for all")
	f.IntVar(&o.samples, "samples", 0, "samples to compare on, 0 for all")
	f.Float64Var(&o.maxDrop, "max-drop", 0.5, "largest loss of top-1 (boxes: of mAP) in points, beyond which nothing is written; without labels, if given, of agreement with the original; if given, layers stay float until it holds")
	f.StringSliceVar(&o.passes, "passes", nil, "exactly these passes instead of a preset")
	f.StringSliceVarP(&o.debug, "debug", "d", nil, "pass/off turns a pass off")
	o.declareQuant(f)
	f.Float64Var(&o.settings.Prune.Threshold, "prune-threshold", 0, "set weights up to this magnitude to zero")
	f.Float64Var(&o.settings.Prune.Sparsity, "prune-sparsity", 0, "set this share of the weights to zero")
	f.BoolVar(&o.settings.Prune.Global, "prune-global", false, "one threshold over all layers")
	f.IntSliceVar(&o.pattern, "prune-pattern", nil, "N,M keeps N of every M consecutive weights of an output")
	f.BoolVar(&o.settings.Prune.Reconstruct, "prune-reconstruct", false, "choose zeros and fit the other weights by least squares on the samples, layer by layer")
	f.Float64Var(&o.settings.Prune.Channels, "prune-channels", 0, "remove this share of the channels, neurons and heads")
	f.IntVar(&o.settings.Cluster.Values, "cluster", 0, "share weights: size of a codebook, 2 to 256")
	f.IntVar(&o.settings.MaxFold, "max-fold", 0, "bytes that constant folding may add for one tensor")
	f.StringVar(&o.page, "report", "", "write a page with plots of what was done and what it did")
	f.StringVar(&o.recipeOut, "save-recipe", "", "write what was chosen to this file")
	f.StringVar(&o.recipe, "recipe", "", "do what --save-recipe wrote: the same file from the same model and samples")
	f.StringSliceVar(&o.printAfter, "print-after", nil, "print the graph as text after these passes, or all")
	f.BoolVar(&o.stats, "stats", false, "print time and changes of every pass")
	f.BoolVar(&o.verify, "verify", false, "run the model before and after every pass that promises equal outputs")
	f.BoolVar(&o.json, "json", false, "print the result as JSON")
	f.BoolVar(&o.force, "force", false, "write the file even if it is larger or misses --max-drop")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress, no list of nodes")
	f.BoolVar(&o.verbose, "verbose", false, "one line for every node that a pass changed or kept")
	f.StringVar(&o.device, "device", "", deviceUsage)
	f.IntVar(&o.threads, "threads", 1, "threads; results do not depend on it")
}

func (o *optimizer) run(c *call) error {
	o.c = c
	if o.out == "" {
		return fmt.Errorf("optimize: no output file: give -o OUT")
	}
	list, err := o.pipeline()
	if err != nil {
		return err
	}
	if o.model, err = loadModel(c.args[0]); err != nil {
		return err
	}
	original := o.model.Clone()
	eval, err := o.open(o.model, samples.Evaluation)
	if err != nil {
		return err
	}
	if eval != nil {
		defer eval.Close()
		if o.classes, o.boxes, err = o.answers(eval, o.samples); err != nil {
			return err
		}
	}
	if err := o.optimize(list, eval); err != nil {
		return err
	}
	staged, err := onnx.Stage(o.model, o.out, onnx.SaveOptions{Context: c})
	if err != nil {
		return err
	}
	if err := o.measure(original, staged, eval); err != nil {
		staged.Discard()
		return err
	}
	if err := o.judge(list); err != nil && !o.force {
		staged.Discard()
		o.show()
		return errors.Join(err, o.writePage(err))
	}
	if err := staged.Commit(); err != nil {
		return err
	}
	o.result.Written = true
	if err := errors.Join(o.writePage(nil), o.saveRecipe()); err != nil {
		return err
	}
	return o.show()
}

// writePage writes the page of --report.
func (o *optimizer) writePage(refusal error) error {
	if o.page == "" {
		return nil
	}
	r := o.result
	p := htmlreport.Report{Input: r.Input, Output: r.Output, Preset: r.Preset, Written: r.Written, Before: r.Before, After: r.After,
		Compare: r.Compare, Ledger: o.ledger, Model: o.model, Recipe: o.recipeText()}
	if refusal != nil {
		p.Refusal = refusal.Error()
	}
	for _, e := range o.ledger.Entries {
		if e.Action == pass.Warning {
			p.Warnings = append(p.Warnings, e.Detail)
		}
	}
	return writeFile(o.c, o.page, p.Write)
}

// pipeline resolves the preset, the flags that ask for a lossy pass, and -d.
func (o *optimizer) pipeline() ([]pass.Pass, error) {
	if _, err := quant.FindProfile(o.settings.Quant.Profile); err != nil {
		return nil, fmt.Errorf("--target: %w", err)
	}
	o.off = map[string]bool{}
	for _, d := range o.debug {
		name, ok := strings.CutSuffix(d, "/off")
		if _, err := passes.Select([]string{name}); !ok || err != nil {
			return nil, fmt.Errorf("optimize: -d %s: want PASS/off with a pass of onnxopt passes", d)
		}
		o.off[name] = true
	}
	if o.recipe != "" {
		return o.readRecipe()
	}
	if len(o.passes) > 0 {
		return passes.Select(o.passes)
	}
	if o.preset == "" {
		o.preset, o.presetOpen = "simplify", true
		if o.data != "" || o.calibration != "" || o.ranges != "" {
			o.preset = "int8"
		}
	}
	var more []string
	switch len(o.pattern) {
	case 0:
	case 2:
		o.settings.Prune.N, o.settings.Prune.M = o.pattern[0], o.pattern[1]
	default:
		return nil, fmt.Errorf("optimize: --prune-pattern %v: want N,M", o.pattern)
	}
	how := "prune-magnitude"
	if o.settings.Prune.Reconstruct {
		how = "prune-reconstruct"
	}
	if p := o.settings.Prune; p.Threshold > 0 || p.Sparsity > 0 || p.M > 0 {
		more = append(more, how, "dead-units", "pad-channels")
	} else if p.Reconstruct {
		return nil, fmt.Errorf("optimize: --prune-reconstruct: give --prune-sparsity or --prune-pattern")
	}
	if o.settings.Prune.Channels > 0 {
		more = append(more, "prune-channels")
	}
	if o.settings.Cluster.Values > 0 {
		more = append(more, "cluster-weights")
	}
	if o.smooth {
		more = append(more, "smooth-activations")
	}
	if o.equalize {
		more = append(more, "equalize-layers")
	}
	if o.qoperator {
		more = append(more, "qoperator")
	}
	return passes.Pipeline(o.preset, more...)
}

// optimize runs the passes. The model as it is before the first lossy pass is
// kept for the comparison of inner tensors, and how many of the samples of eval
// the passes see.
func (o *optimizer) optimize(list []pass.Pass, eval *samples.Set) error {
	o.list = list
	p := &progress{c: o.c, off: o.quiet}
	opts := pass.Options{Settings: o.settings, Off: o.off, Progress: p.update, Scratch: filepath.Dir(o.out)}
	opts.Settings.Threads, opts.Settings.Device = o.threads, o.device
	if o.dropGiven() {
		opts.Settings.Quant.MaxDrop = &o.maxDrop
	}
	calibrates := slices.ContainsFunc(list, func(p pass.Pass) bool { return p.Gives&pass.Calibrated != 0 && !o.off[p.Name] })
	if calibrates || o.settings.Quant.BlockSize > 0 || o.settings.Prune.Reconstruct { // blocks are rounded on samples, if there are any
		d := o.dataFlags
		if o.calibration != "" {
			d.data = o.calibration
		}
		set, err := d.open(o.model, samples.Calibration)
		if err != nil {
			return err
		}
		if opts.Calibration, err = o.calibrationJob(); err != nil {
			return err
		}
		if calibrates && set == nil && o.ranges == "" {
			return fmt.Errorf("optimize: preset %s calibrates on samples: give --data or --calibration", o.preset)
		}
		if set != nil {
			defer set.Close()
			opts.Samples = first(set, o.calibrationSamples)
			if eval != nil && eval.Shares(set) {
				o.seen = min(opts.Samples.Len(), first(eval, o.samples).Len())
			}
			if opts.Labels, err = set.Labels(); err != nil {
				return err
			}
			if opts.Labels == nil && o.labels != "" && o.calibration == "" {
				if l, err := samples.Labels(o.labels, set); err == nil && len(l) == set.Len() { // else they are of the evaluation's samples
					opts.Labels = l
				}
			}
			opts.Labels = opts.Labels[:min(len(opts.Labels), opts.Samples.Len())]
		}
		if o.job != nil {
			if o.job.Data, err = d.identity(); err != nil {
				return err
			}
		}
	}
	var err error
	if o.verify {
		if opts.Verify, err = o.verifier(o.c, o.model, compare.Options{Threads: o.threads, Device: o.device}); err != nil {
			return err
		}
	}
	opts.Before = func(p *pass.Pass, m *graph.Model) {
		if p.Effect == pass.Lossy && o.float == nil {
			o.float = m.Clone()
		}
	}
	opts.After = func(p *pass.Pass, m *graph.Model) error {
		if slices.Contains(o.printAfter, p.Name) || slices.Contains(o.printAfter, "all") {
			fmt.Fprintf(o.c.out, "# after %s\n%s\n", p.Name, graph.Text(m))
		}
		return nil
	}
	o.ledger, err = pass.Run(o.c, o.model, list, opts)
	if err != nil {
		return fmt.Errorf("%s: %w", o.c.args[0], err)
	}
	if o.float == nil {
		o.float = o.model
	}
	return nil
}

// measure checks that the written file loads and runs, and compares it with
// the original.
func (o *optimizer) measure(original *graph.Model, staged *onnx.Staged, eval *samples.Set) error {
	again, err := staged.Load()
	if err != nil {
		return fmt.Errorf("internal error: the result does not load: %w", err)
	}
	before, err := onnx.FileSize(original)
	if err != nil {
		return err
	}
	after := staged.Bytes
	if len(onnx.DataFiles(again)) > 0 { // like the original, without what aligns tensors
		if after, err = onnx.FileSize(again); err != nil {
			return err
		}
	}
	o.result = report{Input: o.c.args[0], Output: o.out, Preset: o.preset, Ledger: o.ledger,
		Before: htmlreport.Figures{Bytes: before, Parameters: parameters(original.Graph), Nodes: nodes(original.Graph)},
		After:  htmlreport.Figures{Bytes: after, Parameters: parameters(again.Graph), Nodes: nodes(again.Graph)}}
	if eval == nil {
		if _, err := runtime.Compile(again, runtime.Options{Reference: true}); err != nil {
			o.result.Warnings = append(o.result.Warnings, fmt.Sprintf("not run: %v", err))
		}
		o.warnUnmeasured()
		return nil
	}
	p := &progress{c: o.c, off: o.quiet}
	o.result.Compare, err = compare.Run(o.c, original, again, first(eval, o.samples), compare.Options{Threads: o.threads, Device: o.device, Labels: o.classes, Boxes: o.boxes, Tensors: -1,
		Progress: func(done, total int) { p.update("compare", done, total) }})
	if err != nil {
		return err
	}
	inner, err := compare.Inner(o.c, o.float, again, eval, compare.Options{Threads: o.threads, Device: o.device})
	if err != nil {
		return err
	}
	r := o.result.Compare
	r.Seen = o.seen
	r.Tensors, r.TensorSamples, r.FirstBad, r.Candidates = inner.Tensors, inner.TensorSamples, inner.FirstBad, inner.Candidates
	return nil
}

// warnUnmeasured says what was left out because there are no samples.
func (o *optimizer) warnUnmeasured() {
	lossy := slices.ContainsFunc(o.list, func(p pass.Pass) bool { return p.Effect == pass.Lossy && o.ledger.Changes(p.Name) > 0 })
	switch {
	case lossy:
		o.result.Warnings = append(o.result.Warnings, "the answers were not compared with the original's: give --data")
	case o.preset == "simplify" && o.presetOpen:
		o.result.Warnings = append(o.result.Warnings, "simplified only: --data gives the samples that quantizing calibrates on")
	}
}

// judge says why the result is not what was asked for, nil if it is.
func (o *optimizer) judge(list []pass.Pass) error {
	r := &o.result
	quantized := o.quantized() > 0
	for _, p := range list {
		if p.Effect != pass.Lossy || o.off[p.Name] || o.ledger.Changes(p.Name) > 0 || quantized && strings.HasPrefix(p.Name, "quantize") {
			continue
		}
		return refuse("pass %s changed nothing: see the reasons; --force writes the file", p.Name)
	}
	if r.After.Bytes > r.Before.Bytes {
		return refuse("the result is larger: %d bytes, was %d; not written (--force writes it)", r.After.Bytes, r.Before.Bytes)
	}
	if r.Compare == nil {
		return nil
	}
	drop, what := 100*(1-r.Compare.Agreement), "agreement with the original"
	if t := r.Compare.Top1; t != nil {
		drop, what = 100*(t.A-t.B), "top-1"
	} else if d := r.Compare.Detection; d != nil && d.Labelled != nil {
		drop, what = 100*(d.Labelled.A-d.Labelled.B), "mAP against the labels"
	} else if err := o.judgeSQNR(); err != nil {
		return err
	} else if !o.dropGiven() {
		return nil
	} else if d := r.Compare.Detection; d != nil {
		drop, what = 100*(1-d.MAP), "mAP against the original's boxes"
	} else if r.Compare.Tokens > 0 {
		drop, what = 100*(1-r.Compare.Tokens), "agreement with the original at each position"
	} else if r.Compare.Agreement == 0 {
		return nil
	}
	if drop > o.maxDrop+1e-9 {
		return refuse("%s fell by %.2f points, more than --max-drop %.2f; not written (--force writes it)", what, drop, o.maxDrop)
	}
	return nil
}

// quantized is how many changes the passes made that quantize.
func (o *optimizer) quantized() int {
	return o.ledger.Changes("quantize") + o.ledger.Changes("quantize-blocks") + o.ledger.Changes("quantize-weights") + o.ledger.Changes("quantize-dynamic")
}

// judgeSQNR refuses a quantized model without labels whose outputs are too noisy,
// naming the worst values inside.
func (o *optimizer) judgeSQNR() error {
	want := cmp.Or(o.settings.Quant.MinSQNR, search.DefaultMinSQNR)
	if o.quantized() == 0 {
		return nil
	}
	r := o.result.Compare
	for _, t := range r.Measured() {
		if t.SQNR >= want {
			continue
		}
		inner := slices.Clone(r.Tensors)
		slices.SortStableFunc(inner, func(a, b compare.Tensor) int { return cmp.Compare(a.SQNR, b.SQNR) })
		var worst []string
		for _, w := range inner[:min(3, len(inner))] {
			worst = append(worst, fmt.Sprintf("%s %s %.1f dB", w.Op, w.Name, w.SQNR))
		}
		return refuse("%s has an SQNR of %.1f dB, less than --min-sqnr %.0f; worst inside: %s; not written (--force writes it)", t.Name, t.SQNR, want, strings.Join(worst, ", "))
	}
	return nil
}

func (o *optimizer) show() error {
	r := &o.result
	for _, e := range o.ledger.Entries {
		if e.Action == pass.Warning {
			r.Warnings = append(r.Warnings, e.Detail)
		}
	}
	switch {
	case o.ledger.Changes("") == 0:
		r.Warnings = append(r.Warnings, "nothing changed: no pass found anything to do")
	case r.After.Bytes >= r.Before.Bytes:
		r.Warnings = append(r.Warnings, "the file is not smaller")
	}
	if o.json {
		return writeJSON(o.c.out, r)
	}
	r.print(o.c.out, o.stats, o.quiet, o.verbose)
	return nil
}

// sortedKeys is the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/pack"
	"onnxopt/passes"
	"onnxopt/passes/compress"
	"onnxopt/passes/distill"
	"onnxopt/passes/pass"
)

var compressVerb = verb{
	name: "compress", args: "MODEL --data D -o OUT", minArgs: 1, maxArgs: 1,
	doc:     "prune, share weights and distil, with the model as its own teacher",
	example: "onnxopt compress model.onnx --data images -o small.onnx",
	setup: func(f *pflag.FlagSet) func(*call) error {
		o := &compressor{}
		o.declare(f)
		return o.run
	},
}

// compressor is one run of the verb compress.
type compressor struct {
	dataFlags
	o                             compress.Options
	out, target, test, testLabels string
	front                         string
	noLabels, json, quiet         bool
	force                         bool
	seed                          uint64
	samples, threads              int
	pattern                       []int

	c      *call
	model  *graph.Model // as given
	held   *distill.Data
	result compressReport
}

// compressReport is what the verb prints.
type compressReport struct {
	Input       string           `json:"input"`
	Output      string           `json:"output"`
	Before      int64            `json:"bytes_before"`
	After       int64            `json:"bytes_after"`
	Written     bool             `json:"written"`
	Search      *compress.Result `json:"search"`
	Ledger      []compress.Line  `json:"ledger"`
	Total       compress.Line    `json:"total"`
	Test        *testErrors      `json:"test,omitempty"`
	Nanoseconds time.Duration    `json:"nanoseconds"`
}

// testErrors is the share of wrong answers on test data that nothing was
// chosen by, in percent.
type testErrors struct {
	Samples  int      `json:"samples"`
	Original float64  `json:"original"`
	Result   float64  `json:"result"`
	Dense    *float64 `json:"dense,omitempty"`
}

func (o *compressor) declare(f *pflag.FlagSet) {
	f.StringVarP(&o.out, "output", "o", "", "file to write")
	o.dataFlags.declare(f)
	f.BoolVar(&o.noLabels, "no-labels", false, "take no labels, also where --data has them beside it")
	f.IntVar(&o.samples, "samples", 0, "samples to train on, 0 for all")
	f.Float64Var(&o.o.MaxDrop, "max-drop", 0.5, "points of accuracy that may be lost, as estimated on held-out samples with its standard error")
	f.StringVar(&o.target, "for", "", "what is wanted: a small container, a small file that runtimes load as it is, or speed, a file with fewer channels (default container where OUT ends in "+pack.Extension+", else file)")
	f.BoolVar(&o.force, "force", false, "write the file even if it misses --max-drop")
	f.Float64Var(&o.o.Density, "density", 0, "share of the weights that the first rung keeps (default 0.05)")
	f.Float64Var(&o.o.Step, "density-step", 0, "factor of the density between rungs (default 0.88)")
	f.IntVar(&o.o.Rungs, "rungs", 0, "most rungs of the search (default 10)")
	f.BoolVar(&o.o.Fixed, "fixed", false, "no search: exactly --density, whatever it loses")
	f.IntVar(&o.o.Values, "values", 0, "shared values of a layer beside zero (default 8)")
	f.IntVar(&o.o.BiasBits, "bias-bits", 0, "bits of biases (default 7)")
	f.IntVar(&o.o.PruneSteps, "steps", 0, "training steps of the first rung (default 6000)")
	f.IntVar(&o.o.RungSteps, "rung-steps", 0, "training steps of the further rungs (default a sixth of --steps)")
	f.IntVar(&o.o.RefineSteps, "refine-steps", 0, "training steps at the final density before weights are shared (default half of --steps)")
	f.IntVar(&o.o.ShareSteps, "share-steps", 0, "training steps with shared weights (default 2000)")
	f.IntVar(&o.o.Batch, "batch", 0, "samples in a step (default 128)")
	f.Float64Var(&o.o.Rate, "rate", 0, "peak learning rate (default 0.002)")
	f.IntSliceVar(&o.pattern, "pattern", nil, "N,M keeps N of every M consecutive weights of an output")
	f.BoolVar(&o.o.Pattern.PerLayer, "per-layer", false, "the same density in every layer instead of over all")
	f.IntVar(&o.o.Pattern.Block, "block", 0, "keep or drop so many consecutive weights together")
	f.IntVar(&o.o.Augment.Shift, "shift", 1, "largest shift of training pictures in pixels")
	f.Float64Var(&o.o.Augment.Warp, "warp", 0, "standard deviation in pixels of a smooth random distortion of training pictures, for few samples")
	f.BoolVar(&o.o.Augment.Flip, "flip", false, "mirror half of the training pictures")
	f.Float64Var(&o.o.Augment.Mixup, "mixup", 0, "largest share of another sample mixed in")
	f.Float64Var(&o.o.Augment.Noise, "noise", 0, "standard deviation of noise added to training samples")
	f.Float64Var(&o.o.Targets.Temperature, "temperature", 2, "temperature of soft targets")
	f.Float64Var(&o.o.Targets.LabelWeight, "label-weight", 0.7, "weight of labels in the loss, where there are labels")
	f.BoolVar(&o.o.Dense, "dense", false, "train the dense network the same way, for comparison")
	f.StringVar(&o.test, "test", "", "test samples, looked at once, at the end")
	f.StringVar(&o.testLabels, "test-labels", "", "their labels, if not beside them")
	f.Uint64Var(&o.seed, "seed", 1, "seed; the same seed gives the same file")
	f.IntVar(&o.threads, "threads", 1, "threads; results do not depend on it")
	f.StringVar(&o.front, "keep-front", "", "folder for every result that no other beats in both size and loss")
	f.StringVar(&o.o.Checkpoint, "checkpoint", "", "file to resume from after an interruption (default OUT.checkpoint)")
	f.BoolVar(&o.json, "json", false, "print the result as JSON")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress")
}

func (o *compressor) run(c *call) error {
	start := time.Now()
	o.c = c
	if o.out == "" {
		return fmt.Errorf("compress: no output file: give -o OUT")
	}
	if o.data == "" {
		return fmt.Errorf("compress: it trains on samples: give --data")
	}
	switch {
	case o.target == "" && strings.HasSuffix(o.out, pack.Extension):
		o.target = "container"
	case o.target == "":
		o.target = "file"
	case o.target != "file" && o.target != "container" && o.target != "speed":
		return fmt.Errorf("compress: --for %s: want file, container or speed", o.target)
	}
	switch len(o.pattern) {
	case 0:
	case 2:
		o.o.Pattern.N, o.o.Pattern.M = o.pattern[0], o.pattern[1]
	default:
		return fmt.Errorf("compress: --pattern %v: want N,M", o.pattern)
	}
	if o.o.Checkpoint == "" {
		o.o.Checkpoint = o.out + ".checkpoint"
	}
	var err error
	if o.model, err = loadModel(c.args[0]); err != nil {
		return err
	}
	before, err := onnx.Marshal(o.model)
	if err != nil {
		return err
	}
	o.result = compressReport{Input: c.args[0], Output: o.out, Before: int64(len(before))}
	student, err := o.simplified()
	if err != nil {
		return err
	}
	if err := o.search(student); err != nil {
		return fmt.Errorf("%s: %w", c.args[0], err)
	}
	result := o.result.Search.Model
	o.result.Ledger, o.result.Total = compress.Ledger(o.result.Search.Plain, student)
	if err := o.runTest(o.result.Search.Plain); err != nil {
		return err
	}
	if err := o.keepFront(); err != nil {
		return err
	}
	chosen := o.result.Search.Chosen
	o.result.After = int64(chosen.Bytes)
	if !chosen.Fits && !o.force && !o.o.Fixed {
		o.show(time.Since(start))
		return refuse("the best result loses %.2f points, more than --max-drop %.2f; not written (--force writes it)", chosen.Loss, o.o.MaxDrop)
	}
	if o.result.After, err = o.write(result, o.out); err != nil {
		return err
	}
	if err := o.checkWritten(); err != nil {
		return err
	}
	o.result.Written = true
	return o.show(time.Since(start))
}

// write writes m, whose outputs may be logits, and returns its bytes.
func (o *compressor) write(m *graph.Model, path string) (int64, error) {
	distill.RestoreOutputs(m, o.model)
	b, err := o.form(m)
	if err != nil {
		return 0, err
	}
	return int64(len(b)), writeBytes(o.c, path, b)
}

// keepFront writes every result that no other beats in both size and loss.
func (o *compressor) keepFront() error {
	if o.front == "" {
		return nil
	}
	if err := os.MkdirAll(o.front, 0o755); err != nil {
		return err
	}
	for _, c := range o.result.Search.Front() {
		name := fmt.Sprintf("%d-bytes-%.2f-lost%s", c.Bytes, c.Loss, filepath.Ext(o.out))
		if _, err := o.write(c.Model().Clone(), filepath.Join(o.front, name)); err != nil {
			return err
		}
	}
	return nil
}

// form is the file that is written: a container for --for container, else a
// model as it is.
func (o *compressor) form(m *graph.Model) ([]byte, error) {
	b, err := onnx.Marshal(m)
	if err != nil || o.target != "container" {
		return b, err
	}
	return pack.Pack(b)
}

// simplified is a copy of the model with constants folded and normalizations
// fused, so that training sees plain weights, those of each branch by themselves.
func (o *compressor) simplified() (*graph.Model, error) {
	m := o.model.Clone()
	list, err := passes.Pipeline("simplify")
	if err != nil {
		return nil, err
	}
	_, err = pass.Run(o.c, m, list, pass.Options{Off: map[string]bool{"join-parallel": true}})
	return m, err
}

// search reads the samples and trains.
func (o *compressor) search(m *graph.Model) error {
	data, err := o.trainingData(m, o.noLabels, o.samples)
	if err != nil {
		return err
	}
	p := &progress{c: o.c, off: o.quiet}
	total, bound, began, done := o.o.Steps(), "at most", time.Time{}, 0
	if o.target == "speed" {
		total, bound = o.o.NarrowSteps(), "about"
	}
	task, err := compress.NewTask(o.c, distill.Logits(m), data, o.seed, o.threads, func(stage string, density float64, at, of int, s distill.Scores) {
		if stage != "teacher" && began.IsZero() {
			began = time.Now()
		}
		name := stage
		if stage != "teacher" {
			name = fmt.Sprintf("%s %.3g %%", stage, 100*density)
			if done += compress.ReportEvery; done == 2*compress.ReportEvery && !o.quiet {
				left := time.Since(began) / compress.ReportEvery * time.Duration(total-done)
				fmt.Fprintf(o.c.errOut, "%s %d steps, about %v\n", bound, total, left.Round(time.Second))
			}
		}
		if stage == "teacher" {
			p.update(stage, at, of)
			return
		}
		p.detail(name, at, of, fmt.Sprintf("loss %.3f, agreement %.2f %%", s.Loss, 100*s.Agreement))
	})
	if err != nil {
		return err
	}
	finish := []string{"default-attributes", "dead-code", "short-names"}
	search := compress.Search
	switch o.target {
	case "file":
		finish = append(finish, "pad-channels", "encode-weights")
	case "container":
		finish = append(finish, "sort-units")
	case "speed":
		finish, search = nil, compress.Narrow
	}
	if o.o.Finish, err = passes.Select(finish); err != nil {
		return err
	}
	o.o.Size = func(m *graph.Model) (int, error) {
		b, err := o.form(m)
		return len(b), err
	}
	o.held = task.Held
	o.result.Search, err = search(o.c, distill.Logits(m), task, o.o)
	return err
}

// checkWritten loads the file and runs it beside the model that was trained.
func (o *compressor) checkWritten() error {
	written, err := loadModel(o.out)
	if err != nil {
		return err
	}
	worst, err := compress.Distance(o.c, distill.Logits(written), o.result.Search.Plain, o.held, o.threads)
	if err == nil && worst > 1e-4 {
		err = fmt.Errorf("internal error: the file's outputs differ by %.2g from those of the trained model", worst)
	}
	return err
}

// runTest measures the test error of the original, the result and the dense
// network.
func (o *compressor) runTest(result *graph.Model) error {
	if o.test == "" {
		return nil
	}
	d := o.dataFlags
	d.data, d.labels = o.test, o.testLabels
	data, err := d.testData(o.model)
	if err != nil {
		return err
	}
	wrong := func(m *graph.Model) (float64, error) { return wrongAnswers(o.c, m, data, o.threads) }
	t := &testErrors{Samples: data.Len()}
	if t.Original, err = wrong(o.model); err != nil {
		return err
	}
	if t.Result, err = wrong(result); err != nil {
		return err
	}
	if dense := o.result.Search.DenseModel(); dense != nil {
		e, err := wrong(dense)
		if err != nil {
			return err
		}
		t.Dense = &e
	}
	o.result.Test = t
	return nil
}

func (o *compressor) show(took time.Duration) error {
	o.result.Nanoseconds = took
	if o.json {
		return writeJSON(o.c.out, &o.result)
	}
	o.result.print(o.c.out)
	return nil
}

func (r *compressReport) print(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "stage\tkept\tbytes\theld agreement\tlost points\tfits\t\n")
	for _, c := range r.Search.Seen {
		size := ""
		if c.Bytes > 0 {
			size = fmt.Sprint(c.Bytes)
		}
		fmt.Fprintf(t, "%s\t%.2f %%\t%s\t%.2f %%\t%.2f\t%v\t\n", c.Stage, 100*c.Density, size, 100*c.Measure.Held.Agreement, c.Loss, c.Fits)
	}
	t.Flush()
	o := r.Search.Original
	fmt.Fprintf(w, "lost: estimated on %d samples kept out of training, plus a standard error; the original is taken to have %.2f %% of new samples wrong\n\n", o.Held.Samples, 100*o.Unseen())
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "tensor\tweights\tkept\tvalues\tweight bits\tindex bits\tHuffman w\tHuffman i\tfloat\tpruned\tshared\tHuffman\t\n")
	for _, l := range append(r.Ledger, r.Total) {
		fmt.Fprintf(t, "%s\t%d\t%d (%.2f %%)\t%d\t%d\t%d\t%.2f\t%.2f\t%d\t%d\t%d\t%d\t\n", l.Name, l.Weights, l.Kept, 100*float64(l.Kept)/float64(max(l.Weights, 1)),
			l.Values, l.Weight, l.Index, l.Coded, l.Gap, l.Float, l.Pruned, l.Shared, l.Huffman)
	}
	t.Flush()
	fmt.Fprintf(w, "\nHuffman codes as in Deep Compression: %s, %.1fx\n", bytesText(int64(r.Total.Huffman)), float64(r.Before)/float64(max(r.Total.Huffman, 1)))
	if e := r.Test; e != nil {
		fmt.Fprintf(w, "test error on %d samples: original %.2f %%, result %.2f %%", e.Samples, e.Original, e.Result)
		if e.Dense != nil {
			fmt.Fprintf(w, ", dense network trained the same way %.2f %%", *e.Dense)
		}
		fmt.Fprintln(w)
	}
	verb := "not written"
	if r.Written {
		verb = "wrote " + r.Output
	}
	fmt.Fprintf(w, "%s to %s, %.1fx; %s; %v\n", bytesText(r.Before), bytesText(r.After), float64(r.Before)/float64(max(r.After, 1)), verb, r.Nanoseconds.Round(time.Second))
}

package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/passes"
	"onnxopt/passes/compress"
	"onnxopt/passes/distill"
	"onnxopt/passes/pass"
	htmlreport "onnxopt/passes/report"
)

var distillVerb = verb{
	name: "distill", args: "MODEL --data D -o OUT", minArgs: 1, maxArgs: 1,
	doc:     "teach a smaller network the model's answers: one given, or the model without some of its channels",
	example: "onnxopt distill model.onnx --data images --prune-channels 0.5 -o fast.onnx",
	setup: func(f *pflag.FlagSet) func(*call) error {
		d := &distiller{}
		d.declare(f)
		return d.run
	},
}

// distiller is one run of the verb distill.
type distiller struct {
	dataFlags
	o                     distill.Options
	out, student          string
	checkpoint            string
	test, testLabels      string
	channels, maxDrop     float64
	samples               int
	noLabels, force, json bool
	quiet                 bool

	c      *call
	model  *graph.Model // the teacher as given
	result distillReport
}

// distillReport is what the verb prints. Without labels the loss is the share
// of samples that are answered otherwise than by the teacher.
type distillReport struct {
	Input       string             `json:"input"`
	Output      string             `json:"output"`
	Before      htmlreport.Figures `json:"before"`
	After       htmlreport.Figures `json:"after"`
	Untrained   distill.Scores     `json:"untrained"` // of the student, on held-out samples
	Trained     distill.Scores     `json:"trained"`
	Teacher     *float64           `json:"teacher_accuracy,omitempty"`
	Lost        float64            `json:"lost_points"`
	Test        *testErrors        `json:"test,omitempty"`
	Written     bool               `json:"written"`
	Nanoseconds time.Duration      `json:"nanoseconds"`
}

func (d *distiller) declare(f *pflag.FlagSet) {
	f.StringVarP(&d.out, "output", "o", "", "file to write")
	d.dataFlags.declare(f)
	f.StringVar(&d.student, "student", "", "network to teach, with the model's inputs and outputs")
	f.Float64Var(&d.channels, "prune-channels", 0, "without --student: teach the model without this share of its channels, neurons and heads")
	f.BoolVar(&d.noLabels, "no-labels", false, "take no labels, also where --data has them beside it")
	f.IntVar(&d.samples, "samples", 0, "samples to train on, 0 for all")
	f.IntVar(&d.o.Steps, "steps", 4000, "training steps")
	f.IntVar(&d.o.Batch, "batch", 128, "samples in a step")
	f.Float64Var(&d.o.Rate, "rate", 2e-3, "peak learning rate")
	f.Float64Var(&d.o.Temperature, "temperature", 2, "temperature of soft targets")
	f.Float64Var(&d.o.LabelWeight, "label-weight", 0.5, "weight of labels in the loss, where there are labels")
	f.IntVar(&d.o.Augment.Shift, "shift", 1, "largest shift of training pictures in pixels")
	f.BoolVar(&d.o.Augment.Flip, "flip", false, "mirror half of the training pictures")
	f.Float64Var(&d.o.Augment.Mixup, "mixup", 0, "largest share of another sample mixed in")
	f.Float64Var(&d.o.Augment.Noise, "noise", 0, "standard deviation of noise added to training samples")
	f.Float64Var(&d.maxDrop, "max-drop", 0.5, "points of accuracy, or of agreement without labels, that may be lost on held-out samples")
	f.BoolVar(&d.force, "force", false, "write the file even if it misses --max-drop")
	f.StringVar(&d.test, "test", "", "test samples, looked at once, at the end")
	f.StringVar(&d.testLabels, "test-labels", "", "their labels, if not beside them")
	f.Uint64Var(&d.o.Seed, "seed", 1, "seed; the same seed gives the same file")
	f.IntVar(&d.o.Threads, "threads", 1, "threads; results do not depend on it")
	f.StringVar(&d.checkpoint, "checkpoint", "", "file to resume from after an interruption (default OUT.checkpoint)")
	f.BoolVar(&d.json, "json", false, "print the result as JSON")
	f.BoolVarP(&d.quiet, "quiet", "q", false, "no progress")
}

func (d *distiller) run(c *call) error {
	start := time.Now()
	d.c = c
	if d.out == "" || d.data == "" {
		return fmt.Errorf("distill: give --data and -o OUT")
	}
	if d.checkpoint == "" {
		d.checkpoint = d.out + ".checkpoint"
	}
	if (d.student == "") == (d.channels == 0) {
		return fmt.Errorf("distill: give --student or --prune-channels")
	}
	var err error
	if d.model, err = loadModel(c.args[0]); err != nil {
		return err
	}
	student, err := d.makeStudent()
	if err != nil {
		return err
	}
	d.result = distillReport{Input: c.args[0], Output: d.out, Before: d.figures(d.model), After: d.figures(student)}
	logits := distill.Logits(student)
	if err := d.train(logits); err != nil {
		return fmt.Errorf("%s: %w", c.args[0], err)
	}
	if d.test != "" {
		if d.result.Test, err = d.testOf(logits); err != nil {
			return err
		}
	}
	if d.result.Lost > d.maxDrop && !d.force {
		d.show(time.Since(start))
		return refuse("the student loses %.2f points, more than --max-drop %.2f; not written (--force writes it)", d.result.Lost, d.maxDrop)
	}
	distill.RestoreOutputs(logits, d.model)
	if err := onnx.Save(logits, d.out, onnx.SaveOptions{Context: c}); err != nil {
		return err
	}
	d.result.Written = true
	return d.show(time.Since(start))
}

func (d *distiller) figures(m *graph.Model) htmlreport.Figures {
	return htmlreport.Figures{Bytes: int64(onnx.Size(m)), Parameters: parameters(m.Graph), Nodes: nodes(m.Graph)}
}

// makeStudent is the network to teach: simplified, so that training sees plain
// weights, those of each branch by themselves, with channels removed.
func (d *distiller) makeStudent() (*graph.Model, error) {
	m, settings, more := d.model.Clone(), pass.Settings{}, []string(nil)
	if d.student != "" {
		var err error
		if m, err = loadModel(d.student); err != nil {
			return nil, err
		}
	} else {
		settings.Prune.Channels = d.channels
		more = []string{"prune-channels"}
	}
	list, err := passes.Pipeline("simplify", more...)
	if err != nil {
		return nil, err
	}
	l, err := pass.Run(d.c, m, list, pass.Options{Settings: settings, Off: map[string]bool{"join-parallel": true}})
	if err == nil && d.student == "" && l.Changes("prune-channels") == 0 {
		err = fmt.Errorf("%s: no channel can be removed", d.c.args[0])
	}
	return m, err
}

// train teaches the student and scores it on samples that were held out.
func (d *distiller) train(student *graph.Model) error {
	data, err := d.trainingData(d.model, d.noLabels, d.samples)
	if err != nil {
		return err
	}
	p := &progress{c: d.c, off: d.quiet}
	task, err := compress.NewTask(d.c, distill.Logits(d.model), data, d.o.Seed, d.o.Threads, func(stage string, _ float64, done, total int, s distill.Scores) {
		p.detail(stage, done, total, fmt.Sprintf("loss %.3f, agreement %.2f %%", s.Loss, 100*s.Agreement))
	})
	if err != nil {
		return err
	}
	before, after, err := compress.Distill(d.c, student, task, d.o, d.checkpoint)
	if err != nil {
		return err
	}
	d.result.Untrained, d.result.Trained = before.Held, after.Held
	d.result.Lost = 100 * (1 - d.result.Trained.Agreement)
	if labels := task.Held.Labels; labels != nil {
		teacher := task.HeldAnswers.Accuracy(labels)
		d.result.Teacher, d.result.Lost = &teacher, 100*(teacher-d.result.Trained.Accuracy)
	}
	return nil
}

// testOf is the test errors of teacher and student.
func (d *distiller) testOf(student *graph.Model) (*testErrors, error) {
	flags := d.dataFlags
	flags.data, flags.labels = d.test, d.testLabels
	data, err := flags.testData(d.model)
	if err != nil {
		return nil, err
	}
	t := &testErrors{Samples: data.Len()}
	if t.Original, err = wrongAnswers(d.c, d.model, data, d.o.Threads); err != nil {
		return nil, err
	}
	t.Result, err = wrongAnswers(d.c, student, data, d.o.Threads)
	return t, err
}

// wrongAnswers is the share of wrong answers of m in percent.
func wrongAnswers(c *call, m *graph.Model, data *distill.Data, threads int) (float64, error) {
	a, err := distill.Ask(c, m, data, threads, nil)
	if err != nil {
		return 0, err
	}
	return 100 * (1 - a.Accuracy(data.Labels)), nil
}

func (d *distiller) show(took time.Duration) error {
	r := &d.result
	r.Nanoseconds = took
	if d.json {
		return writeJSON(d.c.out, r)
	}
	w := d.c.out
	fmt.Fprintf(w, "%s to %s, %d to %d parameters\n", bytesText(r.Before.Bytes), bytesText(r.After.Bytes), r.Before.Parameters, r.After.Parameters)
	fmt.Fprintf(w, "held-out samples: agreement with the teacher %.2f %%, before training %.2f %%; %.2f points lost\n",
		100*r.Trained.Agreement, 100*r.Untrained.Agreement, r.Lost)
	if r.Test != nil {
		fmt.Fprintf(w, "test error on %d samples: teacher %.2f %%, student %.2f %%\n", r.Test.Samples, r.Test.Original, r.Test.Result)
	}
	if r.Written {
		fmt.Fprintf(w, "wrote %s; %v\n", r.Output, took.Round(time.Second))
	}
	return nil
}

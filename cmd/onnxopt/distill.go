package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"onnxopt/onnx"
	"onnxopt/passes/compress"
	"onnxopt/passes/distill"
	"onnxopt/runtime/samples"
)

var distillVerb = verb{
	name: "distill", args: "TEACHER STUDENT --data D -o OUT", minArgs: 2, maxArgs: 2,
	doc:     "train a model to give the answers of another one on your samples",
	example: "onnxopt distill large.onnx small.onnx --data images -o taught.onnx",
	setup: func(f *pflag.FlagSet) func(*call) error {
		d := &distiller{}
		d.declare(f)
		return d.run
	},
}

// distiller is one run of the verb distill.
type distiller struct {
	dataFlags
	training
	out   string
	quiet bool
}

// training is the flags of training that verbs share.
type training struct {
	recipe           compress.Recipe
	noLabels         bool
	seed             uint64
	samples, threads int
}

func (t *training) declare(f *pflag.FlagSet) {
	f.BoolVar(&t.noLabels, "no-labels", false, "take no labels, also where --data has them beside it")
	f.IntVar(&t.samples, "samples", 0, "samples to train on, 0 for all")
	f.IntVar(&t.recipe.Batch, "batch", 0, "samples of a step (default 128)")
	f.Float64Var(&t.recipe.Rate, "rate", 0, "peak learning rate (default 0.002)")
	f.IntVar(&t.recipe.Augment.Shift, "shift", 1, "largest shift of training pictures in pixels")
	f.BoolVar(&t.recipe.Augment.Flip, "flip", false, "mirror half of the training pictures")
	f.Float64Var(&t.recipe.Augment.Mixup, "mixup", 0, "largest share of another sample mixed in")
	f.Float64Var(&t.recipe.Augment.Noise, "noise", 0, "standard deviation of noise added to training samples")
	f.Float64Var(&t.recipe.Targets.Temperature, "temperature", 2, "temperature of soft targets")
	f.Float64Var(&t.recipe.Targets.LabelWeight, "label-weight", 0.7, "weight of labels in the loss, where there are labels")
	f.Uint64Var(&t.seed, "seed", 1, "seed; the same seed gives the same file")
	f.IntVar(&t.threads, "threads", 1, "threads; results do not depend on it")
}

// read reads the samples and, unless they are not to be used, the labels.
func (t *training) read(d *dataFlags, set *samples.Set) (*distill.Data, error) {
	var labels []int
	if !t.noLabels {
		var err error
		if labels, err = d.truth(set); err != nil {
			return nil, err
		}
	}
	use := first(set, t.samples)
	if labels != nil {
		labels = labels[:use.Len()]
	}
	return distill.Load(use, labels)
}

func (d *distiller) declare(f *pflag.FlagSet) {
	f.StringVarP(&d.out, "output", "o", "", "file to write")
	d.dataFlags.declare(f)
	f.IntVar(&d.recipe.PruneSteps, "steps", 0, "training steps (default 6000)")
	d.training.declare(f)
	f.BoolVarP(&d.quiet, "quiet", "q", false, "no progress")
}

func (d *distiller) run(c *call) error {
	if d.out == "" || d.data == "" {
		return fmt.Errorf("distill: give --data D and -o OUT")
	}
	teacher, err := loadModel(c.args[0])
	if err != nil {
		return err
	}
	given, err := loadModel(c.args[1])
	if err != nil {
		return err
	}
	set, err := d.open(teacher, samples.Calibration)
	if err != nil {
		return err
	}
	defer set.Close()
	data, err := d.read(&d.dataFlags, set)
	if err != nil {
		return err
	}
	p := &progress{c: c, off: d.quiet}
	task, err := compress.NewTask(c, distill.Logits(teacher), data, d.seed, d.threads, func(stage string, _ float64, at, of int, s distill.Scores) {
		if stage == "teacher" {
			p.update(stage, at, of)
			return
		}
		p.detail("train", at, of, fmt.Sprintf("loss %.3f, agreement %.2f %%", s.Loss, 100*s.Agreement))
	})
	if err != nil {
		return err
	}
	student := distill.Logits(given)
	m, err := compress.Distill(c, student, task, d.recipe)
	if err != nil {
		return fmt.Errorf("%s: %w", c.args[1], err)
	}
	distill.RestoreOutputs(student, given)
	if err := onnx.Save(student, d.out, onnx.SaveOptions{}); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "agreement with the teacher on %d samples that were not trained on: %.2f %%\n", m.Held.Samples, 100*m.Held.Agreement)
	if task.Held.Labels != nil {
		fmt.Fprintf(c.out, "right: %.2f %%\n", 100*m.Held.Accuracy)
	}
	fmt.Fprintf(c.out, "wrote %s\n", d.out)
	return nil
}

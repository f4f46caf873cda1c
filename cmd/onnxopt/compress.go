package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"onnxopt/onnx"
	"onnxopt/passes"
	"onnxopt/passes/compress"
	"onnxopt/passes/distill"
	"onnxopt/passes/pass"
	"onnxopt/runtime/samples"
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
	out     string
	recipe  compress.Recipe
	seed    uint64
	threads int
	test    dataFlags
}

func (o *compressor) declare(f *pflag.FlagSet) {
	f.StringVarP(&o.out, "output", "o", "", "file to write")
	o.dataFlags.declare(f)
	f.Float64Var(&o.recipe.Density, "density", 0.035, "share of the weights to keep")
	f.IntVar(&o.recipe.Values, "values", 8, "shared values of a layer")
	f.IntVar(&o.recipe.BiasBits, "bias-bits", 6, "bits of biases")
	f.IntVar(&o.recipe.PruneSteps, "prune-steps", 0, "training steps while weights are pruned")
	f.IntVar(&o.recipe.ClusterSteps, "share-steps", 0, "training steps with shared weights")
	f.Float64Var(&o.recipe.Rate, "rate", 0, "")
	f.Float64Var(&o.recipe.ClusterRate, "share-rate", 0, "")
	f.IntVar(&o.recipe.Augment.Shift, "shift", 1, "largest shift of training images in pixels")
	f.Float64Var(&o.recipe.Targets.Temperature, "temperature", 2, "temperature of soft targets")
	f.Float64Var(&o.recipe.Targets.LabelWeight, "label-weight", 0.7, "weight of labels in the loss")
	f.Uint64Var(&o.seed, "seed", 1, "seed")
	f.IntVar(&o.threads, "threads", 1, "threads; results do not depend on it")
}

func (o *compressor) run(c *call) error {
	m, err := loadModel(c.args[0])
	if err != nil {
		return err
	}
	set, err := o.open(m, samples.Calibration)
	if err != nil {
		return err
	}
	if set == nil {
		return fmt.Errorf("compress: it trains on samples: give --data")
	}
	defer set.Close()
	labels, err := o.truth(set)
	if o.labels == "" {
		labels, err = nil, nil
	}
	if err != nil {
		return err
	}
	data, err := distill.Load(set, labels)
	if err != nil {
		return err
	}
	list, err := passes.Pipeline("simplify")
	if err != nil {
		return err
	}
	if _, err := pass.Run(c, m, list, pass.Options{}); err != nil {
		return err
	}
	task := &compress.Task{Seed: o.seed, Threads: o.threads}
	task.Progress = func(stage string, done, total int, s distill.Scores) {
		if done%250 == 0 {
			fmt.Fprintf(c.errOut, "%s %d/%d loss %.4f agreement %.4f\n", stage, done, total, s.Loss, s.Agreement)
		}
	}
	task.Train, task.Held = data.Split(1.0/50, o.seed)
	t := distill.Logits(m)
	if task.TrainAnswers, err = distill.Ask(c, t, task.Train, o.threads, nil); err != nil {
		return err
	}
	if task.HeldAnswers, err = distill.Ask(c, t, task.Held, o.threads, nil); err != nil {
		return err
	}
	small, scores, err := o.recipe.Run(c, t, task)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%+v\n", scores)
	return onnx.Save(small, o.out, onnx.SaveOptions{})
}

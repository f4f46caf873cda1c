// Package compress makes models small from samples alone: prune, share
// weights, distil (Han, Mao, Dally, "Deep Compression", 2016, with the original
// model as the teacher in the place of its training set's labels).
package compress

import (
	"context"
	"fmt"

	"onnxopt/onnx/graph"
	"onnxopt/passes/cluster"
	"onnxopt/passes/distill"
	"onnxopt/passes/prune"
)

// Recipe is one way to compress. The zero value of a field is its default.
type Recipe struct {
	Density      float64 // share of weights kept, in (0, 1]; 1 prunes nothing
	Values       int     // shared values of a layer beside zero; 0 shares none
	BiasBits     int     // bits of biases and other small parameters; 0 leaves them alone
	PruneSteps   int     // 0 is 5000
	ClusterSteps int     // 0 is 1600
	Batch        int     // 0 is 128
	Rate         float64 // peak learning rate of pruning; 0 is 2e-3
	ClusterRate  float64 // and of sharing; 0 is 1e-3
	Pattern      prune.Pattern
	Init         cluster.Init
	Targets      distill.Targets
	Augment      distill.Augment
}

func (r *Recipe) setDefaults() {
	for _, d := range []struct {
		p *int
		v int
	}{{&r.PruneSteps, 5000}, {&r.ClusterSteps, 1600}, {&r.Batch, 128}} {
		if *d.p == 0 {
			*d.p = d.v
		}
	}
	for _, d := range []struct {
		p *float64
		v float64
	}{{&r.Density, 1}, {&r.Rate, 2e-3}, {&r.ClusterRate, 1e-3}} {
		if *d.p == 0 {
			*d.p = d.v
		}
	}
}

// Task is what a recipe is carried out on: the samples with the teacher's
// answers to them.
type Task struct {
	Train, Held               *distill.Data
	TrainAnswers, HeldAnswers *distill.Answers
	Seed                      uint64
	Threads                   int
	// Progress reports a stage; never nil.
	Progress func(stage string, done, total int, s distill.Scores)
}

// stage is one training.
type stage struct {
	name  string
	o     distill.Options
	start func(*distill.Trainer) error
}

// Prunable reports weights of two axes and more: matrices and kernels.
func Prunable(shape []int) bool { return len(shape) >= 2 }

// pruning trains m towards the recipe's density.
func (r *Recipe) pruning(task *Task) stage {
	return stage{"prune", distill.Options{Targets: r.Targets, Augment: r.Augment, Steps: r.PruneSteps, Batch: r.Batch, Rate: r.Rate,
		Seed: task.Seed, Threads: task.Threads}, func(t *distill.Trainer) error {
		if r.Density >= 1 && r.Pattern.M == 0 {
			return nil
		}
		g := &prune.Gradual{Pattern: r.Pattern, Density: r.Density}
		return g.Start(t, func(i int) bool { return Prunable(t.Program.Params[i].Shape) })
	}}
}

// sharing trains m with few values for each weight.
func (r *Recipe) sharing(task *Task) stage {
	return stage{"share", distill.Options{Targets: r.Targets, Augment: r.Augment, Steps: r.ClusterSteps, Batch: r.Batch, Rate: r.ClusterRate,
		Seed: task.Seed + 1, Threads: task.Threads}, func(t *distill.Trainer) error {
		s := &cluster.Shared{Values: r.Values, Init: r.Init, GridBits: r.BiasBits}
		s.Start(t, func(i int) bool { return Prunable(t.Program.Params[i].Shape) })
		return nil
	}}
}

// run carries a stage out on m, which it changes, and scores the result on the
// held samples.
func (s stage) run(ctx context.Context, m *graph.Model, task *Task) (distill.Scores, error) {
	t, err := distill.New(m, task.Train, task.TrainAnswers, s.o)
	if err != nil {
		return distill.Scores{}, err
	}
	defer t.Close()
	if err := s.start(t); err != nil {
		return distill.Scores{}, err
	}
	for t.Step < t.Steps() {
		if err := ctx.Err(); err != nil {
			return distill.Scores{}, err
		}
		if err := t.Advance(); err != nil {
			return distill.Scores{}, fmt.Errorf("step %d: %w", t.Step, err)
		}
		if t.Step%100 == 0 || t.Step == t.Steps() {
			task.Progress(s.name, t.Step, t.Steps(), t.Running())
		}
	}
	scores, err := t.Evaluate(task.Held, task.HeldAnswers, task.Held.Len(), 0)
	t.Store()
	for v:=range 5 { fmt.Println(t.Evaluate(task.Train, task.TrainAnswers, 10000, v)) }
	return scores, err
}

// Run makes a compressed copy of m. Scores are those on the held samples.
func (r Recipe) Run(ctx context.Context, m *graph.Model, task *Task) (*graph.Model, distill.Scores, error) {
	r.setDefaults()
	c := m.Clone()
	scores, err := r.pruning(task).run(ctx, c, task)
	if err != nil || r.Values == 0 {
		return c, scores, err
	}
	scores, err = r.sharing(task).run(ctx, c, task)
	return c, scores, err
}

// Package compress makes models small from samples alone: prune, share
// weights, distil (Han, Mao, Dally, "Deep Compression", 2016), with the
// original model as the teacher in the place of a training set's labels.
package compress

import (
	"context"
	"fmt"
	"time"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/cluster"
	"onnxopt/passes/distill"
	"onnxopt/passes/prune"
)

// Recipe is how a model is trained smaller. The zero value of a field is its
// default.
type Recipe struct {
	Values      int     // shared values of a layer beside zero; 0 is 8
	BiasBits    int     // bits of biases and other vectors; 0 is 7
	PruneSteps  int     // of the first pruning; 0 is 6000
	RungSteps   int     // of each further one; 0 is a sixth of PruneSteps
	RefineSteps int     // at the density that is to be shared, masks still moving; 0 is half of PruneSteps
	ShareSteps  int     // of training with shared weights; 0 is 2000
	Batch       int     // 0 is 128
	Rate        float64 // peak learning rate of pruning; 0 is 2e-3
	ShareRate   float64 // and of sharing; 0 is half of it
	Pattern     prune.Pattern
	Init        cluster.Init
	Targets     distill.Targets
	Augment     distill.Augment
}

func (r *Recipe) setDefaults() {
	integer := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	integer(&r.Values, 8)
	integer(&r.BiasBits, 7)
	integer(&r.PruneSteps, 6000)
	integer(&r.RungSteps, max(r.PruneSteps/6, 1))
	integer(&r.RefineSteps, max(r.PruneSteps/2, 1))
	integer(&r.ShareSteps, 2000)
	integer(&r.Batch, 128)
	if r.Rate == 0 {
		r.Rate = 2e-3
	}
	if r.ShareRate == 0 {
		r.ShareRate = r.Rate / 2
	}
}

// stage is one training, with what it makes the weights of.
type stage struct {
	name    string
	density float64
	o       distill.Options
	prune   *prune.Gradual
	share   *cluster.Shared
}

func (r *Recipe) options(task *Task, steps int, rate float64) distill.Options {
	return distill.Options{Targets: r.Targets, Augment: r.Augment, Steps: steps, Batch: r.Batch, Rate: rate, Seed: task.Seed, Threads: task.Threads}
}

// pruning trains from one density to another; below a density of 1 it begins
// with the zeros of the training before.
func (r *Recipe) pruning(task *Task, name string, steps int, from, to float64) stage {
	return stage{name: name, density: to, o: r.options(task, steps, r.Rate), prune: &prune.Gradual{Pattern: r.Pattern, From: from, Density: to}}
}

// sharing trains with few values for the weights.
func (r *Recipe) sharing(task *Task, density float64) stage {
	return stage{name: "share", density: density, o: r.options(task, r.ShareSteps, r.ShareRate),
		share: &cluster.Shared{Values: r.Values, Init: r.Init, GridBits: r.BiasBits}}
}

// dense trains all weights: what distillation and augmentation do alone.
func (r *Recipe) dense(task *Task) stage {
	return stage{name: "dense", density: 1, o: r.options(task, r.PruneSteps, r.Rate)}
}

// prunable reports weights of two axes and more: matrices and kernels.
func prunable(shape []int) bool { return len(shape) >= 2 }

func (s *stage) start(t *distill.Trainer, m *graph.Model) error {
	chosen := func(i int) bool { return prunable(t.Program.Params[i].Shape) }
	switch {
	case s.prune != nil:
		return s.prune.Start(t, m, chosen)
	case s.share != nil:
		s.share.Start(t, chosen)
	}
	return nil
}

// derived is what a snapshot must keep of the stage, restore its counterpart.
func (s *stage) derived() [][]float32 {
	switch {
	case s.prune != nil:
		return s.prune.Masks
	case s.share != nil:
		return s.share.State()
	}
	return nil
}

func (s *stage) restore(t *distill.Trainer, snap *distill.Snapshot) {
	t.Restore(snap)
	for i, v := range s.derived() {
		copy(v, snap.Derived[i])
	}
	switch {
	case s.prune != nil:
		s.prune.Apply(t)
	case s.share != nil:
		s.share.Apply(t)
	}
}

// Distill trains the student on the task's answers and measures it before and
// after. A killed training resumes from the checkpoint file, "" for none, to
// the same bytes.
func Distill(ctx context.Context, student *graph.Model, task *Task, o distill.Options, checkpoint string) (before, after Measure, err error) {
	j, err := openJournal(checkpoint, task.key(student, o))
	if err != nil {
		return before, after, err
	}
	if before, err = task.Original(student); err != nil {
		return before, after, err
	}
	s := stage{name: "distill", density: 1, o: o}
	if after, err = s.run(ctx, student, task, j); err == nil {
		j.remove()
	}
	return before, after, err
}

// ReportEvery is the steps between reports of progress.
const ReportEvery = 25

// run carries the stage out on m, whose weights it changes.
func (s *stage) run(ctx context.Context, m *graph.Model, task *Task, j *journal) (Measure, error) {
	t, err := distill.New(m, task.Train, task.TrainAnswers, s.o)
	if err != nil {
		return Measure{}, err
	}
	defer t.Close()
	if err := s.start(t, m); err != nil {
		return Measure{}, err
	}
	if snap := j.running(); snap != nil {
		s.restore(t, snap)
	}
	saved := time.Now()
	for t.Step < t.Steps() {
		if err := ctx.Err(); err != nil {
			return Measure{}, err
		}
		if err := t.Advance(); err != nil {
			return Measure{}, fmt.Errorf("step %d: %w", t.Step, err)
		}
		if time.Since(saved) > task.saveEvery() {
			if err := j.pause(t.Snapshot(s.derived())); err != nil {
				return Measure{}, err
			}
			saved = time.Now()
		}
		if t.Step%ReportEvery == 0 || t.Step == t.Steps() {
			task.Progress(s.name, s.density, t.Step, t.Steps(), t.Running())
		}
	}
	t.Store()
	return task.measure(t.Evaluate)
}

// weights is the float32 initializers of m by name; setWeights puts them back.
func weights(m *graph.Model) map[string][]float32 {
	out := map[string][]float32{}
	for v := range m.Graph.Initializers() {
		if t := v.Const(); t != nil && t.Type == tensor.Float32 {
			out[v.Name] = t.Float32s()
		}
	}
	return out
}

func setWeights(m *graph.Model, w map[string][]float32) error {
	for v := range m.Graph.Initializers() {
		x, ok := w[v.Name]
		if !ok {
			continue
		}
		t := v.Const()
		if t == nil || t.Len() != len(x) {
			return fmt.Errorf("%s has other weights than the checkpoint", v.Name)
		}
		d := *v.Data
		d.Tensor, d.Layout = tensor.Of(t.Shape, x), graph.Raw
		v.Data = &d
	}
	return nil
}

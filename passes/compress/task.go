package compress

import (
	"context"
	"fmt"
	"time"

	"onnxopt/onnx/graph"
	"onnxopt/passes/distill"
)

// Task is what a model is trained on: samples with the original's answers.
type Task struct {
	Train, Held               *distill.Data
	TrainAnswers, HeldAnswers *distill.Answers
	Seed                      uint64
	Threads                   int
	// Progress reports a stage, the density it works towards, and what the
	// training has scored since the last report; never nil.
	Progress func(stage string, density float64, done, total int, s distill.Scores)
	// SaveEvery is the time between checkpoints within a stage; 0 is 20 s.
	SaveEvery time.Duration
}

// heldShare of the samples, at least one, is not trained on.
const heldShare = 0.02

// NewTask splits the samples and asks the original, whose outputs should be
// scores (see distill.Logits).
func NewTask(ctx context.Context, original *graph.Model, d *distill.Data, seed uint64, threads int, progress func(stage string, density float64, done, total int, s distill.Scores)) (*Task, error) {
	if d.Len() < 2 {
		return nil, fmt.Errorf("%d samples are too few to train on", d.Len())
	}
	t := &Task{Seed: seed, Threads: threads, Progress: progress}
	t.Train, t.Held = d.Split(max(heldShare, 1/float64(d.Len())), seed)
	var err error
	ask := func(d *distill.Data) *distill.Answers {
		if err != nil {
			return nil
		}
		var a *distill.Answers
		a, err = distill.Ask(ctx, original, d, threads, func(done, total int) {
			progress("teacher", 1, done, total, distill.Scores{})
		})
		return a
	}
	t.TrainAnswers, t.HeldAnswers = ask(t.Train), ask(t.Held)
	return t, err
}

func (t *Task) saveEvery() time.Duration {
	if t.SaveEvery > 0 {
		return t.SaveEvery
	}
	return 20 * time.Second
}

// Measure is how well a model does without a look at test data.
type Measure struct {
	Held distill.Scores `json:"held"` // on samples that were not trained on
	// Views is the share of wrong answers on training samples seen from half a
	// pixel aside, which neither the model nor the original was trained on: other
	// than the label or, without labels, than the original's answer to the
	// sample as it is. On pictures only.
	Views float64 `json:"views,omitempty"`
}

// viewSamples is the number of samples that are seen in every view.
const viewSamples = 10000

// measure scores a model through eval.
func (t *Task) measure(eval func(d *distill.Data, a *distill.Answers, n, view int) (distill.Scores, error)) (Measure, error) {
	var m Measure
	var err error
	if m.Held, err = eval(t.Held, t.HeldAnswers, t.Held.Len(), 0); err != nil || !t.Train.Pictures() {
		return m, err
	}
	for v := 1; v <= distill.Views; v++ {
		s, err := eval(t.Train, t.TrainAnswers, viewSamples, v)
		if err != nil {
			return m, err
		}
		right := s.Agreement
		if t.Train.Labels != nil {
			right = s.Accuracy
		}
		m.Views += (1 - right) / distill.Views
	}
	return m, nil
}

// Loss is how much worse a is than b, in points: of wrong answers in views,
// else of accuracy on held samples, else of agreement with the original.
func (t *Task) Loss(a, b Measure) float64 {
	switch {
	case t.Train.Pictures():
		return 100 * (a.Views - b.Views)
	case t.Train.Labels != nil:
		return 100 * (b.Held.Accuracy - a.Held.Accuracy)
	}
	return 100 * (b.Held.Agreement - a.Held.Agreement)
}

// Original measures the original itself.
func (t *Task) Original(m *graph.Model) (Measure, error) {
	return t.measure(func(d *distill.Data, a *distill.Answers, n, view int) (distill.Scores, error) {
		return distill.Evaluate(m, d, a, n, view, t.Threads)
	})
}

// Distance is the largest difference of two models' outputs on samples,
// relative to the largest output.
func Distance(ctx context.Context, a, b *graph.Model, d *distill.Data, threads int) (float64, error) {
	x, err := distill.Ask(ctx, a, d, threads, nil)
	if err != nil {
		return 0, err
	}
	y, err := distill.Ask(ctx, b, d, threads, nil)
	if err != nil {
		return 0, err
	}
	return x.Distance(y), nil
}

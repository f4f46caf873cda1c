package compress

import (
	"context"
	"fmt"
	"math"
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

// heldSamples is how many of n samples are not trained on: a tenth, but of few
// samples up to a fifth, for the estimate of what is lost stands on them alone.
func heldSamples(n int) int {
	return max(n/10, min(n/5, 1000), 1)
}

// NewTask splits the samples and asks the original, whose outputs should be
// scores (see distill.Logits).
func NewTask(ctx context.Context, original *graph.Model, d *distill.Data, seed uint64, threads int, progress func(stage string, density float64, done, total int, s distill.Scores)) (*Task, error) {
	if d.Len() < 2 {
		return nil, fmt.Errorf("%d samples are too few to train on", d.Len())
	}
	t := &Task{Seed: seed, Threads: threads, Progress: progress}
	t.Train, t.Held = d.Split(heldSamples(d.Len()), seed)
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

// Measure is how well a model does on the held samples, in one figure for
// each sample: Wrong is the share of its views with another answer than the
// label or, without labels, than the original's answer to the sample as it is.
// Pictures are seen from half a pixel aside (see distill.Views), which neither
// the model nor the original was trained on; other samples as they are. Of
// outputs that are no scores it is the square of the difference to the
// original's, relative to the mean square of those.
type Measure struct {
	Held  distill.Scores `json:"held"`  // samples as they are
	Plain float64        `json:"plain"` // mean of what Wrong is of samples as they are
	Views float64        `json:"wrong"` // mean of Wrong
	Wrong []float32      `json:"-"`
}

func mean(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x)
	}
	return sum / float64(max(len(v), 1))
}

// measure scores a model through eval.
func (t *Task) measure(eval func(d *distill.Data, a *distill.Answers, view int) (distill.Scores, []float32, error)) (Measure, error) {
	var m Measure
	var err error
	if m.Held, m.Wrong, err = eval(t.Held, t.HeldAnswers, 0); err != nil {
		return m, err
	}
	m.Plain = mean(m.Wrong)
	if t.Held.Pictures() {
		clear(m.Wrong)
		for v := 1; v <= distill.Views; v++ {
			_, wrong, err := eval(t.Held, t.HeldAnswers, v)
			if err != nil {
				return m, err
			}
			for i, w := range wrong {
				m.Wrong[i] += w / distill.Views
			}
		}
	}
	m.Views = mean(m.Wrong)
	return m, nil
}

const (
	// confidence is the standard errors by which Loss is above the estimate:
	// the loss is below it in about five of six cases.
	confidence = 1
	// aside is the share of the samples, at most, that half a pixel may cost a
	// model without being counted as lost.
	aside = 0.005
	// unseen is the share of the samples, at most, that the original is taken to
	// have wrong on new samples beyond what it has wrong on these.
	unseen = 0.02
)

// Unseen is the share of new samples that the original, measured as m, is taken
// to have wrong.
func (m Measure) Unseen() float64 { return min(m.Views, m.Plain+unseen) }

// Loss is how much worse a is than b, the original, in points: the mean over
// the held samples of the difference of what is wrong, plus its standard error,
// since few samples tell little.
//
// The original may know the held samples by heart: half a pixel aside is what
// tells how it does on new ones. To a the samples are new as they are, and half
// a pixel costs it something on top, a matter of chance in networks of few
// weights that says nothing of what was lost. So that cost is left out, up to a
// bound. What half a pixel costs the original is bounded too: training with
// shifts makes a small network bear what its original does not, which says
// nothing of new samples as they are.
func (t *Task) Loss(a, b Measure) float64 {
	square, n := 0.0, float64(len(a.Wrong))
	for i, w := range a.Wrong {
		d := float64(w - b.Wrong[i])
		square += d * d / n
	}
	difference := a.Views - b.Views
	lost := max(min(a.Plain, a.Views), a.Views-aside) - b.Unseen()
	return 100 * (lost + confidence*math.Sqrt(max(square-difference*difference, 0)/n))
}

// Original measures the original itself.
func (t *Task) Original(m *graph.Model) (Measure, error) {
	return t.measure(func(d *distill.Data, a *distill.Answers, view int) (distill.Scores, []float32, error) {
		return distill.Evaluate(m, d, a, view, t.Threads)
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

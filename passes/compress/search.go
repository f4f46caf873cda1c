package compress

import (
	"cmp"
	"context"
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/passes/clean"
	"onnxopt/passes/pass"
	"onnxopt/passes/prune"
	"onnxopt/runtime/grad"
)

// Options of Search. The zero value of a field is its default.
type Options struct {
	Recipe
	MaxDrop    float64 // points that may be lost; see Task.Loss
	Density    float64 // share of weights of the first rung; 0 is 0.05
	Step       float64 // factor between rungs; 0 is 0.88
	Rungs      int     // most rungs; 0 is 10
	Fixed      bool    // only the first rung, whatever it loses
	Dense      bool    // train the dense network too, for comparison
	Checkpoint string  // file to resume from; "" keeps none
	// Finish are passes that a model with shared weights goes through.
	Finish []pass.Pass
	// Size is the bytes of such a model in the form that is asked for; never nil.
	Size func(m *graph.Model) (int, error)
}

// Candidate is a point that the search has seen.
type Candidate struct {
	Stage   string  `json:"stage"` // prune, refine, share or dense
	Density float64 `json:"density"`
	Bytes   int     `json:"bytes,omitempty"` // with shared weights only
	Loss    float64 `json:"loss_points"`     // see Task.Loss
	Fits    bool    `json:"fits"`            // within the budget
	Measure Measure `json:"measure"`

	model, plain *graph.Model // as asked for, and before Finish
}

// Result is what a search found.
type Result struct {
	Model    *graph.Model `json:"-"` // the smallest that fits, or the best one
	Plain    *graph.Model `json:"-"` // Model before Options.Finish
	Chosen   Candidate    `json:"chosen"`
	Original Measure      `json:"original"`
	Dense    *Candidate   `json:"dense,omitempty"`
	Seen     []Candidate  `json:"seen"`
	dense    *graph.Model
}

// Front is the finished results that no other beats in both size and loss, the
// smallest first.
func (r *Result) Front() []Candidate {
	done := slices.DeleteFunc(slices.Clone(r.Seen), func(c Candidate) bool { return c.Bytes == 0 })
	slices.SortStableFunc(done, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(a.Bytes, b.Bytes), cmp.Compare(a.Loss, b.Loss))
	})
	best := math.Inf(1)
	return slices.DeleteFunc(done, func(c Candidate) bool {
		beaten := c.Loss >= best
		best = min(best, c.Loss)
		return beaten
	})
}

// Model is the candidate as a model in the form that was asked for.
func (c *Candidate) Model() *graph.Model { return c.model }

// DenseModel is the dense network that was trained for comparison, nil
// without.
func (r *Result) DenseModel() *graph.Model { return r.dense }

func (o *Options) setDefaults() {
	o.Recipe.setDefaults()
	if o.Density == 0 {
		o.Density = 0.05
	}
	if o.Step == 0 {
		o.Step = 0.88
	}
	if o.Rungs == 0 {
		o.Rungs = 10
	}
	if o.Fixed {
		o.Rungs = 1
	}
}

// searcher is one search.
type searcher struct {
	o        Options
	task     *Task
	original *graph.Model
	journal  *journal
	result   *Result
}

// Search prunes m in rungs of falling density for as long as the loss stays
// near the budget; what died in a rung is gone in the next, whose steps are
// faster for it. The smallest rung is then trained longer, with masks still
// moving, and at last with shared weights; if that loses too much, a density
// above it, and so on (see settle). The schedule depends on nothing but the
// arguments.
func Search(ctx context.Context, m *graph.Model, task *Task, o Options) (*Result, error) {
	o.setDefaults()
	s, err := newSearcher(m, task, o, "")
	if err != nil {
		return nil, err
	}
	rungs, err := s.descend(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.settle(ctx, rungs); err != nil {
		return nil, err
	}
	if o.Dense {
		st := o.dense(task)
		c, err := s.stage(ctx, st, m)
		if err != nil {
			return nil, err
		}
		s.result.Dense, s.result.dense = &c, c.model
	}
	s.journal.remove()
	return s.result, nil
}

// newSearcher opens the journal of a search of a kind.
func newSearcher(m *graph.Model, task *Task, o Options, kind string) (*searcher, error) {
	s := &searcher{o: o, task: task, original: m, result: &Result{}}
	var err error
	if s.journal, err = openJournal(o.Checkpoint, kind+s.key()); err != nil {
		return nil, err
	}
	s.result.Original, err = task.Original(m)
	return s, err
}

// choose trains rungs on, the smallest first, until one fits; if none does, the
// one that loses least is chosen.
func (s *searcher) choose(rungs []Candidate, train func(Candidate) (Candidate, error)) error {
	best := Candidate{Loss: math.Inf(1)}
	for i := len(rungs) - 1; i >= 0 && !best.Fits; i-- {
		c, err := train(rungs[i])
		if err != nil {
			return err
		}
		if c.Fits || c.Loss < best.Loss {
			best = c
		}
	}
	s.take(best)
	return nil
}

func (s *searcher) take(c Candidate) {
	s.result.Chosen, s.result.Model, s.result.Plain = c, c.model, c.plain
}

// settle shares weights at the density of the smallest rung and, for as long
// as that loses too much, at a higher one, which starts from the rung next
// above it. How much higher follows from the excess and from how the loss of
// the last rungs rises; each further time it is at least a tenth more. If
// nothing fits, the result that loses least is taken.
func (s *searcher) settle(ctx context.Context, rungs []Candidate) error {
	best := Candidate{Loss: math.Inf(1)}
	slope := max(rise(rungs[max(len(rungs)-3, 0):]), 0.1)
	density, least := rungs[len(rungs)-1].Density, 1.0
	for {
		from := len(rungs) - 1
		for rungs[from].Density < density {
			from--
		}
		c, err := s.share(ctx, rungs[from], density)
		if err != nil {
			return err
		}
		if c.Fits || c.Loss < best.Loss {
			best = c
		}
		if c.Fits || from == 0 && density == rungs[0].Density {
			break
		}
		least += 0.1
		density = min(density*max(math.Exp((c.Loss-s.o.MaxDrop)/slope), least), rungs[0].Density)
	}
	s.take(best)
	return nil
}

// rise is the points by which the loss of rungs rises as the density falls by a
// factor of e: the slope of least squares.
func rise(rungs []Candidate) float64 {
	n := float64(len(rungs))
	x, y, xx, xy := 0.0, 0.0, 0.0, 0.0
	for _, c := range rungs {
		d := -math.Log(c.Density)
		x, y, xx, xy = x+d/n, y+c.Loss/n, xx+d*d/n, xy+d*c.Loss/n
	}
	if xx -= x * x; xx <= 0 {
		return 0
	}
	return (xy - x*y) / xx
}

// Steps is the training steps that a search takes at most.
func (o Options) Steps() int {
	o.setDefaults()
	n := o.PruneSteps + (o.Rungs-1)*o.RungSteps + 2*(o.RefineSteps+o.ShareSteps)
	if o.Fixed {
		n = o.PruneSteps + o.RefineSteps + o.ShareSteps
	}
	if o.Dense {
		n += o.PruneSteps
	}
	return n
}

// key identifies the work: model, samples and options.
func (s *searcher) key() string {
	o := s.o
	o.Checkpoint, o.Size, o.Finish = "", nil, nil
	return s.task.key(s.original, o)
}

// stage runs a stage on a copy of m, or takes its result from the journal.
func (s *searcher) stage(ctx context.Context, st stage, m *graph.Model) (Candidate, error) {
	c := Candidate{Stage: st.name, Density: st.density, model: m.Clone()}
	if f := s.journal.replay(); f != nil {
		if err := setWeights(c.model, f.Weights); err != nil {
			return c, err
		}
		c.Measure = f.Measure
	} else {
		var err error
		if c.Measure, err = st.run(ctx, c.model, s.task, s.journal); err != nil {
			return c, err
		}
		if err := s.journal.finish(finished{weights(c.model), c.Measure}); err != nil {
			return c, err
		}
	}
	c.Loss = s.task.Loss(c.Measure, s.result.Original)
	c.Fits = c.Loss <= s.o.MaxDrop+1e-9
	var err error
	if c.plain = c.model; st.share != nil {
		c.model = c.plain.Clone()
		if _, err = pass.Run(ctx, c.model, s.o.Finish, pass.Options{}); err == nil {
			c.Bytes, err = s.o.Size(c.model)
		}
	}
	s.result.Seen = append(s.result.Seen, c)
	return c, err
}

// slack is the points that longer training has been seen to win back over a
// rung.
const slack = 0.3

// descend prunes rung by rung, until one loses more than longer training may
// win back.
func (s *searcher) descend(ctx context.Context) ([]Candidate, error) {
	var rungs []Candidate
	m, from, to, steps := s.original, 1.0, s.o.Density, s.o.PruneSteps
	for len(rungs) < s.o.Rungs {
		c, err := s.prune(ctx, m, "prune", steps, from, to)
		if err != nil {
			return nil, err
		}
		if c.Loss > s.o.MaxDrop+slack && len(rungs) > 0 {
			break
		}
		rungs = append(rungs, c)
		if m, err = alive(ctx, c.model); err != nil {
			return nil, err
		}
		from, to, steps = to, to*s.o.Step, s.o.RungSteps
	}
	return rungs, nil
}

// prune trains m, the original or what is left of it, between two densities,
// which are shares of the original's weights.
func (s *searcher) prune(ctx context.Context, m *graph.Model, name string, steps int, from, to float64) (Candidate, error) {
	left := float64(prunableWeights(s.original)) / float64(max(prunableWeights(m), 1))
	st := s.o.pruning(s.task, name, steps, min(from*left, 1), min(to*left, 1))
	st.density = to
	return s.stage(ctx, st, m)
}

// alive is a copy of m without dead units.
func alive(ctx context.Context, m *graph.Model) (*graph.Model, error) {
	c := m.Clone()
	_, err := pass.Run(ctx, c, []pass.Pass{prune.DeadUnits, clean.Dead}, pass.Options{})
	return c, err
}

func prunableWeights(m *graph.Model) int {
	n := 0
	for _, v := range grad.Weights(m) {
		if prunable(v.Const().Shape) {
			n += v.Const().Len()
		}
	}
	return n
}

// share trains a rung longer, down to a density, and then with shared weights.
func (s *searcher) share(ctx context.Context, rung Candidate, density float64) (Candidate, error) {
	m, err := alive(ctx, rung.model)
	if err != nil {
		return rung, err
	}
	c, err := s.prune(ctx, m, "refine", s.o.RefineSteps, rung.Density, density)
	if err != nil {
		return rung, err
	}
	if m, err = alive(ctx, c.model); err != nil {
		return rung, err
	}
	return s.stage(ctx, s.o.sharing(s.task, density), m)
}

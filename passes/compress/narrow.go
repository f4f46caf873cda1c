package compress

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/passes/clean"
	"onnxopt/passes/distill"
	"onnxopt/passes/pass"
	"onnxopt/passes/prune"
)

// narrowStep is the share of the cost that stays in a further rung.
const narrowStep = 0.75

// fisherSamples is how many samples tell which channels matter.
const fisherSamples = 512

// Narrow is Search for speed: whole channels, neurons, heads and branches of
// residual blocks go, so that any runtime is faster. It removes them in rungs,
// each trained for RungSteps, or longer where it saves more than one rung, for as
// long as the loss stays near the budget; then the cheapest rung is trained for
// PruneSteps, and if it loses too much the rung above it, and so on. The density
// of a candidate is the share of prune.Cost that is left.
func Narrow(ctx context.Context, m *graph.Model, task *Task, o Options) (*Result, error) {
	if o.Step == 0 {
		o.Step = narrowStep
	}
	o.setDefaults()
	s, err := newSearcher(m, task, o, "narrow ")
	if err != nil {
		return nil, err
	}
	rungs, err := s.narrow(ctx)
	if err != nil {
		return nil, err
	}
	err = s.choose(rungs, func(c Candidate) (Candidate, error) {
		return s.wide(ctx, c.plain, "refine", o.PruneSteps, c.Density)
	})
	if err != nil {
		return nil, err
	}
	s.journal.remove()
	return s.result, nil
}

// NarrowSteps is about the training steps of Narrow.
func (o Options) NarrowSteps() int {
	o.setDefaults()
	return (1+(1+branchTrials)/4)*o.Rungs*o.RungSteps + 2*o.PruneSteps
}

// narrow goes down for as much as Rungs save; at least one rung is returned.
func (s *searcher) narrow(ctx context.Context) ([]Candidate, error) {
	var rungs []Candidate
	at := Candidate{plain: s.original, Density: 1}
	for left := float64(s.o.Rungs); left > 0; {
		next, err := s.cheaper(ctx, at)
		if err != nil {
			return nil, err
		}
		if next == nil || !s.near(next) && len(rungs) > 0 {
			break
		}
		left -= s.rungs(at.Density, next.Density)
		rungs, at = append(rungs, *next), *next
	}
	if len(rungs) == 0 {
		return nil, errors.New("no channel can be removed")
	}
	return rungs, nil
}

// near reports that longer training may bring c within the budget.
func (s *searcher) near(c *Candidate) bool { return c.Loss <= s.o.MaxDrop+slack }

// rungs is how many rungs, at least one, save as much as going from one density
// to another.
func (s *searcher) rungs(from, to float64) float64 {
	return max(math.Log(to/from)/math.Log(s.o.Step), 1)
}

// branchTrials is how many branches are tried in a rung.
const branchTrials = 3

// cheaper is the next rung below one: with fewer channels or without a branch.
// Each way is trained a little, and then on the one that costs least accuracy for
// what it saves; if that loses too much, the next one that saves less, and so on.
// If all do, it is the one that loses least; nil where nothing can be removed.
func (s *searcher) cheaper(ctx context.Context, from Candidate) (*Candidate, error) {
	ways, err := s.shorten(ctx, from.plain)
	if err != nil {
		return nil, err
	}
	slim, err := s.slim(ctx, from.plain)
	if err != nil {
		return nil, err
	}
	if slim != nil {
		ways = append(ways, slim)
	}
	train := func(m *graph.Model, name string, share float64) (Candidate, error) {
		density := prune.Cost(m) / prune.Cost(s.original)
		steps := share * float64(s.o.RungSteps) * s.rungs(from.Density, density)
		return s.wide(ctx, m, name, max(int(steps), 1), density)
	}
	var tried []Candidate
	for _, m := range ways {
		c, err := train(m, "trial", 0.25)
		if err != nil {
			return nil, err
		}
		tried = append(tried, c)
	}
	rate := func(c Candidate) float64 {
		return price(c.Measure.Held.Loss-from.Measure.Held.Loss, from.Density, c.Density)
	}
	slices.SortStableFunc(tried, func(a, b Candidate) int { return cmp.Compare(rate(a), rate(b)) })
	var best *Candidate
	failed := 0.0
	for _, t := range tried {
		if t.Density <= failed {
			continue
		}
		c, err := train(t.plain, "narrow", 1)
		if err != nil {
			return nil, err
		}
		if best == nil || c.Loss < best.Loss {
			best = &c
		}
		if s.near(&c) {
			break
		}
		failed = c.Density
	}
	return best, nil
}

// price is the loss for each factor of e that the cost falls by.
func price(lost, from, to float64) float64 { return lost / math.Log(from/to) }

// slim is m with fewer channels, chosen by the norms of weights or by Fisher
// information: what loses less on the held samples before training. It is nil if
// that does not lower the cost.
func (s *searcher) slim(ctx context.Context, m *graph.Model) (*graph.Model, error) {
	d := s.task.Train
	fisher, err := prune.Fisher(ctx, m, d, min(fisherSamples, d.Len()), s.task.Seed, s.task.Threads)
	if err != nil {
		return nil, err
	}
	var best *graph.Model
	least := math.Inf(1)
	for _, worth := range []prune.Importance{prune.Norms(m), fisher} {
		c := m.Clone()
		prune.Slim(c, worth, s.o.Step)
		if err := clearDead(ctx, c); err != nil {
			return nil, err
		}
		lost, err := s.untrained(c)
		if err != nil {
			return nil, err
		}
		if lost < least && prune.Cost(c) < prune.Cost(m) {
			best, least = c, lost
		}
	}
	return best, nil
}

// shorten is m without one branch or another: those that lose least on the held
// samples for the cost that they save, before training, at most branchTrials. A
// branch must be worth half a rung.
func (s *searcher) shorten(ctx context.Context, m *graph.Model) ([]*graph.Model, error) {
	type shorter struct {
		m     *graph.Model
		price float64
	}
	var all []shorter
	was := prune.Cost(m)
	for i := range prune.Branches(m) {
		c := m.Clone()
		prune.Branches(c)[i].Remove()
		if err := clearDead(ctx, c); err != nil {
			return nil, err
		}
		cost := prune.Cost(c)
		if cost > was*(1+s.o.Step)/2 {
			continue
		}
		lost, err := s.untrained(c)
		if err != nil {
			return nil, err
		}
		all = append(all, shorter{c, price(lost, was, cost)})
	}
	slices.SortStableFunc(all, func(a, b shorter) int { return cmp.Compare(a.price, b.price) })
	var out []*graph.Model
	for _, x := range all[:min(branchTrials, len(all))] {
		out = append(out, x.m)
	}
	return out, nil
}

// clearDead removes dead code.
func clearDead(ctx context.Context, m *graph.Model) error {
	_, err := pass.Run(ctx, m, []pass.Pass{clean.Dead}, pass.Options{})
	return err
}

// untrained is the loss of m on the held samples.
func (s *searcher) untrained(m *graph.Model) (float64, error) {
	scores, _, err := distill.Evaluate(m, s.task.Held, s.task.HeldAnswers, 0, s.task.Threads)
	return scores.Loss, err
}

// wide trains all weights of m, and notes its size.
func (s *searcher) wide(ctx context.Context, m *graph.Model, name string, steps int, kept float64) (Candidate, error) {
	c, err := s.stage(ctx, stage{name: name, density: kept, o: s.o.options(s.task, steps, s.o.Rate)}, m)
	if err != nil {
		return c, err
	}
	c.plain, c.model = c.model, c.model.Clone()
	if _, err = pass.Run(ctx, c.model, s.o.Finish, pass.Options{}); err != nil {
		return c, err
	}
	if c.Bytes, err = s.o.Size(c.model); err != nil {
		return c, err
	}
	s.result.Seen[len(s.result.Seen)-1] = c
	return c, nil
}

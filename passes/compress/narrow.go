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
// each trained for RungSteps, for as long as the loss stays near the budget; then
// the cheapest rung is trained for PruneSteps, and if it loses too much the rung
// above it, and so on. The density of a candidate is the share of prune.Cost that
// is left.
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

// NarrowSteps is the training steps that Narrow takes at most.
func (o Options) NarrowSteps() int {
	o.setDefaults()
	return (1+(1+branchTrials)/4)*o.Rungs*o.RungSteps + 2*o.PruneSteps
}

// narrow goes down rung by rung; at least one rung is returned.
func (s *searcher) narrow(ctx context.Context) ([]Candidate, error) {
	var rungs []Candidate
	at := Candidate{plain: s.original, Density: 1}
	for range s.o.Rungs {
		next, err := s.cheaper(ctx, at)
		if err != nil {
			return nil, err
		}
		if next == nil || next.Loss > s.o.MaxDrop+slack && len(rungs) > 0 {
			break
		}
		rungs, at = append(rungs, *next), *next
	}
	if len(rungs) == 0 {
		return nil, errors.New("no channel can be removed")
	}
	return rungs, nil
}

// branchTrials is how many branches are tried in a rung.
const branchTrials = 3

// cheaper is the next rung below one: with fewer channels or without a branch.
// Each way is trained a little, and the one that costs least accuracy for what it
// saves for RungSteps. It is nil where nothing can be removed.
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
	var best *Candidate
	least := math.Inf(1)
	for _, m := range ways {
		c, err := s.wide(ctx, m, "trial", max(s.o.RungSteps/4, 1), prune.Cost(m)/prune.Cost(s.original))
		if err != nil {
			return nil, err
		}
		if price := price(c.Measure.Held.Loss-from.Measure.Held.Loss, from.Density, c.Density); price < least {
			best, least = &c, price
		}
	}
	if best == nil {
		return nil, nil
	}
	c, err := s.wide(ctx, best.plain, "narrow", s.o.RungSteps, best.Density)
	return &c, err
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

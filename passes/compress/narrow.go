package compress

import (
	"context"
	"errors"

	"onnxopt/onnx/graph"
	"onnxopt/passes/clean"
	"onnxopt/passes/pass"
	"onnxopt/passes/prune"
)

// narrowStep is the share of channels that stay in a further rung.
const narrowStep = 0.75

// Narrow is Search for speed: whole channels, neurons and heads go, so that any
// runtime is faster. It removes them in rungs, each trained for RungSteps, for
// as long as the loss stays near the budget; then the narrowest rung is trained
// for PruneSteps, and if it loses too much the rung above it, and so on. The
// density of a candidate is the share of channels that was asked to stay.
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

// narrow removes channels rung by rung; at least one rung is returned.
func (s *searcher) narrow(ctx context.Context) ([]Candidate, error) {
	var rungs []Candidate
	m, kept, have := s.original, 1.0, 1.0
	for range s.o.Rungs {
		kept *= s.o.Step
		next := m.Clone()
		settings := pass.Settings{}
		settings.Prune.Channels = 1 - kept/have
		l, err := pass.Run(ctx, next, []pass.Pass{prune.Channels, clean.Dead}, pass.Options{Settings: settings})
		if err != nil {
			return nil, err
		}
		if l.Changes(prune.Channels.Name) == 0 { // numbers of channels are rounded up
			continue
		}
		have = kept
		c, err := s.wide(ctx, next, "narrow", s.o.RungSteps, kept)
		if err != nil {
			return nil, err
		}
		if c.Loss > s.o.MaxDrop+slack && len(rungs) > 0 {
			break
		}
		rungs, m = append(rungs, c), c.plain
	}
	if len(rungs) == 0 {
		return nil, errors.New("no channel can be removed")
	}
	return rungs, nil
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

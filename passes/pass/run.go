package pass

import (
	"context"
	"fmt"
	"time"

	"onnxopt/onnx/graph"
)

// Options are how a pipeline runs.
type Options struct {
	Settings Settings
	Samples  Samples
	// Off names passes to leave out; Required ones cannot be.
	Off map[string]bool
	// MaxRewrites stops after so many rewrites when positive, for bisection.
	MaxRewrites int
	// Before is called before each pass.
	Before func(p *Pass, m *graph.Model)
	// After is called after each pass with the model as it then is.
	After func(p *Pass, m *graph.Model) error
	// Progress reports the work of the running pass.
	Progress func(pass string, done, total int)
}

// Run applies passes in order to m, which it changes, and returns the ledger
// also on failure. The structure of the model is verified after every pass.
func Run(ctx context.Context, m *graph.Model, passes []Pass, o Options) (*Ledger, error) {
	c := &Context{Context: ctx, Settings: o.Settings, Ledger: &Ledger{}, Samples: o.Samples, model: m, limit: -1}
	for _, v := range m.Graph.Inputs() {
		c.inputs = append(c.inputs, v.Name)
	}
	if o.MaxRewrites > 0 {
		c.limit = o.MaxRewrites
	}
	var have Facts
	for i := range passes {
		p := &passes[i]
		if o.Off[p.Name] {
			if p.Required {
				return c.Ledger, fmt.Errorf("pass %s cannot be turned off", p.Name)
			}
			continue
		}
		if missing := p.Needs &^ have; missing != 0 {
			c.Warn("pass %s left out: what it needs was turned off", p.Name)
			continue
		}
		if err := c.run(p, o); err != nil {
			return c.Ledger, fmt.Errorf("pass %s: %w", p.Name, err)
		}
		have = have&^p.Breaks | p.Gives
	}
	return c.Ledger, nil
}

func (c *Context) run(p *Pass, o Options) error {
	c.pass, c.changes = p.Name, 0
	c.Progress = func(done, total int) {
		if o.Progress != nil {
			o.Progress(p.Name, done, total)
		}
	}
	if o.Before != nil {
		o.Before(p, c.model)
	}
	start := time.Now()
	if err := p.Run(c, c.model); err != nil {
		return err
	}
	if err := c.Err(); err != nil {
		return err
	}
	if err := c.model.Verify(); err != nil {
		return fmt.Errorf("left an invalid graph: %w", err)
	}
	nodes := 0
	for range c.model.Graph.All() {
		nodes++
	}
	c.Ledger.Passes = append(c.Ledger.Passes,
		PassStats{p.Name, p.Effect.String(), c.changes, nodes, time.Since(start)})
	if o.After != nil {
		return o.After(p, c.model)
	}
	return nil
}

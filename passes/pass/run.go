package pass

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
)

// Options are how a pipeline runs.
type Options struct {
	Settings Settings
	Samples  Samples
	Labels   []int // of the samples, or nil
	// Calibration reads or keeps what calibration observes.
	Calibration *Calibration
	// Off names passes to leave out; Required ones cannot be.
	Off map[string]bool
	// MaxRewrites stops after so many rewrites when positive, for bisection.
	MaxRewrites int
	// Before is called before each pass.
	Before func(p *Pass, m *graph.Model)
	// After is called after each run of a pass with the model as it then is.
	After func(p *Pass, m *graph.Model) error
	// Verify, if set, says what a pass that promises equal outputs did to them,
	// until a lossy pass has changed something. The rewrite that broke something
	// is found, left out and reported.
	Verify func(m *graph.Model) error
	// Progress reports the work of the running pass.
	Progress func(pass string, done, total int)
	// Scratch is the folder of an onnx.Scratch for the new weights of a model of
	// more than ScratchFrom bytes, 0 is 256 MiB; "" keeps them in memory.
	Scratch     string
	ScratchFrom int
}

const scratchFrom = 256 << 20

// maxRounds bounds how often a group of passes is repeated.
const maxRounds = 24

// Run applies passes in order to m, which it changes, and returns the ledger
// also on failure. Neighbouring passes of one Group are repeated until none of
// them changes anything. The structure of the model is verified after every
// pass.
func Run(ctx context.Context, m *graph.Model, passes []Pass, o Options) (*Ledger, error) {
	c := &Context{Context: ctx, Settings: o.Settings, Ledger: &Ledger{}, Samples: o.Samples, Labels: o.Labels, Calibration: o.Calibration, model: m, limit: -1, most: -1, size: onnx.Size(m)}
	for _, v := range m.Graph.Inputs() {
		c.inputs = append(c.inputs, v.Name)
	}
	if o.MaxRewrites > 0 {
		c.limit = o.MaxRewrites
	}
	if o.Scratch != "" && c.size > cmp.Or(o.ScratchFrom, scratchFrom) {
		s, err := onnx.OpenScratch(o.Scratch)
		if err != nil {
			return c.Ledger, fmt.Errorf("scratch file: %w", err)
		}
		defer s.Close()
		m.KeepWith(s.Keep)
		defer m.KeepWith(nil)
	}
	list, err := c.enabled(passes, o)
	if err != nil {
		return c.Ledger, err
	}
	c.list = list
	for i := 0; i < len(list); {
		end := i + 1
		for end < len(list) && list[i].Group != "" && list[end].Group == list[i].Group {
			end++
		}
		if err := c.group(list[i:end], o); err != nil {
			return c.Ledger, err
		}
		i = end
	}
	c.Ledger.Ranges, c.Ledger.Sensitivity = c.Ranges, c.Sensitivity
	c.Ledger.Half, c.Ledger.Float = c.Settings.Quant.Half, c.Settings.Quant.Float
	return c.Ledger, nil
}

// enabled is the passes that are not off and have what they need.
func (c *Context) enabled(passes []Pass, o Options) ([]*Pass, error) {
	var have Facts
	var list []*Pass
	for i := range passes {
		p := &passes[i]
		if o.Off[p.Name] {
			if p.Required {
				return nil, fmt.Errorf("pass %s cannot be turned off", p.Name)
			}
			continue
		}
		if p.Needs&^have != 0 {
			c.Warn("pass %s left out: what it needs was turned off", p.Name)
			continue
		}
		have = have&^p.Breaks | p.Gives
		list = append(list, p)
	}
	return list, nil
}

// group runs passes in turn until each has seen the model as it is at the end.
func (c *Context) group(list []*Pass, o Options) error {
	seen := make([]int, len(list)) // the version of the model that the pass left unchanged
	for i := range seen {
		seen[i] = -1
	}
	for round := 0; round < maxRounds; round++ {
		ran := false
		for i, p := range list {
			if seen[i] == c.version {
				continue
			}
			ran = true
			before := c.version
			if err := c.run(p, o); err != nil {
				return fmt.Errorf("pass %s: %w", p.Name, err)
			}
			if c.version == before || p.Group == "" {
				seen[i] = c.version
			}
		}
		if !ran {
			break
		}
	}
	return nil
}

func (c *Context) run(p *Pass, o Options) error {
	c.pass, c.changes, c.asked = p.Name, 0, 0
	c.Progress = func(done, total int) {
		if o.Progress != nil {
			o.Progress(p.Name, done, total)
		}
	}
	if o.Before != nil {
		o.Before(p, c.model)
	}
	c.Ledger.forget(p.Name)
	start := time.Now()
	var err error
	if o.Verify != nil && p.Effect != Lossy && !c.lossy {
		err = c.runVerified(p, o.Verify)
	} else {
		err = c.apply(p)
	}
	if err != nil {
		return err
	}
	c.lossy = c.lossy || p.Effect == Lossy && c.changes > 0
	nodes := 0
	for range c.model.Graph.All() {
		nodes++
	}
	c.Ledger.ran(PassStats{p.Name, p.Effect.String(), c.changes, nodes, time.Since(start)})
	if o.After != nil {
		return o.After(p, c.model)
	}
	return nil
}

// apply runs p once and verifies the structure of what it leaves.
func (c *Context) apply(p *Pass) error {
	if err := p.Run(c, c.model); err != nil {
		return err
	}
	if err := c.Err(); err != nil {
		return err
	}
	if c.changes == 0 {
		return nil
	}
	if err := c.model.Verify(); err != nil {
		return fmt.Errorf("left an invalid graph: %w", err)
	}
	return nil
}

// runVerified runs p so that verify holds after it: a rewrite that breaks it is
// found by bisection, left out and reported.
func (c *Context) runVerified(p *Pass, verify func(*graph.Model) error) error {
	start := trial{c.model.Clone(), len(c.Ledger.Entries), c.version, c.limit}
	c.most, c.denied = -1, nil
	defer func() { c.most, c.denied = -1, nil }()
	err := c.try(p, start)
	for err == nil && c.changes > 0 {
		cause := verify(c.model)
		if cause == nil {
			break
		}
		low, high := 0, c.asked // verify holds after low rewrites, fails after high
		for high-low > 1 {
			c.most = (low + high) / 2
			if err := c.try(p, start); err != nil {
				return err
			}
			if verify(c.model) == nil {
				low = c.most
			} else {
				high = c.most
			}
		}
		c.most = high
		if err := c.try(p, start); err != nil {
			return err
		}
		culprit := c.Ledger.LastChange()
		if c.denied[high-1] || c.asked == 0 {
			return fmt.Errorf("outputs differ and no single rewrite explains it: %w", cause)
		}
		if c.denied == nil {
			c.denied = map[int]bool{}
		}
		c.denied[high-1], c.most = true, -1
		c.warnings = append(c.warnings, fmt.Sprintf("rejected a rewrite: %v (%v)", cause, culprit))
		err = c.try(p, start)
	}
	for _, w := range c.warnings { // a later round may try the same again
		if e := (Entry{c.pass, "", "", Warning, w}); !slices.Contains(c.Ledger.Entries, e) {
			c.Ledger.add(e)
		}
	}
	c.warnings = nil
	return err
}

// trial is the state that attempts at one run of a pass start from.
type trial struct {
	model           *graph.Model
	entries         int
	version, budget int
}

// try runs p on a copy of the model as it was at start.
func (c *Context) try(p *Pass, start trial) error {
	*c.model = *start.model.Clone()
	c.Ledger.Entries = c.Ledger.Entries[:start.entries]
	c.shapes, c.changes, c.asked, c.version, c.limit = nil, 0, 0, start.version, start.budget
	return c.apply(p)
}

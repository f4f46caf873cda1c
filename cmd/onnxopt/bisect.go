package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
	"onnxopt/runtime/compare"
)

var bisectVerb = verb{
	name: "bisect", args: "MODEL", minArgs: 1, maxArgs: 1,
	doc:     "find the first rewrite of simplify after which the outputs differ",
	example: "onnxopt bisect model.onnx --data samples.npz",
	setup: func(f *pflag.FlagSet) func(*call) error {
		b := &bisector{}
		b.declare(f)
		f.StringVar(&b.before, "before", "", "write the model as it is before that rewrite")
		f.StringVar(&b.after, "after", "", "write the model as it is after that rewrite")
		return b.run
	},
}

// bisector is one run of the verb bisect.
type bisector struct {
	simplifyFlags
	before, after string
}

func (b *bisector) run(c *call) error {
	list, o, err := b.pipeline()
	if err != nil {
		return fmt.Errorf("bisect: %w", err)
	}
	m, err := loadModel(c.args[0])
	if err != nil {
		return err
	}
	verify, err := b.verifier(c, m, compare.Options{})
	if err != nil {
		return fmt.Errorf("%s: %w", c.args[0], err)
	}
	// after is the model when only the first n rewrites are done.
	after := func(n int) (*graph.Model, *pass.Ledger, error) {
		k := m.Clone()
		if n == 0 {
			return k, &pass.Ledger{}, nil
		}
		limited := o
		limited.MaxRewrites = n
		l, err := pass.Run(c, k, list, limited)
		return k, l, err
	}
	full := m.Clone()
	ledger, err := pass.Run(c, full, list, o)
	if err != nil {
		return fmt.Errorf("%s: %w", c.args[0], err)
	}
	cause := verify(full)
	if cause == nil {
		fmt.Fprintf(c.out, "the outputs are equal after all %d rewrites\n", ledger.Rewrites)
		return nil
	}
	low, high := 0, ledger.Rewrites // equal after low rewrites, different after high
	for high-low > 1 {
		mid := (low + high) / 2
		k, _, err := after(mid)
		if err != nil {
			return err
		}
		if v := verify(k); v == nil {
			low = mid
		} else {
			high, cause = mid, v
		}
	}
	return b.report(c, after, low, high, ledger.Rewrites, cause)
}

func (b *bisector) report(c *call, after func(int) (*graph.Model, *pass.Ledger, error), low, high, total int, cause error) error {
	good, _, err := after(low)
	if err != nil {
		return err
	}
	bad, ledger, err := after(high)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path string
		m    *graph.Model
	}{{b.before, good}, {b.after, bad}} {
		if f.path == "" {
			continue
		}
		if err := onnx.Save(f.m, f.path, onnx.SaveOptions{Context: c}); err != nil {
			return err
		}
		fmt.Fprintf(c.out, "wrote %s\n", f.path)
	}
	fmt.Fprintf(c.out, "rewrite %d of %d: %v\n", high, total, ledger.LastChange())
	return refuse("%v", cause)
}

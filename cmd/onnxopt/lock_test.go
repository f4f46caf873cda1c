package main

import (
	"slices"
	"testing"

	"github.com/spf13/pflag"
)

// A lock knows of every option that takes a text whether that names something
// to read, something else to write, or a choice.
func TestLockKnowsOptions(t *testing.T) {
	choices := []string{"preset", "device", "target", "method", "resize", "crop", "layout", "for", "weights", "activations", "shard", "output"}
	for _, v := range verbs {
		f := pflag.NewFlagSet(v.name, pflag.ContinueOnError)
		v.setup(f)
		if f.Lookup("output") == nil {
			continue
		}
		f.VisitAll(func(g *pflag.Flag) {
			if g.Value.Type() == "string" && !slices.Contains(slices.Concat(choices, lockInputs, lockIgnored), g.Name) {
				t.Errorf("%s --%s: is it in lockInputs, in lockIgnored or a choice?", v.name, g.Name)
			}
		})
	}
}

package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"onnxopt/onnx"
	"onnxopt/onnx/op"
	"onnxopt/onnx/shape"
)

var checkVerb = verb{
	name: "check", args: "MODEL", minArgs: 1, maxArgs: 1,
	doc:     "check that a model is valid: structure, operators, types and shapes",
	example: "onnxopt check model.onnx",
	setup: func(f *pflag.FlagSet) func(*call) error {
		asJSON := f.Bool("json", false, "print as JSON")
		return func(c *call) error { return check(c, *asJSON) }
	},
}

func check(c *call, asJSON bool) error {
	path := c.args[0]
	m, err := onnx.Load(path)
	if err != nil {
		return err
	}
	var found []string
	if err := m.Verify(); err != nil {
		found = append(found, err.Error())
	} else {
		for _, e := range op.Verify(m) {
			found = append(found, e.Error())
		}
		for _, e := range shape.Infer(m).Conflicts {
			found = append(found, e.Error())
		}
	}
	if asJSON {
		if err := writeJSON(c.out, struct {
			File   string   `json:"file"`
			Valid  bool     `json:"valid"`
			Errors []string `json:"errors"`
		}{path, len(found) == 0, found}); err != nil {
			return err
		}
	} else {
		for _, f := range found {
			fmt.Fprintf(c.out, "%s: %s\n", path, f)
		}
	}
	if len(found) > 0 {
		return fmt.Errorf("%s: %d errors", path, len(found))
	}
	if !asJSON {
		fmt.Fprintf(c.out, "%s: valid\n", path)
	}
	return nil
}

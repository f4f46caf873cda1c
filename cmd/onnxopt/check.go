package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"

	"github.com/spf13/pflag"

	"onnxopt/onnx"
	faults "onnxopt/onnx/check"
)

var checkVerb = verb{
	name: "check", args: "MODEL...", minArgs: 1, maxArgs: math.MaxInt,
	doc:     "check that models are valid: structure, operators, types, shapes and stored data",
	example: "onnxopt check model.onnx",
	setup: func(f *pflag.FlagSet) func(*call) error {
		asJSON := f.Bool("json", false, "print as JSON, one object a model")
		return func(c *call) error { return check(c, *asJSON) }
	},
}

// verdict is what check says of one model.
type verdict struct {
	File   string   `json:"file"`
	Valid  bool     `json:"valid"`
	Errors []string `json:"errors"`
}

func check(c *call, asJSON bool) error {
	invalid := 0
	for _, path := range c.args {
		v := verdict{File: path, Errors: []string{}}
		if m, err := onnx.Load(path); err != nil {
			v.Errors = append(v.Errors, strings.TrimPrefix(err.Error(), path+": "))
		} else {
			for _, e := range faults.Model(m) {
				v.Errors = append(v.Errors, e.Error())
			}
		}
		if v.Valid = len(v.Errors) == 0; !v.Valid {
			invalid++
		}
		switch {
		case asJSON:
			if err := json.NewEncoder(c.out).Encode(v); err != nil {
				return err
			}
		case v.Valid:
			fmt.Fprintf(c.out, "%s: valid\n", path)
		}
		for i := 0; i < len(v.Errors) && !asJSON; i++ {
			fmt.Fprintf(c.out, "%s: %s\n", path, v.Errors[i])
		}
	}
	if invalid > 0 {
		return fmt.Errorf("%d of %d models are invalid", invalid, len(c.args))
	}
	return nil
}

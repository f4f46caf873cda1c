package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"onnxopt/onnx"
	"onnxopt/onnx/convert"
	"onnxopt/onnx/op"
)

var convertVerb = verb{
	name: "convert", args: "MODEL -o OUT", minArgs: 1, maxArgs: 1,
	doc:     "write a model for another opset, newer or older",
	example: "onnxopt convert model.onnx --opset 21 -o model21.onnx",
	setup: func(f *pflag.FlagSet) func(*call) error {
		opset := f.Int64("opset", 0, fmt.Sprintf("the version of ai.onnx, 1 to %d", op.MaxOpset))
		ml := f.Int64("ml", 0, fmt.Sprintf("the version of ai.onnx.ml, 1 to %d", op.MaxML))
		out := f.StringP("output", "o", "", "the file to write")
		return func(c *call) error { return convertModel(c, *opset, *ml, *out) }
	},
}

func convertModel(c *call, opset, ml int64, out string) error {
	if opset == 0 && ml == 0 || out == "" {
		return fmt.Errorf("convert: --opset or --ml, and -o, are needed")
	}
	m, err := loadModel(c.args[0])
	if err != nil {
		return err
	}
	from, fromML := m.Opset(""), m.Opset("ai.onnx.ml")
	for _, to := range []struct {
		domain  string
		version int64
	}{{"", opset}, {"ai.onnx.ml", ml}} {
		if to.version == 0 {
			continue
		}
		if err := convert.Domain(m, to.domain, to.version); err != nil {
			return fmt.Errorf("%s: %w", c.args[0], err)
		}
	}
	if err := onnx.Save(m, out, onnx.SaveOptions{Context: c}); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s: opset %d, was %d; ", out, m.Opset(""), from)
	if ml != 0 {
		fmt.Fprintf(c.out, "ai.onnx.ml %d, was %d; ", m.Opset("ai.onnx.ml"), fromML)
	}
	fmt.Fprintf(c.out, "IR version %d\n", m.IRVersion)
	return nil
}

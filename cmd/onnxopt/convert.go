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
		out := f.StringP("output", "o", "", "the file to write")
		return func(c *call) error { return convertModel(c, *opset, *out) }
	},
}

func convertModel(c *call, opset int64, out string) error {
	if opset == 0 || out == "" {
		return fmt.Errorf("convert: --opset and -o are needed")
	}
	m, err := loadModel(c.args[0])
	if err != nil {
		return err
	}
	from := m.Opset("")
	if err := convert.To(m, opset); err != nil {
		return fmt.Errorf("%s: %w", c.args[0], err)
	}
	if err := onnx.Save(m, out, onnx.SaveOptions{Context: c}); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "%s: opset %d, was %d; IR version %d\n", out, opset, from, m.IRVersion)
	return nil
}

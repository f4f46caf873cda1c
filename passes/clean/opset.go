package clean

import (
	"fmt"

	"onnxopt/onnx/convert"
	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
)

// Opset raises the model to the opset that the settings ask for, so that the
// operators of newer opsets can be used. It fails if an operator cannot be
// converted, and never lowers.
var Opset = pass.Pass{
	Name: "target-opset",
	Doc:  "raise the model to the opset of --opset",
	Run: func(c *pass.Context, m *graph.Model) error {
		have, want := m.Opset(""), c.Settings.Opset
		if want == 0 || have == want || !c.Allow() {
			return nil
		}
		if want < have {
			return fmt.Errorf("the model has opset %d, newer than %d", have, want)
		}
		if err := convert.To(m, want); err != nil {
			return fmt.Errorf("to opset %d: %w", want, err)
		}
		c.ChangedModel("opset %d became %d", have, want)
		return nil
	},
}

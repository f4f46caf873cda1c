package quant

import (
	"onnxopt/onnx/convert"
	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
)

// Raise converts the model to the opset that its quantized form needs.
var Raise = pass.Pass{
	Name: "raise-opset",
	Doc:  "convert to opset 13 for scales per channel, 21 for 4 and 16 bits and blocks, 22 for bfloat16",
	Run: func(c *pass.Context, m *graph.Model) error {
		have, want := m.Opset(""), neededOpset(c.Settings.Quant)
		if have == 0 || have >= want || !c.Allow() {
			return nil
		}
		if err := convert.To(m, want); err != nil {
			c.Warn("stays at opset %d: %v", have, err)
			return nil
		}
		c.ChangedModel("opset %d became %d", have, want)
		return nil
	},
}

// bfloat16Opset is the first opset in which Conv and pooling have bfloat16.
const bfloat16Opset = 22

// neededOpset is the oldest opset that has what s asks for.
func neededOpset(s pass.QuantSettings) int64 {
	switch {
	case s.Half16 == "bfloat16":
		return bfloat16Opset
	case s.WeightBits == 4 || s.ActivationBits == 16 || s.BlockSize > 0:
		return Bits16Opset
	case s.PerTensor:
		return MinOpset
	}
	return PerChannelOpset
}

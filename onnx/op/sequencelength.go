package op

import "onnxopt/onnx/tensor"

var opSequenceLength = &Def{
	Name: "SequenceLength",
	Versions: []Version{
		{Since: 11, Schema: `input_sequence:S -> length:I | | S: seq(all); I: int64`},
	},
	Check: Exact,
	Infer: func(f *Infer) error { f.Set(0); return nil },
	Eval: func(e *Eval) error {
		e.Set(0, tensor.Scalar(int64(len(e.Sequence(0).Items))))
		return nil
	},
}

package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/tensor"
)

var opSequenceErase = &Def{
	Name: "SequenceErase",
	Versions: []Version{
		{Since: 11, Schema: `input_sequence:S position?:I -> output_sequence:S | | S: seq(all); I: int32 int64`},
	},
	Check: Exact,
	Infer: inferIdentity,
	Eval:  evalSequenceErase,
}

func evalSequenceErase(e *Eval) error {
	seq := e.Sequence(0)
	at := len(seq.Items) - 1
	if p := e.Tensor(1); p != nil {
		at = sequencePosition(p, len(seq.Items))
	}
	if at < 0 || at >= len(seq.Items) {
		return fmt.Errorf("position %d in a sequence of %d", at, len(seq.Items))
	}
	e.Set(0, &tensor.Sequence{Elem: seq.Elem, Items: slices.Delete(slices.Clone(seq.Items), at, at+1)})
	return nil
}

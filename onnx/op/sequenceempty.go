package op

import (
	"fmt"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opSequenceEmpty = &Def{
	Name: "SequenceEmpty",
	Versions: []Version{
		{Since: 11, Schema: ` -> output:S | dtype:int | S: seq(all)`},
	},
	Check: Exact,
	Infer: func(f *Infer) error {
		f.SetType(0, graph.SequenceOf(graph.Unranked(sequenceElem(&f.Attrs))))
		return nil
	},
	Eval: func(e *Eval) error {
		t := sequenceElem(&e.Attrs)
		if !t.Valid() {
			return fmt.Errorf("dtype %d", t)
		}
		e.Set(0, &tensor.Sequence{Elem: t})
		return nil
	},
}

// sequenceElem is the attribute dtype, float by default.
func sequenceElem(a *Attrs) tensor.DType {
	if a.Has("dtype") {
		return tensor.DType(a.Int("dtype"))
	}
	return tensor.Float32
}

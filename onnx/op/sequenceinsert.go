package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opSequenceInsert = &Def{
	Name: "SequenceInsert",
	Versions: []Version{
		{Since: 11, Schema: `input_sequence:S tensor:T position?:I -> output_sequence:S | | T: all; S: seq(all); I: int32 int64`},
	},
	Check: Exact,
	Infer: inferSequenceInsert,
	Eval:  evalSequenceInsert,
}

func inferSequenceInsert(f *Infer) error {
	seq, t := f.Type(0), f.Type(1)
	if seq.Of == nil || !t.Known() {
		return nil
	}
	if seq.Of.Kind != t.Kind || seq.Of.Elem != t.Elem {
		return fmt.Errorf("%v inserted into %v", t, seq)
	}
	f.SetType(0, graph.SequenceOf(joinItems(*seq.Of, t)))
	return nil
}

func evalSequenceInsert(e *Eval) error {
	seq, t := e.Sequence(0), e.Tensor(1)
	elem := seq.Elem
	if elem == tensor.Undefined { // an empty sequence from a file, which has no type
		elem = t.Type
	}
	if elem != t.Type {
		return fmt.Errorf("%v inserted into a sequence of %v", t, seq.Elem)
	}
	at := len(seq.Items)
	if p := e.Tensor(2); p != nil {
		at = sequencePosition(p, at)
		if at < 0 || at > len(seq.Items) {
			return fmt.Errorf("position %d in a sequence of %d", p.Ints()[0], len(seq.Items))
		}
	}
	e.Set(0, &tensor.Sequence{Elem: elem, Items: slices.Insert(slices.Clone(seq.Items), at, tensor.Value(t))})
	return nil
}

// sequencePosition is the position that p names in a sequence of n, negative
// ones counted from the end; it can lie outside.
func sequencePosition(p *tensor.Tensor, n int) int {
	if p.Len() != 1 {
		panic(fmt.Sprintf("position of shape %v", p.Shape))
	}
	at := int(p.Ints()[0])
	if at < 0 {
		at += n
	}
	return at
}

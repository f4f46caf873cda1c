package op

import (
	"fmt"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opSequenceConstruct = &Def{
	Name: "SequenceConstruct",
	Versions: []Version{
		{Since: 11, Schema: `inputs+:T -> output_sequence:S | | T: all; S: seq(all)`},
	},
	Check: Exact,
	Infer: inferSequenceConstruct,
	Eval:  evalSequenceConstruct,
}

func inferSequenceConstruct(f *Infer) error {
	if len(f.In) == 0 {
		return nil
	}
	of := f.In[0]
	for _, t := range f.In[1:] {
		if of.Known() && t.Known() && of.Elem != t.Elem {
			return fmt.Errorf("items of type %v and %v", of, t)
		}
		of = joinItems(of, t)
	}
	f.SetType(0, graph.SequenceOf(of))
	return nil
}

// joinItems is the type of the items of a sequence that holds both: the
// element type is common, the shape may be of unknown rank.
func joinItems(a, b graph.Type) graph.Type {
	if !a.Known() || !b.Known() || a.Kind != b.Kind {
		return graph.Type{}
	}
	return a.Join(b)
}

func evalSequenceConstruct(e *Eval) error {
	in := e.Tensors(0)
	seq := &tensor.Sequence{Elem: in[0].Type}
	for i, t := range in {
		if t == nil || t.Type != seq.Elem {
			return fmt.Errorf("input %d is %v, the first %v", i, t, in[0])
		}
		seq.Items = append(seq.Items, t)
	}
	e.Set(0, seq)
	return nil
}

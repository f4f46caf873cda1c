package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opSequenceMap = &Def{
	Name: "SequenceMap",
	Versions: []Version{
		{Since: 17, Schema: `input_sequence:S additional_inputs*~:V -> out_sequence+~:S | body:graph! | S: seq(all); V: all seq(all)`},
	},
	Flags: Control,
	Infer: inferSequenceMap,
	Eval:  evalSequenceMap,
}

func inferSequenceMap(f *Infer) error {
	f.SetType(0, graph.Type{}) // not that of the first input
	body := f.Attrs.Graph("body")
	if f.Graph == nil || body == nil {
		return nil
	}
	in := slices.Clone(f.In)
	for i, t := range in {
		if t.Kind == graph.SequenceKind {
			in[i] = *t.Of
		}
	}
	out, err := f.Graph(body, in)
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	if len(out) != len(f.Out) {
		return fmt.Errorf("body has %d outputs, the node %d", len(out), len(f.Out))
	}
	for i, t := range out {
		if t.Known() {
			f.SetType(i, graph.SequenceOf(t))
		}
	}
	return nil
}

// evalSequenceMap runs the body on the items of the sequences at one place;
// tensors are given to each run.
func evalSequenceMap(e *Eval) error {
	body := e.Attrs.Graph("body")
	if body == nil || len(body.Outputs()) != len(e.Out) {
		return fmt.Errorf("body does not have %d outputs", len(e.Out))
	}
	seqs := make([]*tensor.Sequence, len(e.Out))
	for k := range seqs {
		seqs[k] = &tensor.Sequence{Elem: body.OutputInfo(k).Type.Elem}
		e.Set(k, seqs[k])
	}
	for i := range e.Sequence(0).Items {
		if err := e.Env.Step(i); err != nil {
			return err
		}
		in := slices.Clone(e.In)
		for k, v := range in {
			s, ok := v.(*tensor.Sequence)
			if !ok {
				continue
			}
			if i >= len(s.Items) {
				return fmt.Errorf("input %d has %d items, the first %d", k, len(s.Items), len(e.Sequence(0).Items))
			}
			in[k] = s.Items[i]
		}
		out, err := e.Env.Run(body, in)
		if err != nil {
			return fmt.Errorf("body: %w", err)
		}
		for k, s := range seqs {
			s.Items = append(s.Items, out[k])
			if t, ok := out[k].(*tensor.Tensor); ok {
				s.Elem = t.Type
			}
		}
	}
	return nil
}

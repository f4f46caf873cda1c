package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opSplitToSequence = &Def{
	Name: "SplitToSequence",
	Versions: []Version{
		{Since: 11, Schema: `input:T split?:I -> output_sequence:S | axis:int=0 keepdims:int=1 | T: all; I: int32 int64; S: seq(all)`},
		{Since: 24, Schema: `input:T split?:I -> output_sequence:S | axis:int=0 keepdims:int=1 | T: all bfloat16; I: int32 int64; S: seq(all bfloat16)`},
	},
	Check: Exact,
	Infer: inferSplitToSequence,
	Eval:  evalSplitToSequence,
}

func inferSplitToSequence(f *Infer) error {
	t := f.Type(0)
	if !t.Known() {
		return nil
	}
	of := graph.Unranked(t.Elem)
	if t.Ranked {
		axis, ok := Axis(f.Int("axis"), len(t.Shape))
		if !ok {
			return fmt.Errorf("axis %d of rank %d", f.Int("axis"), len(t.Shape))
		}
		shape := slices.Clone(t.Shape)
		shape[axis] = chunkDim(f, shape[axis])
		if !f.Given(1) && f.Int("keepdims") == 0 {
			shape = slices.Delete(shape, axis, axis+1)
		}
		of = graph.TensorOf(t.Elem, shape...)
	}
	f.SetType(0, graph.SequenceOf(of))
	return nil
}

// chunkDim is the size that all items have along the split axis of size total.
func chunkDim(f *Infer, total dim.Dim) dim.Dim {
	if !f.Given(1) {
		return dim.Of(1)
	}
	sizes, ok := f.Ints(1)
	n, constant := total.Const()
	switch scalar := f.Type(1).Rank() == 0; {
	case !ok || len(sizes) == 0:
	case scalar && constant && sizes[0] > 0 && n%int64(sizes[0]) == 0,
		!scalar && !slices.ContainsFunc(sizes, func(s int) bool { return s != sizes[0] }):
		return dim.Of(int64(sizes[0]))
	}
	return dim.Unknown
}

// evalSplitToSequence splits into items of size 1, of the given size (the last
// may be smaller), or of the given sizes.
func evalSplitToSequence(e *Eval) error {
	x, split := e.Tensor(0), e.Tensor(1)
	axis, ok := Axis(e.Int("axis"), x.Rank())
	if !ok {
		return fmt.Errorf("axis %d of %v", e.Int("axis"), x)
	}
	total := x.Shape[axis]
	sizes := ones(total)
	if split != nil {
		var err error
		if sizes, err = intsOf(split); err != nil {
			return err
		}
		if split.Rank() == 0 {
			sizes, err = chunks(sizes[0], total)
		} else {
			sizes, err = splitSizes(sizes, total, len(sizes), false)
		}
		if err != nil {
			return err
		}
	}
	parts, err := splitTensor(e, x, axis, sizes)
	if err != nil {
		return err
	}
	seq := &tensor.Sequence{Elem: x.Type}
	for _, p := range parts {
		if split == nil && e.Int("keepdims") == 0 {
			p = p.Reshaped(slices.Delete(slices.Clone(p.Shape), axis, axis+1)...)
		}
		seq.Items = append(seq.Items, p)
	}
	e.Set(0, seq)
	return nil
}

// chunks is total in parts of size; the last is what remains.
func chunks(size, total int) ([]int, error) {
	if size <= 0 {
		return nil, fmt.Errorf("split size %d", size)
	}
	var out []int
	for ; total > 0; total -= size {
		out = append(out, min(size, total))
	}
	return out, nil
}

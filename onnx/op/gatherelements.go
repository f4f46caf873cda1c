package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opGatherElements = &Def{
	Name: "GatherElements",
	Versions: []Version{
		{Since: 11, Schema: `data:T indices:Tind -> output:T | axis:int=0 | T: all; Tind: int32 int64`},
		{Since: 13, Schema: `data:T indices:Tind -> output:T | axis:int=0 | T: all bfloat16; Tind: int32 int64`},
	},
	Flags: DataMovement,
	Check: Exact,
	Infer: inferGatherElements,
	Eval:  evalGatherElements,
}

func inferGatherElements(f *Infer) error {
	if s, ok := f.Shape(1); ok {
		f.Set(0, s...)
	}
	return nil
}

func evalGatherElements(e *Eval) error {
	x, idx := e.Tensor(0), e.Tensor(1)
	place, err := elementPlaces(x.Shape, idx, e.Int("axis"))
	if err != nil {
		return err
	}
	out, err := tensor.Gather(x, idx.Shape, e.Env.maxBytes(), func(i int) int { return place[i] })
	e.Set(0, out)
	return err
}

// elementPlaces is, for every element of idx, the linear index into a tensor
// of the shape at the element's own coordinates with that of axis replaced by
// the index.
func elementPlaces(shape []int, idx *tensor.Tensor, axis int) ([]int, error) {
	axis, ok := Axis(axis, len(shape))
	if !ok || idx.Rank() != len(shape) {
		return nil, fmt.Errorf("axis %d and indices %v for shape %v", axis, idx, shape)
	}
	at := idx.Ints()
	if err := wrapIndices(at, shape[axis]); err != nil {
		return nil, err
	}
	own, pos := tensor.Strides(shape), make([]int, len(shape))
	out := make([]int, len(at))
	for i := range at {
		unravel(i, idx.Shape, pos)
		pos[axis] = int(at[i])
		for d, p := range pos {
			if p >= shape[d] {
				return nil, fmt.Errorf("indices %v exceed shape %v", idx, shape)
			}
			out[i] += p * own[d]
		}
	}
	return out, nil
}

package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/tensor"
)

var opGatherND = &Def{
	Name: "GatherND",
	Versions: []Version{
		{Since: 11, Schema: `data:T indices:int64 -> output:T |  | T: all`},
		{Since: 12, Schema: `data:T indices:int64 -> output:T | batch_dims:int=0 | T: all`},
		{Since: 13, Schema: `data:T indices:int64 -> output:T | batch_dims:int=0 | T: all bfloat16`},
	},
	Flags: DataMovement,
	Check: Exact,
	Infer: inferGatherND,
	Eval:  evalGatherND,
}

func inferGatherND(f *Infer) error {
	s, ok := f.Shape(0)
	idx, ok2 := f.Shape(1)
	if !ok || !ok2 || len(idx) == 0 {
		return nil
	}
	k, ok := idx[len(idx)-1].Const()
	batch := f.Int("batch_dims")
	if !ok {
		return nil
	}
	if batch < 0 || batch+int(k) > len(s) || k < 0 {
		return fmt.Errorf("indices %v into %v", f.Type(1), f.Type(0))
	}
	f.Set(0, slices.Concat(idx[:len(idx)-1], s[batch+int(k):])...)
	return nil
}

func evalGatherND(e *Eval) error {
	x, idx := e.Tensor(0), e.Tensor(1)
	place, tail, err := slicePlaces(x.Shape, idx, e.Int("batch_dims"))
	if err != nil {
		return err
	}
	size := volume(tail)
	shape := slices.Concat(idx.Shape[:idx.Rank()-1], tail)
	out, err := tensor.Gather(x, shape, e.Env.maxBytes(), func(i int) int { return place[i/size] + i%size })
	e.Set(0, out)
	return err
}

// slicePlaces is, for every index tuple of idx (its last axis), the linear
// index of the slice of a tensor of the shape that it selects, and the shape
// of such slices.
func slicePlaces(shape []int, idx *tensor.Tensor, batch int) (place, tail []int, err error) {
	if idx.Rank() == 0 || batch < 0 || batch >= idx.Rank() {
		return nil, nil, fmt.Errorf("indices %v with %d batch dims", idx, batch)
	}
	k := idx.Shape[idx.Rank()-1]
	if batch+k > len(shape) {
		return nil, nil, fmt.Errorf("indices %v into shape %v", idx, shape)
	}
	own := tensor.Strides(shape)
	lead := idx.Shape[:idx.Rank()-1]
	perBatch := volume(lead[batch:])
	at := idx.Ints()
	place = make([]int, volume(lead))
	for i := range place {
		if batch > 0 {
			place[i] = i / perBatch * volume(shape[batch:])
		}
		for d := range k {
			v := at[i*k+d]
			n := int64(shape[batch+d])
			if v < 0 {
				v += n
			}
			if v < 0 || v >= n {
				return nil, nil, fmt.Errorf("index %d outside an axis of %d", at[i*k+d], n)
			}
			place[i] += int(v) * own[batch+d]
		}
	}
	return place, shape[batch+k:], nil
}

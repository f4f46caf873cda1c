package op

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/tensor"
)

var opScatterElements = &Def{
	Name: "ScatterElements",
	Versions: []Version{
		{Since: 11, Schema: `data:T indices:Tind updates:T -> output:T | axis:int=0 | T: all; Tind: int32 int64`},
		{Since: 13, Schema: `data:T indices:Tind updates:T -> output:T | axis:int=0 | T: all bfloat16; Tind: int32 int64`},
		{Since: 16, Schema: `data:T indices:Tind updates:T -> output:T | axis:int=0 reduction:string="none" | T: all bfloat16; Tind: int32 int64`},
		{Since: 18, Schema: `data:T indices:Tind updates:T -> output:T | axis:int=0 reduction:string="none" | T: all bfloat16; Tind: int32 int64`},
	},
	Flags: DataMovement,
	Infer: sameShape,
	Eval:  evalScatterElements,
}

func evalScatterElements(e *Eval) error {
	x, idx, updates := e.Tensor(0), e.Tensor(1), e.Tensor(2)
	place, err := elementPlaces(x.Shape, idx, e.Int("axis"))
	if err != nil {
		return err
	}
	if !slices.Equal(idx.Shape, updates.Shape) {
		return fmt.Errorf("indices %v and updates %v", idx, updates)
	}
	out, err := scatter(x, updates, place, 1, e.Str("reduction"))
	e.Set(0, out)
	return err
}

// scatter writes run consecutive elements of updates at each place of a copy
// of x, combining them with what is there by the reduction.
func scatter(x, updates *tensor.Tensor, place []int, run int, reduction string) (*tensor.Tensor, error) {
	if updates.Type != x.Type || updates.Len() != len(place)*run {
		return nil, fmt.Errorf("updates %v for %d places in %v", updates, len(place), x)
	}
	out := x.Clone()
	if reduction == "" || reduction == "none" {
		put := tensor.Copier(out, updates)
		for i := range len(place) * run {
			put(place[i/run]+i%run, i)
		}
		return out, nil
	}
	combine, ok := map[string]struct {
		f func(a, b float64) float64
		i func(a, b int64) int64
	}{
		"add": {func(a, b float64) float64 { return a + b }, func(a, b int64) int64 { return a + b }},
		"mul": {func(a, b float64) float64 { return a * b }, func(a, b int64) int64 { return a * b }},
		"max": {math.Max, func(a, b int64) int64 { return max(a, b) }},
		"min": {math.Min, func(a, b int64) int64 { return min(a, b) }},
	}[reduction]
	if !ok {
		return nil, fmt.Errorf("reduction %q", reduction)
	}
	if x.Type.IsFloat() {
		v, u := x.Floats(), updates.Floats()
		for i := range u {
			p := place[i/run] + i%run
			v[p] = combine.f(v[p], u[i])
		}
		return tensor.FromFloats(x.Type, x.Shape, v), nil
	}
	v, u := x.Ints(), updates.Ints()
	for i := range u {
		p := place[i/run] + i%run
		v[p] = combine.i(v[p], u[i])
	}
	return tensor.FromInts(x.Type, x.Shape, v), nil
}

package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/tensor"
)

var opTensorScatter = &Def{
	Name: "TensorScatter",
	Versions: []Version{
		{Since: 24, Schema: `past_cache:T update:T write_indices?:int64 -> present_cache:T | axis:int=-2 mode:string="linear" | T: all f8 i4 bfloat16 float4e2m1 float8e8m0`},
	},
	Flags: DataMovement,
	Check: Exact,
	Infer: inferTensorScatter,
	Eval:  evalTensorScatter,
}

func inferTensorScatter(f *Infer) error {
	if err := f.match("[N,*] [N,*] [N]"); err != nil {
		return err
	}
	cache, ok := f.Shape(0)
	update, ok2 := f.Shape(1)
	if ok && ok2 && len(cache) != len(update) {
		return fmt.Errorf("update %v for %v", f.Type(1), f.Type(0))
	}
	if axis, known := Axis(f.Int("axis"), len(cache)); ok && ok2 && known {
		for i, d := range update {
			if i != axis && d.Conflict(cache[i]) {
				return fmt.Errorf("update %v for %v", f.Type(1), f.Type(0))
			}
		}
	}
	return sameShape(f)
}

// evalTensorScatter overwrites the cache along axis from the write index of
// each batch element on, wrapping around if circular.
func evalTensorScatter(e *Eval) error {
	cache, update := e.Tensor(0), e.Tensor(1)
	axis, ok := Axis(e.Int("axis"), cache.Rank())
	if !ok || axis == 0 || update.Rank() != cache.Rank() || update.Shape[axis] > cache.Shape[axis] {
		return fmt.Errorf("axis %d of %v and update %v", e.Int("axis"), cache, update)
	}
	want := slices.Clone(cache.Shape)
	want[axis] = update.Shape[axis]
	if !slices.Equal(want, update.Shape) {
		return fmt.Errorf("update %v for %v", update, cache)
	}
	at := make([]int, cache.Shape[0])
	if t := e.Tensor(2); t != nil {
		var err error
		if at, err = intsOf(t); err != nil {
			return err
		}
	}
	if len(at) != cache.Shape[0] {
		return fmt.Errorf("%d write indices for batch %d", len(at), cache.Shape[0])
	}
	circular := e.Str("mode") == "circular"
	out := cache.Clone()
	put := tensor.Copier(out, update)
	size, n, inner := cache.Shape[axis], update.Shape[axis], volume(cache.Shape[axis+1:])
	perBatch := volume(cache.Shape[1:axis])
	for o := range cache.Shape[0] * perBatch {
		for i := range n {
			to := at[o/perBatch] + i
			if circular {
				to = (to%size + size) % size
			}
			if to < 0 || to >= size {
				return fmt.Errorf("position %d of %d", to, size)
			}
			for k := range inner {
				put((o*size+to)*inner+k, (o*n+i)*inner+k)
			}
		}
	}
	e.Set(0, out)
	return nil
}

package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opLayerNormalization = &Def{
	Name: "LayerNormalization",
	Versions: []Version{
		{Since: 17, Schema: `X:T Scale:T B?:T -> Y:T Mean?:U InvStdDev?:U | axis:int=-1 epsilon:float=9.99999975e-06 stash_type:int=1 | T: fp bfloat16; U: float bfloat16`},
	},
	Infer: inferLayerNorm,
	Eval:  evalLayerNorm,
}

func inferLayerNorm(f *Infer) error {
	s, ok := f.Shape(0)
	if !ok {
		return nil
	}
	axis, ok := Axis(f.Int("axis"), len(s))
	if !ok {
		return fmt.Errorf("axis %d of rank %d", f.Int("axis"), len(s))
	}
	stats := slices.Clone(s)
	for i := axis; i < len(s); i++ {
		stats[i] = dim.Of(1)
	}
	for i := 1; i < len(f.Out); i++ {
		if f.Has("stash_type") {
			f.SetElem(i, tensor.DType(f.Int("stash_type")))
		}
		f.Set(i, stats...)
	}
	f.Set(0, s...)
	return nil
}

func evalLayerNorm(e *Eval) error {
	x := e.Tensor(0)
	axis, ok := Axis(e.Int("axis"), x.Rank())
	if !ok {
		return fmt.Errorf("axis %d of %v", e.Int("axis"), x)
	}
	size, rows := volume(x.Shape[axis:]), volume(x.Shape[:axis])
	v := x.Floats()
	mean, inv := make([]float64, rows), make([]float64, rows)
	for i := range rows {
		mean[i], inv[i] = normalize(v[i*size:(i+1)*size], e.Float("epsilon"))
	}
	for _, p := range [][2]*tensor.Tensor{{e.Tensor(1), nil}, {nil, e.Tensor(2)}} {
		tensor.RoundFloats(x.Type, v) // the body casts to T before it scales, and shifts what it scaled
		if err := scaleShift(x.Shape, v, p[0], p[1]); err != nil {
			return err
		}
	}
	stats := slices.Clone(x.Shape)
	for i := axis; i < len(stats); i++ {
		stats[i] = 1
	}
	stash := tensor.DType(e.Int("stash_type"))
	e.Set(0, tensor.FromFloats(x.Type, x.Shape, v))
	e.Set(1, tensor.FromFloats(stash, stats, mean))
	e.Set(2, tensor.FromFloats(stash, stats, inv))
	return nil
}

// scaleShift is v*scale + bias with operands that broadcast to the shape; each
// may be nil.
func scaleShift(shape []int, v []float64, scale, bias *tensor.Tensor) error {
	for k, t := range []*tensor.Tensor{scale, bias} {
		if t == nil {
			continue
		}
		if s, err := tensor.Broadcast(shape, t.Shape); err != nil || !slices.Equal(s, shape) {
			return fmt.Errorf("parameter %v for %v", t, shape)
		}
		p := t.Floats()
		EachBroadcast(shape, [][]int{t.Shape}, func(o int, at []int) {
			if k == 0 {
				v[o] *= p[at[0]]
			} else {
				v[o] += p[at[0]]
			}
		})
	}
	return nil
}

package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opDropout = &Def{
	Name: "Dropout",
	Versions: []Version{
		{Since: 1, Schema: `data:T -> output:T mask?:T | consumed_inputs:ints is_test:int=0 ratio:float=0.5 | T: fp`},
		{Since: 6, Schema: `data:T -> output:T mask?:T | is_test:int=0 ratio:float=0.5 | T: fp`},
		{Since: 7, Schema: `data:T -> output:T mask?:T | ratio:float=0.5 | T: fp`},
		{Since: 10, Schema: `data:T -> output:T mask?:T1 | ratio:float=0.5 | T: fp; T1: bool`},
		{Since: 12, Schema: `data:T ratio?:T1 training_mode?:T2 -> output:T mask?:T2 | seed:int | T: fp; T1: fp; T2: bool`},
		{Since: 13, Schema: `data:T ratio?:T1 training_mode?:T2 -> output:T mask?:T2 | seed:int | T: fp bfloat16; T1: fp; T2: bool`},
		{Since: 22, Schema: `data:T ratio?:T1 training_mode?:T2 -> output:T mask?:T2 | seed:int | T: fp f8 bfloat16; T1: fp f8 bfloat16; T2: bool`},
	},
	Flags: Random,
	Infer: inferDropout,
	Eval:  evalDropout,
}

func inferDropout(f *Infer) error {
	s, ok := f.Shape(0)
	if len(f.Out) > 1 && f.Since < 10 {
		f.SetElem(1, f.Type(0).Elem)
	}
	if ok {
		f.Set(0, s...)
		f.Set(1, s...)
	}
	return nil
}

// evalDropout is the identity in inference; in training mode, elements are
// dropped with the ratio and the rest scaled by 1/(1-ratio).
func evalDropout(e *Eval) error {
	x := e.Tensor(0)
	training, ratio, err := e.dropoutMode()
	if err != nil {
		return err
	}
	keep := make([]bool, x.Len())
	for i := range keep {
		keep[i] = true
	}
	y := x
	if training && ratio > 0 {
		draw := e.random()
		v := x.Floats()
		for i := range v {
			if keep[i] = draw.Float64() >= ratio; keep[i] {
				v[i] /= 1 - ratio
			} else {
				v[i] = 0
			}
		}
		y = tensor.FromFloats(x.Type, x.Shape, v)
	}
	e.Set(0, y)
	mask := tensor.FromBools(x.Shape, keep)
	if e.Since < 10 {
		mask, err = castTensor(mask, x.Type, true, "")
	}
	e.Set(1, mask)
	return err
}

// dropoutMode is the mode and ratio in force: of inputs from version 12, of
// attributes before. Versions 7 and 10 only infer.
func (e *Eval) dropoutMode() (training bool, ratio float64, err error) {
	if e.Since < 12 {
		return e.Since < 7 && e.Int("is_test") == 0, e.Float("ratio"), nil
	}
	ratio = 0.5
	if e.Tensor(1) != nil {
		if ratio, err = e.scalarFloat(1); err != nil {
			return false, 0, err
		}
	}
	if t := e.Tensor(2); t != nil {
		if t.Type != tensor.Bool || t.Len() != 1 {
			return false, 0, fmt.Errorf("training_mode %v", t)
		}
		training = t.Bools()[0]
	}
	if training && (ratio < 0 || ratio >= 1) {
		return false, 0, fmt.Errorf("ratio %v", ratio)
	}
	return training, ratio, nil
}

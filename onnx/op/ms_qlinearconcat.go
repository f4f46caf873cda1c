package op

import (
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opMsQLinearConcat = &Def{
	Name:   "QLinearConcat",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `Y_scale:TF Y_zero_point:T8 inputs+~:TV -> Y:T8 | axis:int! | T8: uint8 int8; TF: float; TV: uint8 int8 float`},
	},
	Infer: inferQLinearConcat,
	Eval:  evalQLinearConcat,
}

// inferQLinearConcat is Concat of every third input from slot 2 on.
func inferQLinearConcat(f *Infer) error {
	f.SetElem(0, f.Type(1).Elem)
	c := *f
	c.In = nil
	for i := 2; i < len(f.In); i += 3 {
		c.In = append(c.In, graph.Type{Kind: f.In[i].Kind, Ranked: f.In[i].Ranked, Shape: f.In[i].Shape})
	}
	c.InData = func(int) ([]dim.Dim, bool) { return nil, false }
	return inferConcat(&c)
}

func evalQLinearConcat(e *Eval) error {
	if len(e.In) < 5 || (len(e.In)-2)%3 != 0 {
		return fmt.Errorf("%d inputs", len(e.In))
	}
	var parts []*tensor.Tensor
	for i := 2; i < len(e.In); i += 3 {
		x, err := e.dequantized(i)
		if err != nil {
			return err
		}
		parts = append(parts, x)
	}
	axis, ok := Axis(e.Int("axis"), parts[0].Rank())
	if !ok {
		return fmt.Errorf("axis %d of %v", e.Int("axis"), parts[0])
	}
	y, err := concatTensors(e, parts, axis)
	if err != nil {
		return err
	}
	return e.setQuantized(e.Tensor(1).Type, y.Shape, y.Floats(), 0)
}

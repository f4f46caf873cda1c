package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opMsQGemm = &Def{
	Name:   "QGemm",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `A:TA a_scale:T a_zero_point:TA B:TB b_scale:T b_zero_point:TB C?:TC y_scale?:T y_zero_point?:TYZ -> Y:TY | alpha:float=1 transA:int=0 transB:int=0 | T: float; TA: uint8 int8; TB: uint8 int8; TC: int32; TYZ: uint8 int8; TY: float uint8 int8`},
	},
	Infer: inferQGemm,
	Eval:  evalQGemm,
}

func inferQGemm(f *Infer) error {
	g := *f
	g.In = []graph.Type{f.Type(0), f.Type(3)}
	if err := inferGemm(&g); err != nil {
		return err
	}
	elem := tensor.Float32
	if f.Given(7) {
		elem = tensor.Uint8
		if f.Given(8) {
			elem = f.Type(8).Elem
		}
	}
	f.SetElem(0, elem)
	return nil
}

// evalQGemm is alpha * a_scale * b_scale * ((A'-a_zero)(B'-b_zero) + C),
// quantized again if y_scale is given. Scales and zero points of B are per
// tensor or per column.
func evalQGemm(e *Eval) error {
	a, b := e.Tensor(0), e.Tensor(3)
	if a.Rank() != 2 || b.Rank() != 2 {
		return fmt.Errorf("operands %v and %v", a, b)
	}
	var err error
	if e.Int("transA") != 0 {
		if a, err = Transpose(a, []int{1, 0}); err != nil {
			return err
		}
	}
	if e.Int("transB") != 0 {
		if b, err = Transpose(b, []int{1, 0}); err != nil {
			return err
		}
	}
	shape, err := matMulShape(a.Shape, b.Shape)
	if err != nil {
		return err
	}
	if err := e.Fits(tensor.Int64, shape); err != nil {
		return err
	}
	av, err := minusZeroPoint(a, e.Tensor(2), -1)
	if err != nil {
		return err
	}
	bv, err := minusZeroPoint(b, e.Tensor(5), 1)
	if err != nil {
		return err
	}
	acc := matMul(a.Shape, b.Shape, av, bv)
	if c := e.Tensor(6); c != nil {
		if s, err := tensor.Broadcast(c.Shape, shape); err != nil || !slices.Equal(s, shape) {
			return fmt.Errorf("addend %v does not broadcast to %v", c, shape)
		}
		v := c.Ints()
		EachBroadcast(shape, [][]int{c.Shape}, func(o int, at []int) { acc[o] += v[at[0]] })
	}
	as, err := perTensor(e.Tensor(1))
	if err != nil {
		return err
	}
	bs, err := matMulScale(e.Tensor(4), shape, true, true, false)
	if err != nil {
		return err
	}
	y := wrapped(acc)
	for i := range y {
		y[i] *= e.Float("alpha") * as * bs(i)
	}
	if e.Tensor(7) == nil {
		e.Set(0, tensor.FromFloats(tensor.Float32, shape, y))
		return nil
	}
	to := tensor.Uint8
	if zp := e.Tensor(8); zp != nil {
		to = zp.Type
	}
	return e.setQuantized(to, shape, y, 7)
}

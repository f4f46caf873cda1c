package op

import (
	"math"

	"onnxopt/onnx/tensor"
)

var opDynamicQuantizeLinear = &Def{
	Name: "DynamicQuantizeLinear",
	Versions: []Version{
		{Since: 11, Schema: `x:T1 -> y:T2 y_scale:float y_zero_point:T2 |  | T1: float; T2: uint8`},
	},
	Infer: inferDynamicQuantizeLinear,
	Eval:  evalDynamicQuantizeLinear,
}

func inferDynamicQuantizeLinear(f *Infer) error {
	f.Set(1)
	f.Set(2)
	return sameShape(f)
}

// evalDynamicQuantizeLinear computes in float32, as the specification's
// function body does.
func evalDynamicQuantizeLinear(e *Eval) error {
	x := e.Tensor(0)
	v := tensor.View[float32](x)
	grid := dynamicGrid(v)
	out := make([]uint8, len(v))
	for i, a := range v {
		out[i] = grid.quantize(a)
	}
	e.Set(0, tensor.Of(x.Shape, out))
	e.Set(1, tensor.Scalar(grid.scale))
	e.Set(2, tensor.Scalar(uint8(grid.zero)))
	return nil
}

// quantGrid is the numbers (q - zero) * scale of q in 0..255.
type quantGrid struct{ scale, zero float32 }

// dynamicGrid spans 0 and all of v.
func dynamicGrid(v []float32) quantGrid {
	var lo, hi float32
	for _, a := range v {
		lo, hi = min(lo, a), max(hi, a)
	}
	g := quantGrid{scale: (hi - lo) / 255}
	if g.scale != 0 {
		g.zero = float32(math.RoundToEven(float64(min(max(-lo/g.scale, 0), 255))))
	}
	return g
}

func (g quantGrid) quantize(x float32) uint8 {
	q := float32(0)
	if g.scale != 0 {
		q = float32(math.RoundToEven(float64(x / g.scale)))
	}
	return uint8(min(max(q+g.zero, 0), 255))
}

// round is the number of the grid that x is quantized to.
func (g quantGrid) round(x float64) float64 {
	return (float64(g.quantize(float32(x))) - float64(g.zero)) * float64(g.scale)
}

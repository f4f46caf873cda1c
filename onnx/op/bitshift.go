package op

import "onnxopt/onnx/tensor"

var opBitShift = &Def{
	Name: "BitShift",
	Versions: []Version{
		{Since: 11, Schema: `X:T Y:T -> Z:T | direction:string! | T: uint`},
		{Since: 28, Schema: `X:T Y:T -> Z:T | direction:string! | T: int uint`},
	},
	Flags: Elementwise,
	Check: Exact,
	Infer: inferBinary,
	Eval:  evalBitShift,
}

func evalBitShift(e *Eval) error {
	x, y, shape, err := e.operands()
	if err != nil {
		return err
	}
	left, bits := e.Str("direction") == "LEFT", int64(x.Type.Bits())
	e.Set(0, tensor.FromInts(x.Type, shape, mapPairs(shape, x, y, x.Ints(), y.Ints(), func(a, b int64) int64 {
		if b < 0 || b > bits { // shifts everything out
			b = bits
		}
		switch {
		case left:
			return int64(uint64(a) << uint64(b))
		case x.Type.IsSigned():
			return a >> uint64(b)
		}
		return int64(uint64(a) >> uint64(b))
	})))
	return nil
}

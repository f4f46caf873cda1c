package runtime

import (
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// matchCast covers Cast to float32 and float16 of what masks and token numbers
// are, and between the two, which are both held as float32.
func matchCast(l *lowerer, n *graph.Node) *lowered {
	attrs, ok := l.attrs(n)
	if !n.Is("Cast") || !ok || attrs.Since < 6 {
		return nil
	}
	half := l.wide(n.Out(0))
	if to := attrs.Int("to"); to != int(tensor.Float32) && !(to == int(tensor.Float16) && half) {
		return nil
	}
	return &lowered{in: n.Inputs(), out: n.Outputs(), run: func(f *frame, in []tensor.Value) ([]tensor.Value, error) {
		x, ok := in[0].(*tensor.Tensor)
		if !ok {
			return nil, errFallback
		}
		if x.Type == tensor.Float32 && !half {
			return f.one(x)
		}
		out, y := f.floats(x.Shape...)
		switch x.Type {
		case tensor.Float32:
			roundHalf(f, y, x.Float32s())
			return f.one(out)
		case tensor.Int64:
			castTo(f, y, tensor.View[int64](x))
		case tensor.Int32:
			castTo(f, y, tensor.View[int32](x))
		case tensor.Uint8:
			castTo(f, y, x.Bytes())
		case tensor.Int8:
			castTo(f, y, tensor.View[int8](x))
		case tensor.Bool:
			b := x.Bytes()
			f.chunks(len(y), func(from, to int) {
				for i := from; i < to; i++ {
					if y[i] = 0; b[i] != 0 {
						y[i] = 1
					}
				}
			})
		default:
			return nil, errFallback
		}
		if half {
			roundHalf(f, y, y)
		}
		return f.one(out)
	}}
}

func castTo[T int64 | int32 | uint8 | int8](f *frame, y []float32, x []T) {
	f.chunks(len(y), func(from, to int) {
		for i := from; i < to; i++ {
			y[i] = float32(x[i])
		}
	})
}

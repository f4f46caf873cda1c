package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/tensor"
)

var opCol2Im = &Def{
	Name: "Col2Im",
	Versions: []Version{
		{Since: 18, Schema: `input:T image_shape:int64 block_shape:int64 -> output:T | dilations:ints pads:ints strides:ints | T: all bfloat16`},
	},
	Infer: inferCol2Im,
	Eval:  evalCol2Im,
}

func inferCol2Im(f *Infer) error {
	image, ok := f.InData(1)
	block, ok2 := f.InData(2)
	if !ok {
		if image, ok = f.unknownData(1); !ok {
			return nil
		}
	}
	out := append(Unknowns(2), image...)
	if x, ok := f.Shape(0); ok {
		if len(x) != 3 {
			return fmt.Errorf("input %v, want rank 3", f.Type(0))
		}
		out[0] = x[0]
		if ok2 {
			out[1] = x[1].FloorDiv(product(block))
		}
	}
	f.Set(0, out...)
	return nil
}

// evalCol2Im adds the blocks [N, C*block, L] up where an image of image_shape
// has them: the transpose of cutting the image into sliding blocks.
func evalCol2Im(e *Eval) error {
	x := e.Tensor(0)
	image, err := intsOf(e.Tensor(1))
	if err != nil {
		return err
	}
	block, err := intsOf(e.Tensor(2))
	if err != nil {
		return err
	}
	taps := volume(block)
	if x.Rank() != 3 || len(block) != len(image) || slices.Min(append(block, 1)) < 1 || x.Shape[1]%taps != 0 {
		return fmt.Errorf("input %v, blocks %v, image %v", x, block, image)
	}
	win, err := newWindow(&e.Attrs, len(image))
	if err != nil {
		return err
	}
	places, err := win.resolve(image, block, false)
	if err != nil {
		return err
	}
	if volume(places) != x.Shape[2] {
		return fmt.Errorf("input %v for %v blocks %v of image %v", x, places, block, image)
	}
	shape := append([]int{x.Shape[0], x.Shape[1] / taps}, image...)
	if err := e.Fits(tensor.Float64, shape); err != nil {
		return err
	}
	if x.Type.IsFloat() {
		e.Set(0, tensor.FromFloats(x.Type, shape, foldBlocks(&win, image, places, block, shape[0]*shape[1], x.Floats())))
	} else {
		e.Set(0, tensor.FromInts(x.Type, shape, foldBlocks(&win, image, places, block, shape[0]*shape[1], x.Ints())))
	}
	return nil
}

// foldBlocks adds [planes, block, places] into [planes, image].
func foldBlocks[T number](win *Window, image, places, block []int, planes int, v []T) []T {
	size, taps, n := volume(image), volume(block), volume(places)
	y := make([]T, planes*size)
	win.EachTap(image, places, block, func(o, k, i int) {
		for p := range planes {
			y[p*size+i] += v[(p*taps+k)*n+o]
		}
	})
	return y
}

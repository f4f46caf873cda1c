package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/tensor"
)

var opUpsample = &Def{
	Name: "Upsample",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:T | height_scale:float! mode:string="nearest" width_scale:float! | T: fp bool int32 int64`},
		{Since: 7, Schema: `X:T -> Y:T | mode:string="nearest" scales:floats! | T: all`},
		{Since: 9, Schema: `X:T scales:float -> Y:T | mode:string="nearest" | T: all`},
		{Since: 10, Schema: `X:T scales:float -> Y:T | mode:string="nearest" | T: all`, Deprecated: true},
	},
	Quant: Quant{Kind: QuantSame},
	Infer: inferUpsample,
	Eval:  evalUpsample,
}

// upsampleScales is the scales where attributes give them.
func upsampleScales(a *Attrs) []float32 {
	if a.Since < 7 {
		return []float32{1, 1, float32(a.Float("height_scale")), float32(a.Float("width_scale"))}
	}
	return a.Floats("scales")
}

func inferUpsample(f *Infer) error {
	x, ok := f.Shape(0)
	if !ok {
		return nil
	}
	axes, err := resizeAxes(&f.Attrs, len(x))
	if err != nil {
		return err
	}
	scales := f.Const(1)
	if f.Since < 9 {
		scales = tensor.Vector(upsampleScales(&f.Attrs)...)
	}
	return f.setScaled(slices.Clone(x), axes, scales)
}

// evalUpsample is Resize with asymmetric coordinates, rounded down.
func evalUpsample(e *Eval) error {
	x := e.Tensor(0)
	scales := upsampleScales(&e.Attrs)
	if e.Since >= 9 {
		scales = e.Tensor(1).Float32s()
	}
	if len(scales) != x.Rank() {
		return fmt.Errorf("%d scales for %v", len(scales), x)
	}
	steps := make([]resizeStep, x.Rank())
	for i := range steps {
		steps[i] = resizeStep{axis: i, in: x.Shape[i], end: 1}
	}
	if err := scaleBy(steps, scales); err != nil {
		return err
	}
	r := resampler{mode: e.Str("mode"), transform: "asymmetric", nearest: "floor"}
	y, err := r.resize(e, x, steps)
	e.Set(0, y)
	return err
}

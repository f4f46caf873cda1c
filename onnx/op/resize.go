package op

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opResize = &Def{
	Name: "Resize",
	Versions: []Version{
		{Since: 10, Schema: `X:T scales:float -> Y:T | mode:string="nearest" | T: all`},
		{Since: 11, Schema: `X:T1 roi:T2 scales:float sizes?:int64 -> Y:T1 | coordinate_transformation_mode:string="half_pixel" cubic_coeff_a:float=-0.75 exclude_outside:int=0 extrapolation_value:float=0 mode:string="nearest" nearest_mode:string="round_prefer_floor" | T1: all; T2: fp`},
		{Since: 13, Schema: `X:T1 roi?:T2 scales?:float sizes?:int64 -> Y:T1 | coordinate_transformation_mode:string="half_pixel" cubic_coeff_a:float=-0.75 exclude_outside:int=0 extrapolation_value:float=0 mode:string="nearest" nearest_mode:string="round_prefer_floor" | T1: all bfloat16; T2: fp`},
		{Since: 18, Schema: `X:T1 roi?:T2 scales?:float sizes?:int64 -> Y:T1 | antialias:int=0 axes:ints coordinate_transformation_mode:string="half_pixel" cubic_coeff_a:float=-0.75 exclude_outside:int=0 extrapolation_value:float=0 keep_aspect_ratio_policy:string="stretch" mode:string="nearest" nearest_mode:string="round_prefer_floor" | T1: all bfloat16; T2: fp`},
		{Since: 19, Schema: `X:T1 roi?:T2 scales?:float sizes?:int64 -> Y:T1 | antialias:int=0 axes:ints coordinate_transformation_mode:string="half_pixel" cubic_coeff_a:float=-0.75 exclude_outside:int=0 extrapolation_value:float=0 keep_aspect_ratio_policy:string="stretch" mode:string="nearest" nearest_mode:string="round_prefer_floor" | T1: all bfloat16; T2: fp`},
	},
	Quant: Quant{Kind: QuantSame},
	Infer: inferResize,
	Eval:  evalResize,
}

// resizeSlots is the input slots of roi, scales and sizes; -1 where the
// version has none.
func resizeSlots(since int64) (roi, scales, sizes int) {
	if since < 11 {
		return -1, 1, -1
	}
	return 1, 2, 3
}

func inferResize(f *Infer) error {
	if roi, scales, sizes := resizeSlots(f.Since); sizes >= 0 {
		if !f.Given(scales) && !f.Given(sizes) {
			return errors.New("neither scales nor sizes")
		}
		if f.Given(sizes) && f.Type(sizes).Ranked && len(f.Type(sizes).Shape) != 1 || roi >= 0 && f.Type(scales).Ranked && len(f.Type(scales).Shape) != 1 {
			return fmt.Errorf("scales %v and sizes %v", f.Type(scales), f.Type(sizes))
		}
	}
	x, ok := f.Shape(0)
	if !ok {
		return nil
	}
	axes, err := resizeAxes(&f.Attrs, len(x))
	if err != nil {
		return err
	}
	_, scaleSlot, sizeSlot := resizeSlots(f.Since)
	out := slices.Clone(x)
	sizes, given, known := f.sizesData(sizeSlot)
	if known {
		if len(sizes) != len(axes) {
			return fmt.Errorf("%d sizes for %d axes", len(sizes), len(axes))
		}
		if p := f.Str("keep_aspect_ratio_policy"); p == "" || p == "stretch" {
			for i, a := range axes {
				out[a] = sizes[i]
			}
		} else {
			aspectDims(out, axes, sizes, p)
		}
		f.Set(0, out...)
		return nil
	}
	if given {
		for _, a := range axes {
			out[a] = dim.Unknown
		}
		f.Set(0, out...)
		return nil
	}
	return f.setScaled(out, axes, f.Const(scaleSlot))
}

// sizesData is the requested sizes; an empty list is none.
func (f *Infer) sizesData(slot int) (sizes []dim.Dim, given, known bool) {
	if slot < 0 || !f.Given(slot) {
		return nil, false, false
	}
	sizes, known = f.InData(slot)
	given = !known || len(sizes) > 0
	return sizes, given, known && given
}

// setScaled sets the shape with the axes scaled; they are unknown if scales is
// nil.
func (f *Infer) setScaled(out []dim.Dim, axes []int, scales *tensor.Tensor) error {
	if scales != nil && scales.Len() != len(axes) {
		return fmt.Errorf("%d scales for %d axes", scales.Len(), len(axes))
	}
	for i, a := range axes {
		if scales == nil {
			out[a] = dim.Unknown
		} else {
			out[a] = scaledDim(out[a], scales.Float32s()[i])
		}
	}
	f.Set(0, out...)
	return nil
}

// scaledDim is floor(d*scale). A symbolic size is scaled by m/2^e exactly if e
// is small; otherwise rounding in float32 decides, and it is unknown.
func scaledDim(d dim.Dim, scale float32) dim.Dim {
	if n, ok := d.Const(); ok {
		return dim.Of(int64(scaledSize(int(n), scale)))
	}
	for e := range 9 {
		if m := float64(scale) * float64(int(1)<<e); m == math.Trunc(m) && m > 0 && m < 1<<20 {
			return d.Mul(dim.Of(int64(m))).FloorDiv(dim.Of(1 << e))
		}
	}
	return dim.Unknown
}

// scaledSize is floor(n*scale) in float32, as the standard's shape inference
// computes it.
func scaledSize(n int, scale float32) int {
	return int(math.Floor(float64(float32(n) * scale)))
}

// aspectDims sets the sizes of a resize that keeps the aspect ratio, if all
// are constants.
func aspectDims(out []dim.Dim, axes []int, sizes []dim.Dim, policy string) {
	in, want := make([]int, len(axes)), make([]int, len(axes))
	known := true
	for i, a := range axes {
		n, ok := out[a].Const()
		m, ok2 := sizes[i].Const()
		in[i], want[i], known = int(n), int(m), known && ok && ok2 && n > 0
	}
	got := make([]int, len(axes))
	if known {
		_, got = aspectSizes(in, want, policy)
	}
	for i, a := range axes {
		out[a] = dim.Unknown
		if known {
			out[a] = dim.Of(int64(got[i]))
		}
	}
}

// aspectSizes is the one scale of all axes, the smallest or largest of
// want/in, and the sizes that it gives.
func aspectSizes(in, want []int, policy string) (scale float64, sizes []int) {
	for i := range in {
		s := float64(want[i]) / float64(in[i])
		if i == 0 || policy == "not_larger" && s < scale || policy == "not_smaller" && s > scale {
			scale = s
		}
	}
	for _, n := range in {
		sizes = append(sizes, int(math.Floor(scale*float64(n)+0.5)))
	}
	return scale, sizes
}

// resizeAxes is the attribute axes, all axes without it.
func resizeAxes(a *Attrs, rank int) ([]int, error) {
	axes := a.Ints("axes")
	if axes == nil {
		for i := range rank {
			axes = append(axes, i)
		}
		return axes, nil
	}
	for i, x := range axes {
		var ok bool
		if axes[i], ok = Axis(x, rank); !ok {
			return nil, fmt.Errorf("axis %d of rank %d", x, rank)
		}
		if slices.Contains(axes[:i], axes[i]) {
			return nil, fmt.Errorf("axis %d is named twice", x)
		}
	}
	return axes, nil
}

func evalResize(e *Eval) error {
	x := e.Tensor(0)
	axes, err := resizeAxes(&e.Attrs, x.Rank())
	if err != nil {
		return err
	}
	steps, err := e.resizeSteps(x, axes)
	if err != nil {
		return err
	}
	r := e.resampler()
	y, err := r.resize(e, x, steps)
	e.Set(0, y)
	return err
}

// resampler reads the attributes.
func (e *Eval) resampler() *resampler {
	r := &resampler{
		mode: e.Str("mode"), transform: e.Str("coordinate_transformation_mode"), nearest: e.Str("nearest_mode"),
		cubic: e.Float("cubic_coeff_a"), antialias: e.Int("antialias") != 0, exclude: e.Int("exclude_outside") != 0,
		fill: e.Float("extrapolation_value"),
	}
	if e.Since < 11 {
		r.transform, r.nearest = "asymmetric", ""
	}
	return r
}

// resizeSteps is what happens to each axis that is resized.
func (e *Eval) resizeSteps(x *tensor.Tensor, axes []int) ([]resizeStep, error) {
	roiSlot, scaleSlot, sizeSlot := resizeSlots(e.Since)
	steps := make([]resizeStep, len(axes))
	for i, a := range axes {
		steps[i] = resizeStep{axis: a, in: x.Shape[a], end: 1}
	}
	if roiSlot >= 0 && e.Str("coordinate_transformation_mode") == "tf_crop_and_resize" {
		roi := e.Tensor(roiSlot)
		if roi == nil || roi.Len() != 2*len(axes) {
			return nil, fmt.Errorf("roi %v for %d axes", roi, len(axes))
		}
		v := roi.Floats()
		for i := range steps {
			steps[i].start, steps[i].end = v[i], v[len(axes)+i]
		}
	}
	if sizeSlot >= 0 {
		if t := e.Tensor(sizeSlot); t != nil && t.Len() > 0 {
			sizes, err := intsOf(t)
			if err != nil {
				return nil, err
			}
			return steps, resizeTo(steps, sizes, e.Str("keep_aspect_ratio_policy"))
		}
	}
	scales := e.Tensor(scaleSlot)
	if scales == nil {
		return nil, errors.New("neither scales nor sizes")
	}
	return steps, scaleBy(steps, scales.Float32s())
}

func scaleBy(steps []resizeStep, scales []float32) error {
	if len(scales) != len(steps) {
		return fmt.Errorf("%d scales for %d axes", len(scales), len(steps))
	}
	for i, s := range scales {
		if !(s > 0) || float64(s)*float64(steps[i].in) > math.MaxInt32 {
			return fmt.Errorf("scales %v", scales)
		}
		steps[i].scale, steps[i].out = float64(s), scaledSize(steps[i].in, s)
	}
	return nil
}

func resizeTo(steps []resizeStep, sizes []int, policy string) error {
	if len(sizes) != len(steps) {
		return fmt.Errorf("%d sizes for %d axes", len(sizes), len(steps))
	}
	in := make([]int, len(steps))
	for i := range steps {
		if in[i] = steps[i].in; in[i] == 0 || sizes[i] < 0 {
			return fmt.Errorf("size %d resized to %d", in[i], sizes[i])
		}
		steps[i].out, steps[i].scale = sizes[i], float64(sizes[i])/float64(in[i])
	}
	switch policy {
	case "", "stretch":
	case "not_larger", "not_smaller":
		scale, got := aspectSizes(in, sizes, policy)
		for i := range steps {
			steps[i].out, steps[i].scale = got[i], scale
		}
	default:
		return fmt.Errorf("keep_aspect_ratio_policy %q", policy)
	}
	return nil
}

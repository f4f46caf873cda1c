package op

import (
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opSTFT = &Def{
	Name: "STFT",
	Versions: []Version{
		{Since: 17, Schema: `signal:T1 frame_step:T2 window?:T1 frame_length?:T2 -> output:T1 | onesided:int=1 | T1: fp bfloat16; T2: int32 int64`},
	},
	Check: Loose,
	Infer: inferSTFT,
	Eval:  evalSTFT,
}

func inferSTFT(f *Infer) error {
	signal, ok := f.Shape(0)
	if !ok {
		f.Set(0, dim.Unknown, dim.Unknown, dim.Unknown, dim.Of(2))
		return nil
	}
	if len(signal) != 2 && len(signal) != 3 {
		return fmt.Errorf("signal %v, want [batch, length, 1 or 2]", f.Type(0))
	}
	length := signal[1]
	window, known := f.Shape(2)
	switch {
	case f.Given(3):
		length = f.size(3)
	case f.Given(2) && known && len(window) == 1:
		length = window[0]
	case f.Given(2):
		length = dim.Unknown
	}
	frames := dim.Unknown
	if step, isConst := f.size(1).Const(); isConst && step > 0 {
		frames = signal[1].Sub(length).FloorDiv(dim.Of(step)).Add(dim.Of(1))
	}
	bins := length
	if f.Int("onesided") != 0 {
		bins = length.FloorDiv(dim.Of(2)).Add(dim.Of(1))
	}
	f.Set(0, signal[0], frames, bins, dim.Of(2))
	return nil
}

// evalSTFT is the transform of every frame times the window:
// y[b,f,k] = DFT(window[n] * x[b, f*step+n])[k].
func evalSTFT(e *Eval) error {
	x := e.Tensor(0)
	if x.Rank() == 2 {
		x = x.Reshaped(x.Shape[0], x.Shape[1], 1)
	}
	if x.Rank() != 3 || x.Shape[2] != 1 && x.Shape[2] != 2 {
		return fmt.Errorf("signal %v, want [batch, length, 1 or 2]", x)
	}
	step, err := e.scalarInt(1)
	if err != nil {
		return err
	}
	length := x.Shape[1]
	if w := e.Tensor(2); w != nil {
		length = w.Len()
	}
	if e.Tensor(3) != nil {
		if length, err = e.scalarInt(3); err != nil {
			return err
		}
	}
	if step < 1 || length < 1 || length > x.Shape[1] {
		return fmt.Errorf("frames of %d samples every %d in a signal of %d", length, step, x.Shape[1])
	}
	window := make([]float64, length)
	for i := range window {
		window[i] = 1
	}
	if w := e.Tensor(2); w != nil {
		if w.Rank() != 1 || w.Len() != length {
			return fmt.Errorf("window %v for frames of %d samples", w, length)
		}
		window = w.Floats()
	}
	t := transform{oneSided: e.Int("onesided") != 0}
	if err := t.init(e, length); err != nil {
		return err
	}
	shape := []int{x.Shape[0], (x.Shape[1]-length)/step + 1, t.bins(), 2}
	if err := e.Fits(tensor.Float64, shape); err != nil {
		return err
	}
	e.Set(0, tensor.FromFloats(x.Type, shape, shortTime(&t, x, window, step, shape)))
	return nil
}

func shortTime(t *transform, x *tensor.Tensor, window []float64, step int, shape []int) []float64 {
	v, parts := x.Floats(), x.Shape[2]
	out := make([]float64, 0, volume(shape))
	frame := make([]complex128, len(window))
	for b := range shape[0] {
		for f := range shape[1] {
			for n, w := range window {
				at := (b*x.Shape[1] + f*step + n) * parts
				frame[n] = complex(v[at]*w, 0)
				if parts == 2 {
					frame[n] = complex(v[at]*w, v[at+1]*w)
				}
			}
			for _, y := range t.of(frame) {
				out = append(out, real(y), imag(y))
			}
		}
	}
	return out
}

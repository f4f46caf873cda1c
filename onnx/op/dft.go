package op

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opDFT = &Def{
	Name: "DFT",
	Versions: []Version{
		{Since: 17, Schema: `input:T1 dft_length?:T2 -> output:T1 | axis:int=1 inverse:int=0 onesided:int=0 | T1: fp bfloat16; T2: int32 int64`},
		{Since: 20, Schema: `input:T1 dft_length?:T2 axis?:int64 -> output:T1 | inverse:int=0 onesided:int=0 | T1: fp bfloat16; T2: int32 int64`},
	},
	Check: Loose,
	Infer: inferDFT,
	Eval:  evalDFT,
}

func inferDFT(f *Infer) error {
	x, ok := f.Shape(0)
	if !ok {
		return nil
	}
	if len(x) < 2 {
		return fmt.Errorf("input %v", f.Type(0))
	}
	inverse, oneSided := f.Int("inverse") != 0, f.Int("onesided") != 0
	out := slices.Clone(x)
	out[len(out)-1] = dim.Of(2)
	if inverse && oneSided {
		out[len(out)-1] = dim.Of(1)
	}
	axis := -2
	if f.Since < 20 {
		axis = f.Int("axis")
	} else if f.Given(2) {
		a, known := f.Ints(2)
		if !f.Given(1) && !oneSided { // the sizes stay, whatever the axis
			f.Set(0, out...)
			return nil
		}
		if !known || len(a) != 1 {
			f.Set(0, append(Unknowns(len(x)-1), out[len(x)-1])...)
			return nil
		}
		axis = a[0]
	}
	axis, err := dftAxis(axis, len(x))
	if err != nil {
		return err
	}
	length := x[axis]
	switch {
	case f.Given(1):
		length = f.size(1)
	case inverse && oneSided:
		length = x[axis].Sub(dim.Of(1)).Mul(dim.Of(2))
	}
	out[axis] = length
	if oneSided && !inverse {
		out[axis] = length.FloorDiv(dim.Of(2)).Add(dim.Of(1))
	}
	f.Set(0, out...)
	return nil
}

// dftAxis is the axis as an index; the last one holds real and imaginary parts
// and is none.
func dftAxis(axis, rank int) (int, error) {
	a, ok := Axis(axis, rank)
	if !ok || a == rank-1 {
		return 0, fmt.Errorf("axis %d of rank %d", axis, rank)
	}
	return a, nil
}

func evalDFT(e *Eval) error {
	x := e.Tensor(0)
	rank := x.Rank()
	if rank < 2 || x.Shape[rank-1] != 1 && x.Shape[rank-1] != 2 {
		return fmt.Errorf("input %v, want a last axis of size 1 or 2", x)
	}
	t := transform{inverse: e.Int("inverse") != 0, oneSided: e.Int("onesided") != 0}
	if t.oneSided && !t.inverse && x.Shape[rank-1] == 2 {
		return errors.New("a one-sided transform wants real input")
	}
	axis := -2
	if e.Since < 20 {
		axis = e.Int("axis")
	} else if e.Tensor(2) != nil {
		a, err := e.scalarInt(2)
		if err != nil {
			return err
		}
		axis = a
	}
	axis, err := dftAxis(axis, rank)
	if err != nil {
		return err
	}
	length := x.Shape[axis]
	if e.Tensor(1) != nil {
		if length, err = e.scalarInt(1); err != nil {
			return err
		}
	} else if t.inverse && t.oneSided {
		length = 2 * (length - 1)
	}
	if err := t.init(e, length); err != nil {
		return err
	}
	shape := slices.Clone(x.Shape)
	shape[axis], shape[rank-1] = t.bins(), t.parts()
	if err := e.Fits(tensor.Complex128, shape); err != nil {
		return err
	}
	e.Set(0, tensor.FromFloats(x.Type, shape, t.alongAxis(x, axis, shape)))
	return nil
}

// transform is a discrete Fourier transform of a length:
// y[k] = sum_n exp(-2*pi*i*k*n/length) x[n], or its inverse with the sign
// turned and divided by length. One-sided spectra have length/2+1 bins; the
// inverse of one is real.
type transform struct {
	inverse, oneSided bool
	length            int
	roots             []complex128 // roots[j] = exp(-+2*pi*i*j/length)
}

func (t *transform) init(e *Eval, length int) error {
	if length < 1 {
		return fmt.Errorf("transform of length %d", length)
	}
	if err := e.Fits(tensor.Complex128, []int{length}); err != nil {
		return err
	}
	t.length, t.roots = length, make([]complex128, length)
	for j := range t.roots {
		sin, cos := math.Sincos(2 * math.Pi * float64(j) / float64(length))
		if t.inverse {
			sin = -sin
		}
		t.roots[j] = complex(cos, -sin)
	}
	return nil
}

// bins is the size of the output.
func (t *transform) bins() int {
	if t.oneSided && !t.inverse {
		return t.length/2 + 1
	}
	return t.length
}

// parts is 1 for a real result, else 2.
func (t *transform) parts() int {
	if t.oneSided && t.inverse {
		return 1
	}
	return 2
}

// of is the transform of x, which is cut or padded with zeros.
func (t *transform) of(x []complex128) []complex128 {
	in := make([]complex128, t.length)
	copy(in, x)
	if t.oneSided && t.inverse { // x[length-k] is the conjugate of x[k]
		for k := 1; k <= (t.length-1)/2; k++ {
			in[t.length-k] = complex(real(in[k]), -imag(in[k]))
		}
	}
	out := make([]complex128, t.bins())
	for k := range out {
		sum, at := complex128(0), 0
		for _, v := range in {
			sum += v * t.roots[at]
			if at += k; at >= t.length {
				at -= t.length
			}
		}
		if t.inverse {
			sum /= complex(float64(t.length), 0)
		}
		out[k] = sum
	}
	return out
}

// alongAxis transforms every lane of x along axis; shape is that of the result.
func (t *transform) alongAxis(x *tensor.Tensor, axis int, shape []int) []float64 {
	last := x.Rank() - 1
	v, parts := x.Floats(), x.Shape[last]
	out := make([]float64, volume(shape))
	outer, inner := volume(shape[:axis]), volume(shape[axis+1:last])
	lane := make([]complex128, x.Shape[axis])
	for o := range outer {
		for i := range inner {
			for n := range lane {
				at := ((o*len(lane)+n)*inner + i) * parts
				lane[n] = complex(v[at], 0)
				if parts == 2 {
					lane[n] = complex(v[at], v[at+1])
				}
			}
			for k, y := range t.of(lane) {
				at := ((o*t.bins()+k)*inner + i) * t.parts()
				out[at] = real(y)
				if t.parts() == 2 {
					out[at+1] = imag(y)
				}
			}
		}
	}
	return out
}

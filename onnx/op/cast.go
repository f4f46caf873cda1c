package op

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opCast = &Def{
	Name: "Cast",
	Versions: []Version{
		{Since: 1, Schema: `input:T1 -> output:T2 | to:string! | T1: num bool; T2: num bool`},
		{Since: 6, Schema: `input:T1 -> output:T2 | to:int! | T1: num bool; T2: num bool`},
		{Since: 9, Schema: `input:T1 -> output:T2 | to:int! | T1: num bool string; T2: num bool string`},
		{Since: 13, Schema: `input:T1 -> output:T2 | to:int! | T1: num bool string bfloat16; T2: num bool string bfloat16`},
		{Since: 19, Schema: `input:T1 -> output:T2 | saturate:int=1 to:int! | T1: num f8 bool string bfloat16; T2: num f8 bool string bfloat16`},
		{Since: 21, Schema: `input:T1 -> output:T2 | saturate:int=1 to:int! | T1: num f8 i4 bool string bfloat16; T2: num f8 i4 bool string bfloat16`},
		{Since: 23, Schema: `input:T1 -> output:T2 | saturate:int=1 to:int! | T1: num f8 i4 bfloat16 string bool float4e2m1; T2: num f8 i4 bfloat16 string bool float4e2m1`},
		{Since: 24, Schema: `input:T1 -> output:T2 | round_mode:string="up" saturate:int=1 to:int! | T1: num f8 i4 bfloat16 string bool float4e2m1 float8e8m0; T2: num f8 i4 bfloat16 string bool float4e2m1 float8e8m0`},
		{Since: 25, Schema: `input:T1 -> output:T2 | round_mode:string="up" saturate:int=1 to:int! | T1: num f8 i4 i2 bfloat16 string bool float4e2m1 float8e8m0; T2: num f8 i4 i2 bfloat16 string bool float4e2m1 float8e8m0`},
		{Since: 28, Schema: `input:T1 -> output:T2 | round_mode:string="up" saturate:int=1 to:int! | T1: num f8 i4 i2 bfloat16 string bool float4e2m1 float8e8m0 float6e2m3 float6e3m2; T2: num f8 i4 i2 bfloat16 string bool float4e2m1 float8e8m0 float6e2m3 float6e3m2`},
	},
	Flags: Elementwise,
	Check: Exact,
	Infer: inferCast,
	Eval:  evalCast,
}

func inferCast(f *Infer) error {
	to, err := castTarget(&f.Attrs)
	if err != nil {
		return err
	}
	return inferCastTo(f, to)
}

// castTarget is the attribute `to`, a name before version 6.
func castTarget(a *Attrs) (tensor.DType, error) {
	if a.Since >= 6 {
		return a.elemType("to")
	}
	to, ok := tensor.ParseDType(strings.ToLower(a.Str("to")))
	if !ok {
		return 0, fmt.Errorf("cast to %q", a.Str("to"))
	}
	return to, nil
}

func inferCastTo(f *Infer, to tensor.DType) error {
	f.SetElem(0, to)
	if err := sameShape(f); err != nil {
		return err
	}
	if d, ok := f.InData(0); ok && CarriesData(to) {
		if to == tensor.Bool {
			d = truthDims(d)
		}
		f.SetData(0, d)
	}
	return nil
}

// truthDims is 0 for 0 and 1 for what is certainly another number.
func truthDims(d []dim.Dim) []dim.Dim {
	out := make([]dim.Dim, len(d))
	for i, x := range d {
		if n, ok := x.Const(); ok && n == 0 {
			out[i] = x
		} else if ok || x.Positive() {
			out[i] = dim.Of(1)
		}
	}
	return out
}

func evalCast(e *Eval) error {
	to, err := castTarget(&e.Attrs)
	if err != nil {
		return err
	}
	return castTo(e, to)
}

func castTo(e *Eval, to tensor.DType) error {
	x := e.Tensor(0)
	saturate := e.Schema.Attr("saturate") == nil || e.Int("saturate") != 0
	if err := e.Fits(to, x.Shape); err != nil {
		return err
	}
	out, err := castTensor(x, to, saturate, e.Str("round_mode"))
	if err != nil {
		return err
	}
	e.Set(0, out)
	return nil
}

// castTensor converts every element. Floats become integers by truncation,
// numbers become Bool by comparison with zero, strings are parsed and printed.
func castTensor(x *tensor.Tensor, to tensor.DType, saturate bool, roundMode string) (*tensor.Tensor, error) {
	switch {
	case x.Type == to:
		return x, nil
	case x.Type == tensor.String:
		return parseStrings(x, to, saturate)
	case to == tensor.String:
		return printStrings(x)
	case to.IsComplex() && x.Type.IsComplex():
		return tensor.FromComplexes(to, x.Shape, x.Complexes()), nil
	case to.IsComplex() || x.Type.IsComplex():
		return nil, fmt.Errorf("cast from %v to %v", x.Type, to)
	case to == tensor.Float8E8M0:
		out := tensor.New(to, x.Shape...)
		for i, v := range x.Floats() {
			out.Bytes()[i] = byte(tensor.EncodeE8M0(v, roundMode, saturate))
		}
		return out, nil
	case x.Type.IsFloat() && to.IsFloat():
		return tensor.EncodeFloats(to, x.Shape, x.Floats(), saturate), nil
	case x.Type.IsFloat():
		return tensor.FromFloats(to, x.Shape, x.Floats()), nil
	case to.IsFloat():
		return tensor.EncodeFloats(to, x.Shape, x.Floats(), saturate), nil
	}
	return tensor.FromInts(to, x.Shape, x.Ints()), nil
}

func parseStrings(x *tensor.Tensor, to tensor.DType, saturate bool) (*tensor.Tensor, error) {
	if to.IsInt() {
		v := make([]int64, x.Len())
		for i, s := range x.Strings() {
			n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
			if err != nil {
				f, ferr := strconv.ParseFloat(strings.TrimSpace(s), 64)
				if ferr != nil {
					return nil, fmt.Errorf("cast of %q to %v", s, to)
				}
				n = truncated(f)
			}
			v[i] = n
		}
		return tensor.FromInts(to, x.Shape, v), nil
	}
	v := make([]float64, x.Len())
	for i, s := range x.Strings() {
		f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return nil, fmt.Errorf("cast of %q to %v", s, to)
		}
		v[i] = f
	}
	if to.IsFloat() {
		return tensor.EncodeFloats(to, x.Shape, v, saturate), nil
	}
	return tensor.FromFloats(to, x.Shape, v), nil
}

// printStrings prints floats with nine significant digits, as numpy prints
// float32, and integers in decimal.
func printStrings(x *tensor.Tensor) (*tensor.Tensor, error) {
	out := make([]string, x.Len())
	switch {
	case x.Type.IsFloat():
		bits := 32
		if x.Type == tensor.Float64 {
			bits = 64
		}
		for i, v := range x.Floats() {
			switch {
			case math.IsNaN(v):
				out[i] = "NaN"
			case math.IsInf(v, 1):
				out[i] = "INF"
			case math.IsInf(v, -1):
				out[i] = "-INF"
			default:
				out[i] = strconv.FormatFloat(v, 'g', -1, bits)
			}
		}
	case x.Type == tensor.Uint64:
		for i, v := range x.Ints() {
			out[i] = strconv.FormatUint(uint64(v), 10)
		}
	case x.Type.IsComplex():
		return nil, fmt.Errorf("cast from %v to string", x.Type)
	default:
		for i, v := range x.Ints() {
			out[i] = strconv.FormatInt(v, 10)
		}
	}
	return tensor.FromStrings(x.Shape, out)
}

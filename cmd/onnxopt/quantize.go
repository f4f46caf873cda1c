package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"onnxopt/passes/quant"
)

var quantizeVerb = verb{
	name: "quantize", args: "MODEL -o OUT", minArgs: 1, maxArgs: 1,
	doc:     "quantize a model: optimize with the choices of quantization",
	example: "onnxopt quantize model.onnx --data samples.npz --target onnxruntime -o model.int8.onnx",
	setup: func(f *pflag.FlagSet) func(*call) error {
		o := &optimizer{}
		q := &quantizer{optimizer: o}
		f.StringVar(&q.weights, "weights", "int8", "type of weights: int8, int4, float16 or bfloat16")
		f.StringVar(&q.activations, "activations", "", "type of activations: uint8 (default with --data), uint16, dynamic (8 bits, range found at run time) or float32 (default without)")
		o.declare(f)
		return q.run
	},
}

// quantizer is one run of the verb quantize.
type quantizer struct {
	*optimizer
	weights, activations string
}

// formats is the preset of each pair of types of weights and activations.
var formats = map[[2]string]string{
	{"int8", "uint8"}: "int8", {"int8", "uint16"}: "int8", {"int8", "float32"}: "weights", {"int8", "dynamic"}: "dynamic",
	{"int4", "uint8"}: "int8", {"int4", "uint16"}: "int8", {"int4", "float32"}: "weights",
	{"float16", "float32"}: "float16", {"bfloat16", "float32"}: "float16",
}

func (q *quantizer) run(c *call) error {
	if q.activations == "" {
		q.activations = "float32"
		if (q.data != "" || q.calibration != "" || q.ranges != "") && strings.HasPrefix(q.weights, "int") {
			q.activations = "uint8"
		}
	}
	if strings.HasPrefix(q.weights, "float8") || strings.HasPrefix(q.activations, "float8") {
		return fmt.Errorf("quantize: float8 is not written: int8 takes as many bytes and is more accurate")
	}
	preset := formats[[2]string{q.weights, q.activations}]
	if preset == "" {
		return fmt.Errorf("quantize: no form has %s weights with %s activations", q.weights, q.activations)
	}
	if q.preset == "" {
		q.preset = preset
	}
	s := &q.settings.Quant
	if s.NBits && s.BlockSize == 0 {
		s.BlockSize = 32
	}
	s.WeightBits = map[string]int{"int8": 8, "int4": 4}[q.weights]
	if preset == "float16" {
		s.Half16 = q.weights
	}
	s.ActivationBits = map[string]int{"uint8": 8, "uint16": 16}[q.activations]
	return q.optimizer.run(c)
}

// declareQuant declares the choices of quantization.
func (o *optimizer) declareQuant(f *pflag.FlagSet) {
	s := &o.settings.Quant
	f.StringVar(&s.Profile, "target", "", "runtime to quantize for: "+strings.Join(targets(), ", ")+" (default portable)")
	f.StringVar(&s.Method, "method", "", "calibration: minmax, moving-average, percentile, entropy, mse or auto")
	f.StringVar(&o.ranges, "ranges", "", "calibration file of onnxopt calibrate, instead of running the samples again")
	f.BoolVar(&s.PerTensor, "per-tensor", false, "one scale for each weight instead of one for each channel")
	f.BoolVar(&s.SymmetricActivations, "symmetric", false, "activations with zero point 0 (or the middle of uint8)")
	f.BoolVar(&s.ReduceRange, "reduce-range", false, "7-bit weights, exact on CPUs whose 8-bit products saturate")
	f.IntVar(&s.BlockSize, "block", 0, "weights of float products get a scale for each block of so many inputs (opset 21); with --data rounded by what that does to the products")
	f.BoolVar(&s.NBits, "matmul-nbits", false, "write blocks as onnxruntime's com.microsoft.MatMulNBits instead of DequantizeLinear")
	f.BoolVar(&o.qoperator, "qoperator", false, "write QLinearConv and QLinearMatMul instead of QuantizeLinear and DequantizeLinear around each layer")
	f.BoolVar(&o.smooth, "smooth", false, "scale channels of activations to be alike, undone in the weights that read them (SmoothQuant); compare: not every model gains")
	f.BoolVar(&o.equalize, "equalize", false, "scale channels to equal ranges in the weights of neighbouring layers, for --per-tensor; compare: not every model gains")
	f.StringSliceVar(&s.Skip, "skip", nil, "node names or operators to leave in float")
	f.Float64Var(&s.MinSQNR, "min-sqnr", 0, "least SQNR of the outputs in dB; sensitive layers stay float until it holds (default 20, -1 for none)")
	f.BoolVar(&s.Sensitivity, "sensitivity", false, "measure the sensitivity of every layer even if nothing needs it")
}

func targets() []string {
	var names []string
	for _, p := range quant.Profiles {
		names = append(names, p.Name)
	}
	return slices.Clip(names)
}

package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMelWeightMatrix = &Def{
	Name: "MelWeightMatrix",
	Versions: []Version{
		{Since: 17, Schema: `num_mel_bins:T1 dft_length:T1 sample_rate:T1 lower_edge_hertz:T2 upper_edge_hertz:T2 -> output:T3 | output_datatype:int=1 | T1: int32 int64; T2: fp bfloat16; T3: num bfloat16`},
	},
	Infer: inferMelWeightMatrix,
	Eval:  evalMelWeightMatrix,
}

func inferMelWeightMatrix(f *Infer) error {
	if err := f.setElemAttr("output_datatype"); err != nil {
		return err
	}
	f.Set(0, f.size(1).FloorDiv(dim.Of(2)).Add(dim.Of(1)), f.size(0))
	return nil
}

// evalMelWeightMatrix is triangular filters of peak 1 whose corners are equally
// spaced on the mel scale mel(f) = 2595*log10(1 + f/700), rounded down to bins
// of the one-sided spectrum of dft_length/2+1 bins.
func evalMelWeightMatrix(e *Eval) error {
	var ints [3]int
	for i := range ints {
		n, err := e.scalarInt(i)
		if err != nil {
			return err
		}
		if n < 1 {
			return fmt.Errorf("input %d is %d", i, n)
		}
		ints[i] = n
	}
	mels, length, rate := ints[0], ints[1], float64(ints[2])
	low, err := e.scalarFloat(3)
	if err != nil {
		return err
	}
	high, err := e.scalarFloat(4)
	if err != nil {
		return err
	}
	bins := length/2 + 1
	typ, err := e.fitsNumeric("output_datatype", []int{bins, mels})
	if err != nil {
		return err
	}
	corners, err := melCorners(mels, bins, float64(length), rate, low, high)
	if err != nil {
		return err
	}
	w := make([]float64, bins*mels)
	for m := range mels {
		left, center, right := corners[m], corners[m+1], corners[m+2]
		for b := left; b < center; b++ {
			w[b*mels+m] = float64(b-left) / float64(center-left)
		}
		w[center*mels+m] = 1
		for b := center + 1; b < right; b++ {
			w[b*mels+m] = float64(right-b) / float64(right-center)
		}
	}
	e.Set(0, tensor.FromFloats(typ, []int{bins, mels}, w))
	return nil
}

// melCorners is the mels+2 spectrum bins at which the triangles start, peak
// and end: triangle m spans corners m to m+2.
func melCorners(mels, bins int, length, rate, lowHertz, highHertz float64) ([]int, error) {
	toMel := func(hertz float64) float64 { return 2595 * math.Log10(1+hertz/700) }
	low, high := toMel(lowHertz), toMel(highHertz)
	step := (high - low) / float64(mels+2)
	corners := make([]int, mels+2)
	for i := range corners {
		hertz := 700 * (math.Pow(10, (low+float64(i)*step)/2595) - 1)
		bin := math.Floor((length + 1) * hertz / rate)
		if !(bin >= 0 && bin < float64(bins)) || i > 0 && int(bin) < corners[i-1] {
			return nil, fmt.Errorf("edges %v and %v Hz are outside the spectrum of %v samples at %v Hz", lowHertz, highHertz, length, rate)
		}
		corners[i] = int(bin)
	}
	return corners, nil
}

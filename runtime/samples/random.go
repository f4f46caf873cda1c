package samples

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"onnxopt/onnx/tensor"
)

// randomSource makes samples from a seed and their number alone, so that they
// do not depend on the batches in which they are read.
type randomSource struct {
	inputs []Input
	shapes [][]int // of one sample; without the batch axis for rows
	as     []binding
	seed   uint64
}

// Random is n synthetic samples, for checks without data: floats of the
// standard normal distribution, bytes over their whole range, wider integers 0
// or 1 (valid as indices, masks and tokens), strings of a letter. Axis 0 is the
// batch axis where its size is free or 1; other free sizes are 1.
func Random(inputs []Input, n int, seed uint64) (*Set, error) {
	if n < 1 || len(inputs) == 0 {
		return nil, fmt.Errorf("random samples: %d of %d inputs", n, len(inputs))
	}
	s := &Set{path: "random samples", inputs: slices.Clone(inputs), n: n}
	r := &randomSource{inputs: s.inputs, seed: seed}
	for _, in := range inputs {
		shape := slices.Clone(in.Shape)
		for i, d := range shape {
			if d < 0 {
				shape[i] = 1
			}
		}
		as := whole
		if len(shape) > 0 && (in.Shape[0] == -1 || in.Shape[0] == 1) {
			as, shape = rows, shape[1:]
		}
		if as == whole || in.Shape[0] == 1 {
			s.size = 1
		}
		size, err := tensor.ByteSize(elemType(in.Type), shape)
		if err == nil && size > defaultMaxBytes {
			err = fmt.Errorf("%d bytes, the limit is %d", size, defaultMaxBytes)
		}
		if err != nil {
			return nil, fmt.Errorf("random samples for model input %q: %w", in.Name, err)
		}
		r.shapes, r.as = append(r.shapes, shape), append(r.as, as)
	}
	s.source = r
	return s, nil
}

// elemType is the element type for an input that accepts any.
func elemType(d tensor.DType) tensor.DType {
	if d == tensor.Undefined {
		return tensor.Float32
	}
	return d
}

func (r *randomSource) name(int) string { return "" }

func (r *randomSource) expected(int, int) ([]tensor.Value, error) { return nil, nil }

func (r *randomSource) batch(from, to int) ([]tensor.Value, error) {
	out := make([]tensor.Value, len(r.inputs))
	for k, in := range r.inputs {
		n, err := tensor.Count(r.shapes[k])
		if err != nil {
			return nil, err
		}
		shape := r.shapes[k]
		if r.as[k] == rows {
			shape = append([]int{to - from}, shape...)
		}
		vals := make([]float64, 0, (to-from)*n)
		for i := from; i < to; i++ {
			rng := rand.New(rand.NewPCG(r.seed, uint64(i)<<16+uint64(k)))
			for range n {
				vals = append(vals, drawValue(rng, elemType(in.Type)))
			}
		}
		if out[k], err = randomTensor(elemType(in.Type), shape, vals); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func drawValue(rng *rand.Rand, d tensor.DType) float64 {
	switch {
	case d == tensor.String:
		return float64(rng.IntN(26))
	case d == tensor.Float8E8M0:
		return float64(int(1) << rng.IntN(4))
	case d.IsFloat() || d.IsComplex():
		return rng.NormFloat64()
	case d.IsInt() && d.Bits() <= 8:
		lo, hi := d.IntRange()
		return float64(lo + rng.Int64N(hi-lo+1))
	}
	return float64(rng.IntN(2))
}

func randomTensor(d tensor.DType, shape []int, vals []float64) (*tensor.Tensor, error) {
	switch {
	case d == tensor.String:
		s := make([]string, len(vals))
		for i, v := range vals {
			s[i] = string(rune('a' + int(v)))
		}
		return tensor.FromStrings(shape, s)
	case d.IsComplex():
		c := make([]complex128, len(vals))
		for i, v := range vals {
			c[i] = complex(v, 0)
		}
		return tensor.FromComplexes(d, shape, c), nil
	}
	return tensor.FromFloats(d, shape, vals), nil
}

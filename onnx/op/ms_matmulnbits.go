package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opMsMatMulNBits = &Def{
	Name:   "MatMulNBits",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `A:T1 B:T2 scales:T1 zero_points?:T3 g_idx?:T4 bias?:T1 -> Y:T1 | K:int! N:int! accuracy_level:int=0 bits:int=4 block_size:int! weight_prepacked:int=0 | T1: float float16 bfloat16; T2: uint8; T3: uint8 float16 float bfloat16; T4: int32`},
	},
	Infer: inferMatMulNBits,
	Eval:  evalMatMulNBits,
}

func inferMatMulNBits(f *Infer) error {
	s, ok := f.Shape(0)
	if !ok || len(s) == 0 {
		return nil
	}
	out := append([]dim.Dim{}, s...)
	out[len(out)-1] = dim.Of(int64(f.Int("N")))
	f.Set(0, out...)
	return nil
}

// evalMatMulNBits is A times the transpose of B, whose rows are stored in
// blocks of block_size values of bits bits, low bits first, each block with a
// scale and a zero point (by default 2^(bits-1)). With g_idx, input feature k is
// of block g_idx[k].
func evalMatMulNBits(e *Eval) error {
	a := e.Tensor(0)
	k, n := e.Int("K"), e.Int("N")
	if a.Rank() < 1 || a.Shape[a.Rank()-1] != k || n < 1 {
		return fmt.Errorf("input %v with K %d and N %d", a, k, n)
	}
	if err := e.Fits(tensor.Float64, []int{n, k}); err != nil {
		return err
	}
	w, err := e.unpackNBits(k, n)
	if err != nil {
		return err
	}
	return e.timesTransposed(a, w, k, n, e.Tensor(5))
}

// timesTransposed sets output 0 to a times the transpose of w [n, k], rounded to
// the type of a, plus a bias of n values.
func (e *Eval) timesTransposed(a *tensor.Tensor, w []float64, k, n int, bias *tensor.Tensor) error {
	tensor.RoundFloats(a.Type, w)
	shape := slices.Clone(a.Shape)
	shape[len(shape)-1] = n
	if err := e.Fits(tensor.Float64, shape); err != nil {
		return err
	}
	av, y := a.Floats(), make([]float64, volume(shape))
	for i := range y {
		y[i] = dot(av[i/n*k:i/n*k+k], w[i%n*k:i%n*k+k])
	}
	if err := scaleShift(shape, y, nil, bias); err != nil {
		return err
	}
	e.Set(0, tensor.FromFloats(a.Type, shape, y))
	return nil
}

// NBitsWeight is B of the MatMulNBits n as float32 [N, K], from the inputs in,
// of which the first is not read.
func (r Resolved) NBitsWeight(n *graph.Node, env *Env, in []tensor.Value) (b *tensor.Tensor, err error) {
	e := &Eval{Attrs: Attrs{n, r.Since, r.Schema}, Resolved: r, In: in, Env: env}
	err = e.guard(func() error {
		shape := []int{e.Int("N"), e.Int("K")}
		if err := e.Fits(tensor.Float64, shape); err != nil {
			return err
		}
		w, err := e.unpackNBits(shape[1], shape[0])
		if err == nil {
			b = tensor.FromFloats(tensor.Float32, shape, w)
		}
		return err
	})
	return b, err
}

// unpackNBits is B as [N, K].
func (e *Eval) unpackNBits(k, n int) ([]float64, error) {
	bits, block := e.Int("bits"), e.Int("block_size")
	if bits != 2 && bits != 4 && bits != 8 || block < 1 || k < 1 {
		return nil, fmt.Errorf("%d bits in blocks of %d", bits, block)
	}
	blocks := (k + block - 1) / block
	b, scales, zeros, group := e.Tensor(1), e.Tensor(2).Floats(), e.Tensor(3), e.Tensor(4)
	rowBytes := blocks * ((block*bits + 7) / 8)
	if b.Len() != n*rowBytes || len(scales) != n*blocks {
		return nil, fmt.Errorf("weight %v and scales %v for %d rows of %d blocks", b, e.Tensor(2), n, blocks)
	}
	zero, err := nBitsZeros(zeros, n, blocks, bits)
	if err != nil {
		return nil, err
	}
	blockOf := func(c int) int { return c / block }
	if group != nil {
		g := group.Ints()
		if len(g) < k {
			return nil, fmt.Errorf("g_idx %v for %d features", group, k)
		}
		for _, x := range g {
			if x < 0 || int(x) >= blocks {
				return nil, fmt.Errorf("g_idx has block %d of %d", x, blocks)
			}
		}
		blockOf = func(c int) int { return int(g[c]) }
	}
	codes, w := b.Bytes(), make([]float64, n*k)
	blockBytes := rowBytes / blocks
	for i := range w {
		r, c := i/k, i%k
		code := bitsAt(codes[r*rowBytes+c/block*blockBytes:], c%block, bits)
		at := r*blocks + blockOf(c)
		w[i] = (float64(code) - zero(r, blockOf(c))) * scales[at]
	}
	return w, nil
}

// bitsAt is code i of codes of so many bits, low bits first.
func bitsAt(b []byte, i, bits int) byte {
	return b[i*bits/8] >> (i * bits % 8) & byte(1<<bits-1)
}

// nBitsZeros gives the zero point of a block: packed codes, each row padded to
// whole bytes, or values of a float type.
func nBitsZeros(t *tensor.Tensor, n, blocks, bits int) (func(row, block int) float64, error) {
	if t == nil {
		return func(int, int) float64 { return float64(int(1) << (bits - 1)) }, nil
	}
	if t.Type != tensor.Uint8 {
		v := t.Floats()
		if len(v) != n*blocks {
			return nil, fmt.Errorf("zero points %v", t)
		}
		return func(row, block int) float64 { return v[row*blocks+block] }, nil
	}
	rowBytes := (blocks*bits + 7) / 8
	if t.Len() != n*rowBytes {
		return nil, fmt.Errorf("zero points %v for %d rows of %d bytes", t, n, rowBytes)
	}
	codes := t.Bytes()
	return func(row, block int) float64 { return float64(bitsAt(codes[row*rowBytes:], block, bits)) }, nil
}

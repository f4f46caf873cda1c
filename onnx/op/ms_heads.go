package op

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/tensor"
)

// msAttention is softmax(scale * Q K^T + mask + bias) V, as the attention
// operators of onnxruntime compute it on CPUs: masked keys get a large negative
// number, not infinity.
type msAttention struct {
	q, k, v heads
	mask    func(batch, i, j int) float64
	bias    func(batch, head, i, j int) float64
	elem    tensor.DType
}

// padding is the mask of keys: none, lengths [B], ends and starts [2B], ones
// where keys count [B, T] or [B, S, T]; and with unidirectional that of later
// keys. past is the number of keys before the first query.
func (e *Eval) padding(t *tensor.Tensor, batch, seq, total, past int) (func(b, i, j int) float64, error) {
	filter := -10000.0
	if e.Node.Attr("mask_filter_value") != nil {
		filter = e.Float("mask_filter_value")
	}
	shown := func(b, i, j int) bool { return true }
	if t != nil {
		v := t.Ints()
		switch {
		case slices.Equal(t.Shape, []int{batch}):
			shown = func(b, _, j int) bool { return j < int(v[b]) }
		case slices.Equal(t.Shape, []int{2 * batch}):
			shown = func(b, _, j int) bool { return j < int(v[b]) && j >= int(v[batch+b]) }
		case slices.Equal(t.Shape, []int{batch, total}):
			shown = func(b, _, j int) bool { return v[b*total+j] > 0 }
		case slices.Equal(t.Shape, []int{batch, seq, total}):
			shown = func(b, i, j int) bool { return v[(b*seq+i)*total+j] > 0 }
		default:
			return nil, fmt.Errorf("mask %v for batch %d, %d queries and %d keys", t, batch, seq, total)
		}
	}
	causal := e.Int("unidirectional") != 0
	return func(b, i, j int) float64 {
		switch {
		case causal && j > past+i:
			return -math.MaxFloat32
		case !shown(b, i, j):
			return filter
		}
		return 0
	}, nil
}

// scoreBias reads a bias that broadcasts to [batch, heads, queries, keys].
func scoreBias(t *tensor.Tensor, shape []int) (func(b, h, i, j int) float64, error) {
	if t == nil {
		return func(int, int, int, int) float64 { return 0 }, nil
	}
	if t.Rank() != 4 || t.Shape[2] != shape[2] || t.Shape[3] != shape[3] ||
		t.Shape[0] != 1 && t.Shape[0] != shape[0] || t.Shape[1] != 1 && t.Shape[1] != shape[1] {
		return nil, fmt.Errorf("attention bias %v, want %v", t, shape)
	}
	v := t.Floats()
	return func(b, h, i, j int) float64 {
		return v[((b%t.Shape[0]*t.Shape[1]+h%t.Shape[1])*shape[2]+i)*shape[3]+j]
	}, nil
}

// run sets output 0, [batch, queries, heads * size], and gives the scores
// before the softmax.
func (a *msAttention) run(e *Eval) (heads, error) {
	q, k, v := a.q.shape, a.k.shape, a.v.shape
	if q[0] != k[0] || q[0] != v[0] || q[1] != k[1] || q[1] != v[1] || k[2] != v[2] || q[3] != k[3] {
		return heads{}, fmt.Errorf("query %v, key %v, value %v", q, k, v)
	}
	s := heads{shape: []int{q[0], q[1], q[2], k[2]}}
	if err := e.Fits(tensor.Float64, s.shape); err != nil {
		return s, err
	}
	scale := 1 / math.Sqrt(float64(q[3]))
	if e.Float("scale") != 0 {
		scale = e.Float("scale")
	}
	s.v = make([]float64, volume(s.shape))
	y := heads{shape: []int{q[0], q[1], q[2], v[3]}}
	y.v = make([]float64, volume(y.shape))
	s.eachRow(func(b, h, i int, row []float64) {
		for j := range row {
			row[j] = scale*dot(a.q.row(b, h, i), a.k.row(b, h, j)) + a.mask(b, i, j) + a.bias(b, h, i, j)
		}
		p := slices.Clone(row)
		softmax(p)
		out := y.row(b, h, i)
		for j, w := range p {
			for c, x := range a.v.row(b, h, j) {
				out[c] += w * x
			}
		}
	})
	e.Set(0, tensor.FromFloats(a.elem, []int{q[0], q[2], q[1] * v[3]}, swapMiddle(y.shape, y.v)))
	return s, nil
}

// splitPast is keys and values of [2, batch, heads, past, size]; both nil
// without one.
func splitPast(past *tensor.Tensor) (k, v *tensor.Tensor, err error) {
	if past == nil {
		return nil, nil, nil
	}
	if past.Rank() != 5 || past.Shape[0] != 2 {
		return nil, nil, fmt.Errorf("past %v", past)
	}
	if k, err = takeRow(past, 0, 0); err != nil {
		return nil, nil, err
	}
	v, err = takeRow(past, 0, 1)
	return k, v, err
}

// joined is the columns from first on, size of them, of rows of the given
// width, as heads.
func joined(rows []float64, batch, seq, width, first, size, n int) (heads, error) {
	if n < 1 || size%n != 0 || first+size > width {
		return heads{}, fmt.Errorf("%d features in %d heads", size, n)
	}
	part := make([]float64, 0, batch*seq*size)
	for r := range batch * seq {
		part = append(part, rows[r*width+first:r*width+first+size]...)
	}
	shape := []int{batch, seq, n, size / n}
	return heads{[]int{batch, n, seq, size / n}, swapMiddle(shape, part)}, nil
}

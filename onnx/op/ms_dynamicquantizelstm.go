package op

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opMsDynamicQuantizeLSTM = &Def{
	Name:   "DynamicQuantizeLSTM",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `X:T W:T2 R:T2 B?:T sequence_lens?:T1 initial_h?:T initial_c?:T P?:T W_scale:T W_zero_point:T2 R_scale:T R_zero_point:T2 -> Y?:T Y_h?:T Y_c?:T | activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string="forward" hidden_size:int input_forget:int=0 | T: float; T1: int32; T2: int8 uint8`},
	},
	Check: Loose,
	Infer: inferDynamicQuantizeLSTM,
	Eval:  evalDynamicQuantizeLSTM,
}

// inferDynamicQuantizeLSTM is LSTM with transposed weights.
func inferDynamicQuantizeLSTM(f *Infer) error {
	p := *f
	p.In = slices.Clone(f.In)
	for i := 1; i <= 2 && i < len(p.In); i++ {
		if s := p.In[i].Shape; len(s) == 3 {
			p.In[i] = graph.TensorOf(p.In[i].Elem, permuted(s, []int{0, 2, 1})...)
		}
	}
	return inferRecurrent(&p, lstmGates)
}

// evalDynamicQuantizeLSTM is LSTM whose products are of integers: weights W
// [dirs, in, 4*hidden] and R [dirs, hidden, 4*hidden] are quantized per direction
// or per column; X is, as by DynamicQuantizeLinear, as a whole, and the hidden
// state of all sequences at every step.
func evalDynamicQuantizeLSTM(e *Eval) error {
	w, err := e.dequantizedGates(1, 8)
	if err != nil {
		return err
	}
	r, err := e.dequantizedGates(2, 10)
	if err != nil {
		return err
	}
	lstm := *e
	lstm.In = slices.Clone(e.In)
	lstm.In[1], lstm.In[2] = w, r
	q, err := newRecurrence(&lstm, lstmGates, lstmActivations)
	if err != nil {
		return err
	}
	// onnxruntime's clip leaves the cell state as it is.
	unclipped, err := recurrentActivations(&e.Attrs, len(q.layers), lstmActivations, math.Inf(1))
	if err != nil {
		return err
	}
	for k, l := range q.layers {
		l.act[2] = unclipped[k*len(lstmActivations)+2]
	}
	q.quantizeInput()
	q.before = q.quantizeState
	for k := range q.layers {
		q.run(k, stepLSTM)
	}
	q.set(e)
	return nil
}

// quantizeInput rounds x to the grid over the steps that any sequence takes.
func (q *recurrence) quantizeInput() {
	steps := 0
	for _, n := range q.lens {
		steps = max(steps, n)
	}
	x := q.x[:steps*q.batch*q.in]
	grid := dynamicGrid(float32s(x))
	for i := range x {
		x[i] = grid.round(x[i])
	}
}

// quantizeState lays the grid of layer k's hidden states before step i over
// those of sequences that have not ended before it.
func (q *recurrence) quantizeState(k, i int) {
	var seen []float64
	for b, n := range q.lens {
		if at := (k*q.batch + b) * q.hidden; i == 0 || i <= n {
			seen = append(seen, q.h[at:at+q.hidden]...)
		}
	}
	q.layers[k].round = dynamicGrid(float32s(seen)).round
}

// dequantizedGates is input i, [dirs, n, rows], as [dirs, rows, n]; its scales
// and zero points, of shape [dirs] or [dirs, rows], are inputs at and at + 1.
func (e *Eval) dequantizedGates(i, at int) (*tensor.Tensor, error) {
	q, s, z := e.Tensor(i), e.Tensor(at), e.Tensor(at+1)
	if q.Rank() != 3 {
		return nil, fmt.Errorf("weight %v", q)
	}
	dirs, n, rows := q.Shape[0], q.Shape[1], q.Shape[2]
	for _, t := range []*tensor.Tensor{s, z} {
		if !slices.Equal(t.Shape, []int{dirs}) && !slices.Equal(t.Shape, []int{dirs, rows}) {
			return nil, fmt.Errorf("scale %v and zero point %v of weight %v", s, z, q)
		}
	}
	if err := e.Fits(tensor.Float64, q.Shape); err != nil {
		return nil, err
	}
	codes, scales, zeros := q.Floats(), s.Floats(), z.Floats()
	pick := func(v []float64, d, row int) float64 {
		if len(v) == dirs {
			return v[d]
		}
		return v[d*rows+row]
	}
	w := make([]float64, len(codes))
	for k, c := range codes {
		d, col, row := k/(n*rows), k/rows%n, k%rows
		w[(d*rows+row)*n+col] = (c - pick(zeros, d, row)) * pick(scales, d, row)
	}
	return tensor.FromFloats(tensor.Float64, []int{dirs, rows, n}, w), nil
}

func float32s(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}

package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opScan = &Def{
	Name: "Scan",
	Versions: []Version{
		{Since: 8, Schema: `sequence_lens?:I initial_state_and_scan_inputs+~:V -> final_state_and_scan_outputs+~:V | body:graph! directions:ints num_scan_inputs:int! | I: int64; V: all`},
		{Since: 9, Schema: `initial_state_and_scan_inputs+~:V -> final_state_and_scan_outputs+~:V | body:graph! num_scan_inputs:int! scan_input_axes:ints scan_input_directions:ints scan_output_axes:ints scan_output_directions:ints | V: all`},
		{Since: 11, Schema: `initial_state_and_scan_inputs+~:V -> final_state_and_scan_outputs+~:V | body:graph! num_scan_inputs:int! scan_input_axes:ints scan_input_directions:ints scan_output_axes:ints scan_output_directions:ints | V: all`},
		{Since: 16, Schema: `initial_state_and_scan_inputs+~:V -> final_state_and_scan_outputs+~:V | body:graph! num_scan_inputs:int! scan_input_axes:ints scan_input_directions:ints scan_output_axes:ints scan_output_directions:ints | V: all bfloat16`},
		{Since: 19, Schema: `initial_state_and_scan_inputs+~:V -> final_state_and_scan_outputs+~:V | body:graph! num_scan_inputs:int! scan_input_axes:ints scan_input_directions:ints scan_output_axes:ints scan_output_directions:ints | V: all f8 bfloat16`},
		{Since: 21, Schema: `initial_state_and_scan_inputs+~:V -> final_state_and_scan_outputs+~:V | body:graph! num_scan_inputs:int! scan_input_axes:ints scan_input_directions:ints scan_output_axes:ints scan_output_directions:ints | V: all f8 i4 bfloat16`},
		{Since: 23, Schema: `initial_state_and_scan_inputs+~:V -> final_state_and_scan_outputs+~:V | body:graph! num_scan_inputs:int! scan_input_axes:ints scan_input_directions:ints scan_output_axes:ints scan_output_directions:ints | V: all f8 i4 bfloat16 float4e2m1`},
		{Since: 24, Schema: `initial_state_and_scan_inputs+~:V -> final_state_and_scan_outputs+~:V | body:graph! num_scan_inputs:int! scan_input_axes:ints scan_input_directions:ints scan_output_axes:ints scan_output_directions:ints | V: all f8 i4 bfloat16 float4e2m1 float8e8m0`},
		{Since: 25, Schema: `initial_state_and_scan_inputs+~:V -> final_state_and_scan_outputs+~:V | body:graph! num_scan_inputs:int! scan_input_axes:ints scan_input_directions:ints scan_output_axes:ints scan_output_directions:ints | V: all f8 i4 i2 bfloat16 float4e2m1 float8e8m0`},
	},
	Flags: Control,
	Infer: inferScan,
	Eval:  evalScan,
}

// scanPlan is the attributes of a Scan over n carried values, m scan inputs
// and k scan outputs, with defaults filled in.
type scanPlan struct {
	body               *graph.Graph
	n, m, k            int
	inAxes, outAxes    []int
	inReverse, reverse []int // not 0: from the end
}

// planScan reads the attributes of a Scan of so many inputs, without the
// sequence lengths of version 8, and outputs.
func planScan(a *Attrs, inputs, outputs int) (*scanPlan, error) {
	p := &scanPlan{body: a.Graph("body"), m: a.Int("num_scan_inputs")}
	p.n = inputs - p.m
	p.k = outputs - p.n
	if p.body == nil || p.m < 1 || p.n < 0 || p.k < 0 || len(p.body.Inputs()) != inputs || len(p.body.Outputs()) != outputs {
		return nil, fmt.Errorf("body does not fit %d inputs, %d of them scanned, and %d outputs", inputs, p.m, outputs)
	}
	input := "scan_input_directions"
	if a.Since < 9 {
		input = "directions"
	}
	for _, l := range []struct {
		name string
		to   *[]int
		n    int
	}{{"scan_input_axes", &p.inAxes, p.m}, {"scan_output_axes", &p.outAxes, p.k},
		{input, &p.inReverse, p.m}, {"scan_output_directions", &p.reverse, p.k}} {
		if *l.to = a.Ints(l.name); *l.to == nil {
			*l.to = make([]int, l.n)
		}
		if len(*l.to) != l.n {
			return nil, fmt.Errorf("attribute %s has %d values, want %d", l.name, len(*l.to), l.n)
		}
	}
	return p, nil
}

func inferScan(f *Infer) error {
	in, batch := f.In, []dim.Dim(nil)
	if f.Since < 9 {
		in, batch = f.In[min(1, len(f.In)):], Unknowns(1)
		in = slices.Clone(in)
		for i, t := range in { // the body sees one element of the batch
			if t.Ranked && len(t.Shape) > 0 {
				batch[0], in[i].Shape = t.Shape[0], t.Shape[1:]
			}
		}
	}
	p, err := planScan(&f.Attrs, len(in), len(f.Out))
	if err != nil || f.Graph == nil {
		return err
	}
	length := dim.Unknown
	rows := make([]graph.Type, p.m)
	for i, t := range in[p.n:] {
		rows[i] = graph.Unranked(t.Elem)
		if !t.Ranked {
			continue
		}
		axis, ok := Axis(p.inAxes[i], len(t.Shape))
		if !ok {
			return fmt.Errorf("axis %d of scan input %d of rank %d", p.inAxes[i], i, len(t.Shape))
		}
		if d := t.Shape[axis]; length.Conflict(d) {
			return fmt.Errorf("scan input %d has length %v, others %v", i, d, length)
		} else if !length.Known() || !d.Known() {
			length = dim.Unknown
			if i == 0 || d.Known() {
				length = d
			}
		}
		rows[i] = graph.TensorOf(t.Elem, slices.Delete(slices.Clone(t.Shape), axis, axis+1)...)
	}
	state := slices.Clone(in[:p.n])
	out, err := inferCarried(f, p.body, nil, state, rows, 0)
	if err != nil {
		return err
	}
	for i := range f.Out {
		t := out[i]
		if i < p.n {
			t = state[i]
		} else {
			t = stacked(t, p.outAxes[i-p.n], length)
		}
		if batch != nil {
			t = stacked(t, 0, batch[0])
		}
		f.SetType(i, t)
	}
	return nil
}

func evalScan(e *Eval) error {
	if e.Since < 9 {
		return evalScan8(e)
	}
	p, err := planScan(&e.Attrs, len(e.In), len(e.Out))
	if err != nil {
		return err
	}
	in := e.Tensors(0)
	length, err := p.length(in)
	if err != nil {
		return err
	}
	out, err := p.run(e, in, length)
	for i, t := range out {
		e.Set(i, t)
	}
	return err
}

// length is the common size of the scan inputs along their scan axes, which it
// makes non-negative.
func (p *scanPlan) length(in []*tensor.Tensor) (int, error) {
	length := -1
	for i, t := range in[p.n:] {
		axis, ok := Axis(p.inAxes[i], t.Rank())
		if !ok {
			return 0, fmt.Errorf("axis %d of scan input %v", p.inAxes[i], t)
		}
		p.inAxes[i] = axis
		if length >= 0 && t.Shape[axis] != length {
			return 0, fmt.Errorf("scan input %d has length %d, others %d", i, t.Shape[axis], length)
		}
		length = t.Shape[axis]
	}
	return length, nil
}

// run scans the first length rows; the result is the carried values and the
// scan outputs.
func (p *scanPlan) run(e *Eval, in []*tensor.Tensor, length int) ([]*tensor.Tensor, error) {
	values := make([]tensor.Value, p.n+p.m)
	out := slices.Clone(in[:p.n])
	scans := make([]scanOutput, p.k)
	for i := range length {
		if err := e.Env.Step(i); err != nil {
			return nil, err
		}
		for k, t := range out {
			values[k] = t
		}
		for k, t := range in[p.n:] {
			at := i
			if p.inReverse[k] != 0 {
				at = length - 1 - i
			}
			row, err := takeRow(t, p.inAxes[k], at)
			if err != nil {
				return nil, err
			}
			values[p.n+k] = row
		}
		got, err := e.Env.Run(p.body, values)
		if err != nil {
			return nil, fmt.Errorf("body: %w", err)
		}
		for k := range out {
			t, ok := got[k].(*tensor.Tensor)
			if !ok {
				return nil, fmt.Errorf("body: output %d is %T, want a tensor", k, got[k])
			}
			out[k] = t
		}
		for k := range scans {
			if err := scans[k].add(e, got[p.n+k]); err != nil {
				return nil, fmt.Errorf("scan output %d: %w", k, err)
			}
		}
	}
	for k := range scans {
		if p.reverse[k] != 0 {
			slices.Reverse(scans[k].rows)
		}
		t, err := scans[k].stack(e, p.body, p.n+k, p.outAxes[k])
		if err != nil {
			return nil, fmt.Errorf("scan output %d: %w", k, err)
		}
		out = append(out, t)
	}
	return out, nil
}

// takeRow is t at one place of an axis, which goes away.
func takeRow(t *tensor.Tensor, axis, at int) (*tensor.Tensor, error) {
	inner := volume(t.Shape[axis+1:])
	shape := slices.Delete(slices.Clone(t.Shape), axis, axis+1)
	return tensor.Gather(t, shape, DefaultMaxBytes, func(i int) int {
		return (i/inner*t.Shape[axis]+at)*inner + i%inner
	})
}

// evalScan8 scans each element of the batch, axis 0 of all values, along what
// is axis 1 there. Scan outputs of short sequences end in zeros.
func evalScan8(e *Eval) error {
	in := e.Tensors(1)
	p, err := planScan(&e.Attrs, len(in), len(e.Out))
	if err != nil {
		return err
	}
	batch := in[0].Shape[0]
	lens, err := scanLengths(e.Tensor(0), batch, in[p.n].Shape[1])
	if err != nil {
		return err
	}
	rows := make([][]*tensor.Tensor, len(e.Out))
	for b := range batch {
		one := make([]*tensor.Tensor, len(in))
		for i, t := range in {
			if t.Rank() == 0 || t.Shape[0] != batch {
				return fmt.Errorf("input %d is %v, the batch %d", i, t, batch)
			}
			if one[i], err = takeRow(t, 0, b); err != nil {
				return err
			}
			if i >= p.n { // a reversed sequence starts at its own end
				if one[i], err = headOf(one[i], lens[b]); err != nil {
					return err
				}
			}
		}
		if _, err := p.length(one); err != nil {
			return err
		}
		out, err := p.run(e, one, lens[b])
		if err != nil {
			return err
		}
		for i, t := range out {
			if i >= p.n {
				if t, err = padRows(e, t, in[p.n].Shape[1]); err != nil {
					return err
				}
			}
			rows[i] = append(rows[i], t)
		}
	}
	for i := range rows {
		if batch == 0 {
			return fmt.Errorf("the batch is empty")
		}
		t, err := stackTensors(e, rows[i], 0)
		if err != nil {
			return err
		}
		e.Set(i, t)
	}
	return nil
}

// scanLengths is the sequence length of each element of the batch.
func scanLengths(t *tensor.Tensor, batch, longest int) ([]int, error) {
	lens := slices.Repeat([]int{longest}, batch)
	if t == nil {
		return lens, nil
	}
	given, err := intsOf(t)
	if err != nil || len(given) != batch {
		return nil, fmt.Errorf("sequence lengths %v for a batch of %d", t, batch)
	}
	for _, n := range given {
		if n < 0 || n > longest {
			return nil, fmt.Errorf("sequence length %d of %d", n, longest)
		}
	}
	return given, nil
}

// headOf is the first n rows of t.
func headOf(t *tensor.Tensor, n int) (*tensor.Tensor, error) {
	shape := slices.Clone(t.Shape)
	shape[0] = n
	return tensor.Gather(t, shape, DefaultMaxBytes, func(i int) int { return i })
}

// padRows appends zeros up to n rows.
func padRows(e *Eval, t *tensor.Tensor, n int) (*tensor.Tensor, error) {
	shape := slices.Clone(t.Shape)
	shape[0] = n
	out, err := e.New(t.Type, shape...)
	if err != nil {
		return nil, err
	}
	put := tensor.Copier(out, t)
	for i := range t.Len() {
		put(i, i)
	}
	return out, nil
}

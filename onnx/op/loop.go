package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opLoop = &Def{
	Name: "Loop",
	Versions: []Version{
		{Since: 1, Schema: `M?:I cond?:B v_initial+~:V -> v_final_and_scan_outputs+~:V | body:graph! | V: all; I: int64; B: bool`},
		{Since: 11, Schema: `M?:I cond?:B v_initial*~:V -> v_final_and_scan_outputs+~:V | body:graph! | V: all; I: int64; B: bool`},
		{Since: 13, Schema: `M?:I cond?:B v_initial*~:V -> v_final_and_scan_outputs+~:V | body:graph! | V: all seq(all); I: int64; B: bool`},
		{Since: 16, Schema: `M?:I cond?:B v_initial*~:V -> v_final_and_scan_outputs+~:V | body:graph! | V: all bfloat16 seq(all bfloat16) optseq(all bfloat16) opt(all bfloat16); I: int64; B: bool`},
		{Since: 19, Schema: `M?:I cond?:B v_initial*~:V -> v_final_and_scan_outputs+~:V | body:graph! | V: all f8 bfloat16 seq(all f8 bfloat16) optseq(all bfloat16) opt(all f8 bfloat16); I: int64; B: bool`},
		{Since: 21, Schema: `M?:I cond?:B v_initial*~:V -> v_final_and_scan_outputs+~:V | body:graph! | V: all f8 i4 bfloat16 seq(all f8 i4 bfloat16) optseq(all bfloat16) opt(all f8 i4 bfloat16); I: int64; B: bool`},
		{Since: 23, Schema: `M?:I cond?:B v_initial*~:V -> v_final_and_scan_outputs+~:V | body:graph! | V: all f8 i4 bfloat16 float4e2m1 seq(all f8 i4 bfloat16 float4e2m1) optseq(all bfloat16) opt(all f8 i4 bfloat16 float4e2m1); I: int64; B: bool`},
		{Since: 24, Schema: `M?:I cond?:B v_initial*~:V -> v_final_and_scan_outputs+~:V | body:graph! | V: all f8 i4 bfloat16 float4e2m1 float8e8m0 seq(all f8 i4 bfloat16 float4e2m1 float8e8m0) optseq(all bfloat16) opt(all f8 i4 bfloat16 float4e2m1 float8e8m0); I: int64; B: bool`},
		{Since: 25, Schema: `M?:I cond?:B v_initial*~:V -> v_final_and_scan_outputs+~:V | body:graph! | V: all f8 i4 i2 bfloat16 float4e2m1 float8e8m0 seq(all f8 i4 i2 bfloat16 float4e2m1 float8e8m0) optseq(all bfloat16) opt(all f8 i4 i2 bfloat16 float4e2m1 float8e8m0); I: int64; B: bool`},
	},
	Flags: Control,
	Infer: inferLoop,
	Eval:  evalLoop,
}

// loopBody is the body of a Loop with n loop-carried values: its inputs are
// the iteration, the condition and the carried values, its outputs the
// condition, the carried values and the scan outputs.
func loopBody(a *Attrs, n, outputs int) (*graph.Graph, error) {
	g := a.Graph("body")
	if g == nil {
		return nil, fmt.Errorf("no body")
	}
	if len(g.Inputs()) != n+2 || len(g.Outputs()) != outputs+1 || outputs < n {
		return nil, fmt.Errorf("body of %d inputs and %d outputs for %d carried values and %d outputs",
			len(g.Inputs()), len(g.Outputs()), n, outputs)
	}
	return g, nil
}

func inferLoop(f *Infer) error {
	carried := max(len(f.In)-2, 0)
	body, err := loopBody(&f.Attrs, carried, len(f.Out))
	if err != nil || f.Graph == nil {
		return err
	}
	for i, what := range []string{"trip count", "condition"} {
		if s, ok := f.Type(i).Static(); ok && volume(s) != 1 {
			return fmt.Errorf("%s of type %v", what, f.Type(i))
		}
	}
	state := make([]graph.Type, carried)
	copy(state, f.In[min(2, len(f.In)):])
	out, err := inferCarried(f, body, []graph.Type{graph.TensorOf(tensor.Int64), graph.TensorOf(tensor.Bool)}, state, nil, 1)
	if err != nil {
		return err
	}
	for i, t := range state {
		if t.Kind != out[1+i].Kind {
			t = out[1+i]
		}
		f.SetType(i, t)
	}
	length := loopLength(f, body)
	for i := carried; i < len(f.Out); i++ {
		f.SetType(i, stacked(out[i+1], 0, length))
	}
	return nil
}

// inferCarried infers a body until the types of the carried values hold before
// and after each iteration, and leaves those in state. The body's inputs are
// head, state and tail; its carried outputs start at slot at.
func inferCarried(f *Infer, body *graph.Graph, head, state, tail []graph.Type, at int) ([]graph.Type, error) {
	for {
		out, err := f.Graph(body, concat(head, state, tail))
		if err != nil {
			return nil, fmt.Errorf("body: %w", err)
		}
		changed := false
		for i, t := range state {
			if next := t.Join(out[at+i]); !next.Equal(t) {
				state[i], changed = next, true
			}
		}
		if !changed {
			return out, nil
		}
	}
}

// stacked is the type of values of type t along a new axis of the given size.
func stacked(t graph.Type, axis int, size dim.Dim) graph.Type {
	if t.Kind != graph.TensorKind || !t.Ranked {
		return graph.Type{Kind: t.Kind, Elem: t.Elem}
	}
	axis, ok := Axis(axis, len(t.Shape)+1)
	if !ok {
		return graph.Unranked(t.Elem)
	}
	shape := append([]dim.Dim(nil), t.Shape[:axis]...)
	return graph.TensorOf(t.Elem, append(append(shape, size), t.Shape[axis:]...)...)
}

// loopLength is the number of iterations: the trip count where the condition
// is always true, else a new symbol.
func loopLength(f *Infer, body *graph.Graph) dim.Dim {
	trips, ok := f.InData(0)
	cond := f.Const(1)
	if !ok || len(trips) != 1 || f.Given(1) && (cond == nil || cond.Len() != 1 || !cond.Bools()[0]) {
		return f.Symbol()
	}
	next := body.Outputs()[0]
	for next.Def() != nil && next.Def().Is("Identity") {
		next = next.Def().In(0)
	}
	always := next == body.Inputs()[1]
	if t := next.Const(); t != nil {
		always = t.Len() == 1 && t.Bools()[0]
	} else if d := next.Def(); d != nil && d.Is("Constant") {
		if a := d.Attr("value"); a != nil && a.T != nil && a.T.Tensor != nil {
			always = a.T.Tensor.Len() == 1 && a.T.Tensor.Bools()[0]
		}
	}
	n, constant := trips[0].Const()
	if !always || !constant && !trips[0].Positive() {
		return f.Symbol()
	}
	if constant {
		return dim.Of(max(n, 0))
	}
	return trips[0]
}

func evalLoop(e *Eval) error {
	carried := max(len(e.In)-2, 0)
	body, err := loopBody(&e.Attrs, carried, len(e.Out))
	if err != nil {
		return err
	}
	trips, on := int64(math.MaxInt64), true
	if t := e.Tensor(0); t != nil {
		if t.Len() != 1 {
			return fmt.Errorf("trip count of shape %v", t.Shape)
		}
		trips = t.Ints()[0]
	}
	if t := e.Tensor(1); t != nil {
		if on, err = truth(t); err != nil {
			return err
		}
	}
	state := append([]tensor.Value{nil, nil}, e.In[len(e.In)-carried:]...)
	scans := make([]scanOutput, len(e.Out)-carried)
	for i := int64(0); i < trips && on; i++ {
		if err := e.Env.Step(int(i)); err != nil {
			return err
		}
		state[0], state[1] = tensor.Scalar(i), tensor.Scalar(on)
		out, err := e.Env.Run(body, state)
		if err != nil {
			return fmt.Errorf("body: %w", err)
		}
		cond, ok := out[0].(*tensor.Tensor)
		if !ok {
			return fmt.Errorf("body: condition is %T", out[0])
		}
		if on, err = truth(cond); err != nil {
			return fmt.Errorf("body: %w", err)
		}
		copy(state[2:], out[1:1+carried])
		for k := range scans {
			if err := scans[k].add(e, out[1+carried+k]); err != nil {
				return fmt.Errorf("scan output %d: %w", k, err)
			}
		}
	}
	copy(e.Out, state[2:])
	for k := range scans {
		t, err := scans[k].stack(e, body, 1+carried+k, 0)
		if err != nil {
			return fmt.Errorf("scan output %d: %w", k, err)
		}
		e.Set(carried+k, t)
	}
	return nil
}

// truth is the value of a condition.
func truth(t *tensor.Tensor) (bool, error) {
	if t.Type != tensor.Bool || t.Len() != 1 {
		return false, fmt.Errorf("condition of type %v", t)
	}
	return t.Bools()[0], nil
}

// scanOutput collects what the iterations of a loop give.
type scanOutput struct {
	rows  []*tensor.Tensor
	bytes int
}

func (s *scanOutput) add(e *Eval, v tensor.Value) error {
	t, ok := v.(*tensor.Tensor)
	if !ok {
		return fmt.Errorf("%T, want a tensor", v)
	}
	if s.bytes += len(t.Bytes()); s.bytes > e.Env.maxBytes() {
		return fmt.Errorf("exceeds the limit of %d bytes", e.Env.maxBytes())
	}
	s.rows = append(s.rows, t)
	return nil
}

// stack joins the rows, of output i of the body, along a new axis. Without rows
// the sizes are what inference or the body's declaration knows of them, else 0.
func (s *scanOutput) stack(e *Eval, body *graph.Graph, i, axis int) (*tensor.Tensor, error) {
	if len(s.rows) > 0 {
		return stackTensors(e, s.rows, axis)
	}
	row := body.OutputInfo(i).Type
	if e.Env.Type != nil {
		if t := e.Env.Type(body.Outputs()[i]); t.Ranked {
			row = t
		}
	}
	t := stacked(row, axis, dim.Of(0))
	if !t.Elem.Valid() {
		return nil, fmt.Errorf("no iterations, and the body declares no type")
	}
	shape := make([]int, max(len(t.Shape), 1))
	for i, d := range t.Shape {
		if n, ok := d.Const(); ok && n >= 0 {
			shape[i] = int(n)
		}
	}
	return e.New(t.Elem, shape...)
}

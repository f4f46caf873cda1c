package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opFlexAttention = &Def{
	Name:   "FlexAttention",
	Domain: "ai.onnx.preview",
	Versions: []Version{
		{Since: 1, Schema: `Q:T1 K:T1 V:T1 -> Y:T1 | prob_mod:graph scale:float score_mod:graph softmax_precision:int | T1: fp bfloat16`},
	},
	Flags: Control,
	Check: Loose,
	Infer: inferFlexAttention,
	Eval:  evalFlexAttention,
}

func inferFlexAttention(f *Infer) error {
	q, okQ := f.Shape(0)
	k, okK := f.Shape(1)
	v, okV := f.Shape(2)
	if !okQ || !okK || !okV {
		return nil
	}
	if len(q) != 4 || len(k) != 4 || len(v) != 4 {
		return fmt.Errorf("query %v, key %v, value %v", f.Type(0), f.Type(1), f.Type(2))
	}
	f.Set(0, q[0], q[1], q[2], v[3])
	if f.Graph == nil {
		return nil
	}
	soft := tensor.DType(f.Int("softmax_precision"))
	if soft == 0 {
		soft = widened(f.Type(0).Elem)
	}
	for _, name := range []string{"score_mod", "prob_mod"} {
		if g := f.Attrs.Graph(name); g != nil {
			if _, err := f.Graph(g, []graph.Type{graph.TensorOf(soft, q[0], q[1], q[2], k[2])}); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// widened is the type in which a float type is normalized: at least float32.
func widened(t tensor.DType) tensor.DType {
	if t == tensor.Float64 {
		return t
	}
	return tensor.Float32
}

// evalFlexAttention is attention whose scores and probabilities pass through
// subgraphs.
func evalFlexAttention(e *Eval) error {
	for i := range 3 {
		if e.Tensor(i).Rank() != 4 {
			return fmt.Errorf("input %d is %v, want rank 4", i, e.Tensor(i))
		}
	}
	a, err := newAttention(e)
	if err != nil {
		return err
	}
	if err := a.check(e); err != nil {
		return err
	}
	if !e.Has("softmax_precision") {
		a.soft = widened(a.elem)
	}
	s := a.scores()
	tensor.RoundFloats(a.soft, s.v)
	if err := e.modify("score_mod", a.soft, &s); err != nil {
		return err
	}
	a.softmax(s, nil)
	if err := e.modify("prob_mod", a.soft, &s); err != nil {
		return err
	}
	a.setOutput(e, s)
	return nil
}

// modify replaces h by what the subgraph attribute makes of it.
func (e *Eval) modify(name string, t tensor.DType, h *heads) error {
	g := e.Attrs.Graph(name)
	if g == nil {
		return nil
	}
	out, err := e.Env.Run(g, []tensor.Value{tensor.FromFloats(t, h.shape, h.v)})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(out) != 1 {
		return fmt.Errorf("%s has %d outputs", name, len(out))
	}
	y, ok := out[0].(*tensor.Tensor)
	if !ok || !slices.Equal(y.Shape, h.shape) || y.Type != t {
		return fmt.Errorf("%s gives %v, want %v%v", name, out[0], t, h.shape)
	}
	h.v = y.Floats()
	return nil
}

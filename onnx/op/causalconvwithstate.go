package op

import (
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opCausalConvWithState = &Def{
	Name: "CausalConvWithState",
	Versions: []Version{
		{Since: 27, Schema: `input:T weight:T bias?:T past_state?:T -> output:T present_state:T | activation:string="none" | T: bfloat16 float float16`},
	},
	Infer: inferCausalConv,
	Eval:  evalCausalConv,
}

func inferCausalConv(f *Infer) error {
	if err := f.match("[N,C,?] - - [N,C,?]"); err != nil {
		return err
	}
	x, ok := f.Shape(0)
	w, ok2 := f.Shape(1)
	if ok && len(x) != 3 || ok2 && len(w) != 3 {
		return fmt.Errorf("input %v and weight %v", f.Type(0), f.Type(1))
	}
	if !ok {
		return nil
	}
	f.Set(0, x...)
	state := dim.Unknown
	if ok2 {
		state = w[2].Sub(dim.Of(1))
		if past, given := f.Shape(3); given && past[2].Conflict(state) {
			return fmt.Errorf("past state %v for weight %v", f.Type(3), f.Type(1))
		}
	}
	f.Set(1, x[0], x[1], state)
	return nil
}

// evalCausalConv is a depthwise convolution of the input behind the state of
// k-1 earlier positions: y[t] = act(b + sum_j w[j] z[t+j]), z = state then
// input. The last k-1 positions of z are the next state.
func evalCausalConv(e *Eval) error {
	x, w, bias, past := e.Tensor(0), e.Tensor(1), e.Tensor(2), e.Tensor(3)
	if x.Rank() != 3 || w.Rank() != 3 || w.Shape[0] != x.Shape[1] || w.Shape[1] != 1 || w.Shape[2] < 1 {
		return fmt.Errorf("input %v and weight %v", x, w)
	}
	channels, n, k := x.Shape[1], x.Shape[2], w.Shape[2]
	stateShape := []int{x.Shape[0], channels, k - 1}
	if past == nil {
		past = tensor.New(x.Type, stateShape...)
	}
	if !slices.Equal(past.Shape, stateShape) || bias != nil && bias.Len() != channels {
		return fmt.Errorf("past_state %v and bias %v for input %v", past, bias, x)
	}
	silu := false
	switch act := e.Str("activation"); act {
	case "silu", "swish":
		silu = true
	case "none":
	default:
		return fmt.Errorf("activation %q", act)
	}
	in, weight, old := x.Floats(), w.Floats(), past.Floats()
	b := make([]float64, channels)
	if bias != nil {
		b = bias.Floats()
	}
	y, state := make([]float64, len(in)), make([]float64, 0, len(old))
	for row := range x.Shape[0] * channels {
		c := row % channels
		z := append(slices.Clone(old[row*(k-1):(row+1)*(k-1)]), in[row*n:(row+1)*n]...)
		for t := range n {
			y[row*n+t] = b[c] + dot(weight[c*k:(c+1)*k], z[t:])
		}
		state = append(state, z[n:]...)
	}
	tensor.RoundFloats(x.Type, y)
	if silu {
		for i, v := range y {
			y[i] = v * sigmoid(v)
		}
	}
	e.Set(0, tensor.FromFloats(x.Type, x.Shape, y))
	e.Set(1, tensor.FromFloats(x.Type, stateShape, state))
	return nil
}

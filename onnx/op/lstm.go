package op

var opLSTM = recurrent(&Def{
	Name: "LSTM",
	Versions: []Version{
		{Since: 1, Schema: `X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T initial_c?:T P?:T -> Y?:T Y_h?:T Y_c?:T | activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string="forward" hidden_size:int input_forget:int=0 output_sequence:int=0 | T: fp; T1: int32`},
		{Since: 7, Schema: `X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T initial_c?:T P?:T -> Y?:T Y_h?:T Y_c?:T | activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string="forward" hidden_size:int input_forget:int=0 | T: fp; T1: int32`},
		{Since: 14, Schema: `X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T initial_c?:T P?:T -> Y?:T Y_h?:T Y_c?:T | activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string="forward" hidden_size:int input_forget:int=0 layout:int=0 | T: fp; T1: int32`},
		{Since: 22, Schema: `X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T initial_c?:T P?:T -> Y?:T Y_h?:T Y_c?:T | activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string="forward" hidden_size:int input_forget:int=0 layout:int=0 | T: fp bfloat16; T1: int32`},
	},
}, lstmGates, lstmActivations, stepLSTM)

const lstmGates = 4

var lstmActivations = []string{"Sigmoid", "Tanh", "Tanh"}

// stepLSTM has the gates input i, output o, forget f and cell n, with
// peepholes P of i, o and f:
//
//	i = f(Wi*x + Ri*h + Pi.c + b)    f = f(Wf*x + Rf*h + Pf.c + b), or 1-i
//	n = g(Wn*x + Rn*h + b)               with input_forget
//	c = f.c + i.n
//	o = f(Wo*x + Ro*h + Po.c + b)    h = o.h(c)
func stepLSTM(l *layer, x, h, c []float64) {
	var gate [lstmGates][]float64
	for g := range gate {
		gate[g] = l.input(g, x)
		for j, s := range l.state(g, h) {
			gate[g][j] += s
		}
	}
	peek := func(p, j int) float64 {
		if l.peephole == nil {
			return 0
		}
		return l.peephole[p*l.hidden+j] * c[j]
	}
	coupled := l.attrs.Int("input_forget") != 0
	for j := range h {
		in := l.act[0](gate[0][j] + peek(0, j))
		forget := 1 - in
		if !coupled {
			forget = l.act[0](gate[2][j] + peek(2, j))
		}
		c[j] = forget*c[j] + in*l.act[1](gate[3][j])
		h[j] = l.act[0](gate[1][j]+peek(1, j)) * l.act[2](c[j])
	}
}

package op

var opRNN = recurrent(&Def{
	Name: "RNN",
	Versions: []Version{
		{Since: 1, Schema: `X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T -> Y?:T Y_h?:T | activation_alpha:floats activation_beta:floats activations:strings=["Tanh","Tanh"] clip:float direction:string="forward" hidden_size:int output_sequence:int=0 | T: fp; T1: int32`},
		{Since: 7, Schema: `X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T -> Y?:T Y_h?:T | activation_alpha:floats activation_beta:floats activations:strings=["Tanh","Tanh"] clip:float direction:string="forward" hidden_size:int | T: fp; T1: int32`},
		{Since: 14, Schema: `X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T -> Y?:T Y_h?:T | activation_alpha:floats activation_beta:floats activations:strings=["Tanh","Tanh"] clip:float direction:string="forward" hidden_size:int layout:int=0 | T: fp; T1: int32`},
		{Since: 22, Schema: `X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T -> Y?:T Y_h?:T | activation_alpha:floats activation_beta:floats activations:strings=["Tanh","Tanh"] clip:float direction:string="forward" hidden_size:int layout:int=0 | T: fp bfloat16; T1: int32`},
	},
}, 1, []string{"Tanh"}, stepRNN)

// stepRNN is h = f(W*x + Wb + R*h + Rb).
func stepRNN(l *layer, x, h, _ []float64) {
	in, state := l.input(0, x), l.state(0, h)
	for j := range h {
		h[j] = l.act[0](in[j] + state[j])
	}
}

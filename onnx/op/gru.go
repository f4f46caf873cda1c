package op

var opGRU = recurrent(&Def{
	Name: "GRU",
	Versions: []Version{
		{Since: 1, Schema: `X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T -> Y?:T Y_h:T | activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string="foward" hidden_size:int output_sequence:int=0 | T: fp; T1: int32`},
		{Since: 3, Schema: `X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T -> Y?:T Y_h?:T | activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string="forward" hidden_size:int linear_before_reset:int=0 output_sequence:int=0 | T: fp; T1: int32`},
		{Since: 7, Schema: `X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T -> Y?:T Y_h?:T | activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string="forward" hidden_size:int linear_before_reset:int=0 | T: fp; T1: int32`},
		{Since: 14, Schema: `X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T -> Y?:T Y_h?:T | activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string="forward" hidden_size:int layout:int=0 linear_before_reset:int=0 | T: fp; T1: int32`},
		{Since: 22, Schema: `X:T W:T R:T B?:T sequence_lens?:T1 initial_h?:T -> Y?:T Y_h?:T | activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string="forward" hidden_size:int layout:int=0 linear_before_reset:int=0 | T: fp bfloat16; T1: int32`},
	},
}, 3, []string{"Sigmoid", "Tanh"}, stepGRU)

// stepGRU has the gates update z, reset r and hidden n:
//
//	z = f(Wz*x + Wbz + Rz*h + Rbz)    r = f(Wr*x + Wbr + Rr*h + Rbr)
//	n = g(Wn*x + Wbn + Rn*(r.h) + Rbn), or g(Wn*x + Wbn + r.(Rn*h + Rbn))
//	                                       with linear_before_reset
//	h = (1-z).n + z.h
func stepGRU(l *layer, x, h, _ []float64) {
	z, zs := l.input(0, x), l.state(0, h)
	r, rs := l.input(1, x), l.state(1, h)
	n := l.input(2, x)
	for j := range h {
		z[j], r[j] = l.act[0](z[j]+zs[j]), l.act[0](r[j]+rs[j])
	}
	var ns []float64
	if l.attrs.Int("linear_before_reset") != 0 {
		ns = l.state(2, h)
		for j := range ns {
			ns[j] *= r[j]
		}
	} else {
		reset := make([]float64, len(h))
		for j := range h {
			reset[j] = r[j] * h[j]
		}
		ns = l.state(2, reset)
	}
	for j := range h {
		h[j] = (1-z[j])*l.act[1](n[j]+ns[j]) + z[j]*h[j]
	}
}

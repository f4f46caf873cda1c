package op

var opMsSkipSimplifiedLayerNormalization = &Def{
	Name:   "SkipSimplifiedLayerNormalization",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `input:T skip:T gamma:T bias?:T -> output:T mean?:U inv_std_var?:U input_skip_bias_sum?:T | epsilon:float=1e-12 | T: float float16 bfloat16; U: float`},
	},
	Infer: inferSkipNorm,
	Eval:  func(e *Eval) error { return e.skipNorm(e.Tensor(3), nil, false) },
}

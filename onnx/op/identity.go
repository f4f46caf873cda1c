package op

var opIdentity = &Def{
	Name: "Identity",
	Versions: []Version{
		{Since: 1, Schema: `input:T -> output:T |  | T: all`},
		{Since: 13, Schema: `input:T -> output:T |  | T: all bfloat16`},
		{Since: 14, Schema: `input:V -> output:V |  | V: all bfloat16 seq(all)`},
		{Since: 16, Schema: `input:V -> output:V |  | V: all bfloat16 seq(all) optseq(all) opt(all)`},
		{Since: 19, Schema: `input:V -> output:V |  | V: all f8 bfloat16 seq(all) optseq(all) opt(all)`},
		{Since: 21, Schema: `input:V -> output:V |  | V: all f8 i4 bfloat16 seq(all) optseq(all) opt(all)`},
		{Since: 23, Schema: `input:V -> output:V |  | V: all f8 i4 bfloat16 float4e2m1 seq(all) optseq(all) opt(all)`},
		{Since: 24, Schema: `input:V -> output:V |  | V: all f8 i4 bfloat16 float4e2m1 float8e8m0 seq(all) optseq(all) opt(all)`},
		{Since: 25, Schema: `input:V -> output:V |  | V: all f8 i4 i2 bfloat16 float4e2m1 float8e8m0 seq(all) optseq(all) opt(all)`},
	},
	Flags: DataMovement,
	Check: Exact,
	Quant: Quant{Kind: QuantSame},
	Infer: inferIdentity,
	Eval:  func(e *Eval) error { e.Set(0, e.Value(0)); return nil },
}

func inferIdentity(f *Infer) error {
	f.SetType(0, f.Type(0))
	if d, ok := f.InData(0); ok {
		f.SetData(0, d)
	}
	return nil
}

package op

var opCastLike = &Def{
	Name: "CastLike",
	Versions: []Version{
		{Since: 15, Schema: `input:T1 target_type:T2 -> output:T2 |  | T1: num bool string bfloat16; T2: num bool string bfloat16`},
		{Since: 19, Schema: `input:T1 target_type:T2 -> output:T2 | saturate:int=1 | T1: num f8 bool string bfloat16; T2: num f8 bool string bfloat16`},
		{Since: 21, Schema: `input:T1 target_type:T2 -> output:T2 | saturate:int=1 | T1: num f8 i4 bfloat16 string bool; T2: num f8 i4 bfloat16 string bool`},
		{Since: 23, Schema: `input:T1 target_type:T2 -> output:T2 | saturate:int=1 | T1: num f8 i4 bfloat16 string bool float4e2m1; T2: num f8 i4 bfloat16 string bool float4e2m1`},
		{Since: 24, Schema: `input:T1 target_type:T2 -> output:T2 | round_mode:string="up" saturate:int=1 | T1: num f8 i4 bfloat16 string bool float4e2m1 float8e8m0; T2: num f8 i4 bfloat16 string bool float4e2m1 float8e8m0`},
		{Since: 25, Schema: `input:T1 target_type:T2 -> output:T2 | round_mode:string="up" saturate:int=1 | T1: num f8 i4 i2 bfloat16 string bool float4e2m1 float8e8m0; T2: num f8 i4 i2 bfloat16 string bool float4e2m1 float8e8m0`},
	},
	Flags: Elementwise,
	Check: Exact,
	Infer: func(f *Infer) error { return inferCastTo(f, f.Type(1).Elem) },
	Eval:  func(e *Eval) error { return castTo(e, e.Tensor(1).Type) },
}

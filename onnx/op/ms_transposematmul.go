package op

// TransposeMatMul is the former name of FusedMatMul.
var opMsTransposeMatMul = &Def{
	Name:   "TransposeMatMul",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `A:T B:T -> Y:T | alpha:float=1 transA:int=0 transB:int=0 | T: fp bfloat16`},
	},
	Infer: inferFusedMatMul,
	Eval:  evalFusedMatMul,
}

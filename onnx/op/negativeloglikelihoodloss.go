package op

var opNegativeLogLikelihoodLoss = &Def{
	Name: "NegativeLogLikelihoodLoss",
	Versions: []Version{
		{Since: 12, Schema: `input:T target:Tind weight?:T -> loss:T | ignore_index:int reduction:string="mean" | T: fp; Tind: int32 int64`},
		{Since: 13, Schema: `input:T target:Tind weight?:T -> loss:T | ignore_index:int reduction:string="mean" | T: fp; Tind: int32 int64`},
		{Since: 22, Schema: `input:T target:Tind weight?:T -> loss:T | ignore_index:int reduction:string="mean" | T: fp bfloat16; Tind: int32 int64`},
	},
	Infer: inferLoss,
	Eval:  evalNegativeLogLikelihoodLoss,
}

func evalNegativeLogLikelihoodLoss(e *Eval) error {
	x := e.Tensor(0)
	c, err := newClasses(x, e.Tensor(1))
	if err != nil {
		return err
	}
	return e.negativeLogLikelihood(c, x.Type, x.Floats())
}

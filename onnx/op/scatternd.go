package op

var opScatterND = &Def{
	Name: "ScatterND",
	Versions: []Version{
		{Since: 11, Schema: `data:T indices:int64 updates:T -> output:T |  | T: all`},
		{Since: 13, Schema: `data:T indices:int64 updates:T -> output:T |  | T: all bfloat16`},
		{Since: 16, Schema: `data:T indices:int64 updates:T -> output:T | reduction:string="none" | T: all bfloat16`},
		{Since: 18, Schema: `data:T indices:int64 updates:T -> output:T | reduction:string="none" | T: all bfloat16`},
	},
	Flags: DataMovement,
	Infer: sameShape,
	Eval:  evalScatterND,
}

func evalScatterND(e *Eval) error {
	x, idx, updates := e.Tensor(0), e.Tensor(1), e.Tensor(2)
	place, tail, err := slicePlaces(x.Shape, idx, 0)
	if err != nil {
		return err
	}
	out, err := scatter(x, updates, place, volume(tail), e.Str("reduction"))
	e.Set(0, out)
	return err
}

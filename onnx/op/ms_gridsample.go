package op

var opMsGridSample = &Def{
	Name:   "GridSample",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `X:T1 Grid:T1 -> Y:T2 | align_corners:int=0 mode:string="bilinear" padding_mode:string="zeros" | T1: all; T2: fp`},
	},
	Infer: func(f *Infer) error {
		f.SetElem(0, f.Type(0).Elem)
		return inferGridSample(f)
	},
	Eval: evalGridSample,
}

package op

// NhwcMaxPool is MaxPool with the channels last.
var opMsNhwcMaxPool = &Def{
	Name:   "NhwcMaxPool",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `x:T -> y:T | auto_pad:string="NOTSET" ceil_mode:int=0 dilations:ints kernel_shape:ints! pads:ints strides:ints | T: int8 uint8`},
	},
	Check: Exact,
	Infer: func(f *Infer) error { return f.channelsLast(true, inferPool) },
	Eval:  func(e *Eval) error { return e.channelsLast(true, evalMaxPool) },
}

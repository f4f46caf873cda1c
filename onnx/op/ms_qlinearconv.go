package op

var opMsQLinearConv = &Def{
	Name:   "QLinearConv",
	Domain: microsoft,
	Versions: []Version{
		{Since: 1, Schema: `x:T1 x_scale:float x_zero_point:T1 w:T2 w_scale:float w_zero_point:T2 y_scale:float y_zero_point:T3 B?:T4 -> y:T3 | auto_pad:string="NOTSET" channels_last:int=0 dilations:ints group:int=1 kernel_shape:ints pads:ints strides:ints | T1: int8 uint8; T2: int8 uint8; T3: int8 uint8; T4: int32`},
	},
	Infer: func(f *Infer) error { return f.channelsLast(f.Int("channels_last") != 0, inferQLinearConv) },
	Eval:  func(e *Eval) error { return e.channelsLast(e.Int("channels_last") != 0, evalQLinearConv) },
}

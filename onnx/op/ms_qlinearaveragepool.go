package op

var opMsQLinearAveragePool = quantizedPool(&Def{
	Name: "QLinearAveragePool",
	Versions: []Version{
		{Since: 1, Schema: `X:T x_scale:float x_zero_point?:T y_scale:float y_zero_point?:T -> Y:T | auto_pad:string="NOTSET" ceil_mode:int=0 channels_last:int=0 count_include_pad:int=0 kernel_shape:ints! pads:ints strides:ints | T: uint8 int8`},
	},
}, inferPool, evalAveragePool)

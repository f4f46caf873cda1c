package op

var opMsQLinearGlobalAveragePool = quantizedPool(&Def{
	Name: "QLinearGlobalAveragePool",
	Versions: []Version{
		{Since: 1, Schema: `X:T x_scale:float x_zero_point:T y_scale:float y_zero_point:T -> Y:T | channels_last:int=0 | T: uint8 int8`},
	},
}, opGlobalAveragePool.Infer, opGlobalAveragePool.Eval)

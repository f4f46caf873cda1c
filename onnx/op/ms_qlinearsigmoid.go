package op

var opMsQLinearSigmoid = quantizedUnary(&Def{
	Name: "QLinearSigmoid",
	Versions: []Version{
		{Since: 1, Schema: `X:T X_scale:float X_zero_point?:T Y_scale:float Y_zero_point?:T -> Y:T | | T: uint8 int8`},
	},
}, plain(sigmoid))

package op

import "onnxopt/onnx/tensor"

var opSoftmaxCrossEntropyLoss = &Def{
	Name: "SoftmaxCrossEntropyLoss",
	Versions: []Version{
		{Since: 12, Schema: `scores:T labels:Tind weights?:T -> output:T log_prob?:T | ignore_index:int reduction:string="mean" | T: fp; Tind: int32 int64`},
		{Since: 13, Schema: `scores:T labels:Tind weights?:T -> output:T log_prob?:T | ignore_index:int reduction:string="mean" | T: fp bfloat16; Tind: int32 int64`},
	},
	Infer: inferLoss,
	Eval:  evalSoftmaxCrossEntropyLoss,
}

// evalSoftmaxCrossEntropyLoss is the negative log likelihood of the log
// softmax over axis 1, which is output 1.
func evalSoftmaxCrossEntropyLoss(e *Eval) error {
	x := e.Tensor(0)
	c, err := newClasses(x, e.Tensor(1))
	if err != nil {
		return err
	}
	logp, lane := x.Floats(), make([]float64, c.classes)
	for b := range c.batch {
		for i := range c.inner {
			first := b*c.classes*c.inner + i
			for k := range lane {
				lane[k] = logp[first+k*c.inner]
			}
			logSoftmax(lane)
			for k := range lane {
				logp[first+k*c.inner] = lane[k]
			}
		}
	}
	e.Set(1, tensor.FromFloats(x.Type, x.Shape, logp))
	return e.negativeLogLikelihood(c, x.Type, logp)
}

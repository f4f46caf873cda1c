package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opReverseSequence = &Def{
	Name: "ReverseSequence",
	Versions: []Version{
		{Since: 10, Schema: `input:T sequence_lens:int64 -> Y:T | batch_axis:int=1 time_axis:int=0 | T: all`},
		{Since: 28, Schema: `input:T sequence_lens:int64 -> Y:T | batch_axis:int=1 time_axis:int=0 | T: all bfloat16`},
	},
	Flags: DataMovement,
	Check: Exact,
	Infer: func(f *Infer) error {
		if err := f.match("[?,?,*] [?]"); err != nil {
			return err
		}
		return sameShape(f)
	},
	Eval: evalReverseSequence,
}

func evalReverseSequence(e *Eval) error {
	x, lens := e.Tensor(0), e.Tensor(1).Ints()
	batch, time := e.Int("batch_axis"), e.Int("time_axis")
	if x.Rank() < 2 || batch+time != 1 || batch < 0 || time < 0 || len(lens) != x.Shape[batch] {
		return fmt.Errorf("input %v, batch axis %d, time axis %d", x, batch, time)
	}
	own, pos := tensor.Strides(x.Shape), make([]int, x.Rank())
	out, err := tensor.Gather(x, x.Shape, e.Env.maxBytes(), func(i int) int {
		unravel(i, x.Shape, pos)
		if n := int(lens[pos[batch]]); pos[time] < n {
			pos[time] = n - 1 - pos[time]
		}
		at := 0
		for d, p := range pos {
			at += p * own[d]
		}
		return at
	})
	e.Set(0, out)
	return err
}

package op

import (
	"fmt"

	"onnxopt/onnx/graph"
)

var opIf = &Def{
	Name: "If",
	Versions: []Version{
		{Since: 1, Schema: `cond:B -> outputs+~:V | else_branch:graph! then_branch:graph! | V: all; B: bool`},
		{Since: 11, Schema: `cond:B -> outputs+~:V | else_branch:graph! then_branch:graph! | V: all; B: bool`},
		{Since: 13, Schema: `cond:B -> outputs+~:V | else_branch:graph! then_branch:graph! | V: all seq(all); B: bool`},
		{Since: 16, Schema: `cond:B -> outputs+~:V | else_branch:graph! then_branch:graph! | V: all bfloat16 seq(all bfloat16) optseq(all bfloat16) opt(all bfloat16); B: bool`},
		{Since: 19, Schema: `cond:B -> outputs+~:V | else_branch:graph! then_branch:graph! | V: all f8 bfloat16 seq(all f8 bfloat16) optseq(all bfloat16) opt(all f8 bfloat16); B: bool`},
		{Since: 21, Schema: `cond:B -> outputs+~:V | else_branch:graph! then_branch:graph! | V: all f8 i4 bfloat16 seq(all f8 i4 bfloat16) optseq(all bfloat16) opt(all f8 i4 bfloat16); B: bool`},
		{Since: 23, Schema: `cond:B -> outputs+~:V | else_branch:graph! then_branch:graph! | V: all f8 i4 bfloat16 float4e2m1 seq(all f8 i4 bfloat16 float4e2m1) optseq(all bfloat16) opt(all f8 i4 bfloat16 float4e2m1); B: bool`},
		{Since: 24, Schema: `cond:B -> outputs+~:V | else_branch:graph! then_branch:graph! | V: all f8 i4 bfloat16 float4e2m1 float8e8m0 seq(all f8 i4 bfloat16 float4e2m1 float8e8m0) optseq(all bfloat16) opt(all f8 i4 bfloat16 float4e2m1 float8e8m0); B: bool`},
		{Since: 25, Schema: `cond:B -> outputs+~:V | else_branch:graph! then_branch:graph! | V: all f8 i4 i2 bfloat16 float4e2m1 float8e8m0 seq(all f8 i4 i2 bfloat16 float4e2m1 float8e8m0) optseq(all bfloat16) opt(all f8 i4 i2 bfloat16 float4e2m1 float8e8m0); B: bool`},
	},
	Flags: Control,
	Infer: inferIf,
	Eval:  evalIf,
}

func inferIf(f *Infer) error {
	if f.Graph == nil {
		return nil
	}
	var types [2][]graph.Type
	for i, name := range []string{"then_branch", "else_branch"} {
		g := f.Attrs.Graph(name)
		if g == nil || len(g.Inputs()) > 0 {
			return fmt.Errorf("%s is missing or has inputs", name)
		}
		var err error
		if types[i], err = f.Graph(g, nil); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if len(types[i]) != len(f.Out) {
			return fmt.Errorf("%s has %d outputs, the node %d", name, len(types[i]), len(f.Out))
		}
	}
	if c := f.Const(0); c != nil && c.Len() == 1 { // only one branch counts
		taken := types[1]
		if c.Bools()[0] {
			taken = types[0]
		}
		copy(f.Out, taken)
		return nil
	}
	for i := range f.Out {
		f.Out[i] = types[0][i].Join(types[1][i])
	}
	return nil
}

func evalIf(e *Eval) error {
	c := e.Tensor(0)
	if c.Len() != 1 {
		return fmt.Errorf("condition of shape %v", c.Shape)
	}
	branch := "else_branch"
	if c.Bools()[0] {
		branch = "then_branch"
	}
	out, err := e.Env.Run(e.Attrs.Graph(branch), nil)
	if err != nil {
		return fmt.Errorf("%s: %w", branch, err)
	}
	copy(e.Out, out)
	return nil
}

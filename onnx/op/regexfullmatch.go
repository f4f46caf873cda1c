package op

import (
	"fmt"
	"regexp"

	"onnxopt/onnx/tensor"
)

var opRegexFullMatch = &Def{
	Name: "RegexFullMatch",
	Versions: []Version{
		{Since: 20, Schema: `X:T1 -> Y:T2 | pattern:string | T1: string; T2: bool`},
	},
	Flags: Elementwise,
	Check: Exact,
	Infer: sameShape,
	Eval:  evalRegexFullMatch,
}

// evalRegexFullMatch tests each string with an RE2 pattern. A string matches
// in full if its leftmost-longest match is all of it.
func evalRegexFullMatch(e *Eval) error {
	x := e.Tensor(0)
	re, err := regexp.Compile(e.Str("pattern"))
	if err != nil {
		return fmt.Errorf("pattern: %w", err)
	}
	re.Longest()
	out := make([]bool, x.Len())
	for i, s := range x.Strings() {
		at := re.FindStringIndex(s)
		out[i] = at != nil && at[0] == 0 && at[1] == len(s)
	}
	e.Set(0, tensor.FromBools(x.Shape, out))
	return nil
}

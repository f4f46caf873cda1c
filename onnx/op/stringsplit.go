package op

import (
	"slices"
	"strings"
	"unicode"

	"onnxopt/onnx/tensor"
)

var opStringSplit = &Def{
	Name: "StringSplit",
	Versions: []Version{
		{Since: 20, Schema: `X:T1 -> Y:T2 Z:T3 | delimiter:string maxsplit:int | T1: string; T2: string; T3: int64`},
	},
	Check: Exact,
	Infer: inferStringSplit,
	Eval:  evalStringSplit,
}

func inferStringSplit(f *Infer) error {
	if s, ok := f.Shape(0); ok {
		f.Set(0, append(slices.Clone(s), f.Symbol())...)
		f.Set(1, s...)
	}
	return nil
}

// evalStringSplit pads the substrings of every string with empty strings to
// the largest number of them.
func evalStringSplit(e *Eval) error {
	x := e.Tensor(0)
	limit := -1
	if e.Has("maxsplit") && e.Int("maxsplit") >= 0 {
		limit = e.Int("maxsplit")
	}
	parts, counts, most := make([][]string, x.Len()), make([]int64, x.Len()), 0
	for i, s := range x.Strings() {
		if d := e.Str("delimiter"); d == "" {
			parts[i] = splitSpace(s, limit)
		} else if limit < 0 {
			parts[i] = strings.Split(s, d)
		} else {
			parts[i] = strings.SplitN(s, d, limit+1)
		}
		counts[i], most = int64(len(parts[i])), max(most, len(parts[i]))
	}
	out, err := e.New(tensor.String, append(slices.Clone(x.Shape), most)...)
	if err != nil {
		return err
	}
	for i, p := range parts {
		copy(out.Strings()[i*most:], p)
	}
	e.Set(0, out)
	e.Set(1, tensor.FromInts(tensor.Int64, x.Shape, counts))
	return nil
}

// splitSpace splits s at runs of white space, at most limit times unless that
// is negative. White space around s is dropped.
func splitSpace(s string, limit int) []string {
	var out []string
	for s = strings.TrimSpace(s); s != ""; {
		end := strings.IndexFunc(s, unicode.IsSpace)
		if end < 0 || len(out) == limit {
			return append(out, s)
		}
		out = append(out, s[:end])
		s = strings.TrimLeftFunc(s[end:], unicode.IsSpace)
	}
	return out
}

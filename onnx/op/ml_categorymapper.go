package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opMlCategoryMapper = &Def{
	Name:   "CategoryMapper",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 1, Schema: `X:T1 -> Y:T2 | cats_int64s:ints cats_strings:strings default_int64:int=-1 default_string:string="_Unused" | T1: string int64; T2: string int64`},
	},
	Check: Exact,
	Infer: inferCategoryMapper,
	Eval:  evalCategoryMapper,
}

func inferCategoryMapper(f *Infer) error {
	setOther(f)
	return sameShape(f)
}

// setOther sets output 0 to int64 if input 0 is strings and the reverse.
func setOther(f *Infer) {
	switch f.Type(0).Elem {
	case tensor.String:
		f.SetElem(0, tensor.Int64)
	case tensor.Int64:
		f.SetElem(0, tensor.String)
	}
}

func evalCategoryMapper(e *Eval) error {
	var ints []int64
	if a := e.Attr("cats_int64s"); a != nil {
		ints = a.Ints
	}
	strings := e.Attrs.Strings("cats_strings")
	if len(ints) != len(strings) {
		return fmt.Errorf("%d cats_int64s and %d cats_strings", len(ints), len(strings))
	}
	return mapLabels(e, ints, strings)
}

// mapLabels translates strings to integers or the reverse by two lists; other
// values become the attributes default_int64 and default_string.
func mapLabels(e *Eval, ints []int64, strings []string) error {
	x := e.Tensor(0)
	if x.Type == tensor.String {
		to := map[string]int64{}
		for i, s := range strings {
			to[s] = ints[i]
		}
		out := make([]int64, x.Len())
		for i, s := range x.Strings() {
			v, ok := to[s]
			if !ok {
				v = e.Attr("default_int64").I
			}
			out[i] = v
		}
		e.Set(0, tensor.FromInts(tensor.Int64, x.Shape, out))
		return nil
	}
	to := map[int64]string{}
	for i, v := range ints {
		to[v] = strings[i]
	}
	out := make([]string, x.Len())
	for i, v := range x.Ints() {
		s, ok := to[v]
		if !ok {
			s = e.Str("default_string")
		}
		out[i] = s
	}
	t, err := tensor.FromStrings(x.Shape, out)
	if err != nil {
		return err
	}
	e.Set(0, t)
	return nil
}

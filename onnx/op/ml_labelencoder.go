package op

import (
	"fmt"

	"onnxopt/onnx/tensor"
)

var opMlLabelEncoder = &Def{
	Name:   "LabelEncoder",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 1, Schema: `X:T1 -> Y:T2 | classes_strings:strings default_int64:int=-1 default_string:string="_Unused" | T1: string int64; T2: string int64`},
		{Since: 2, Schema: `X:T1 -> Y:T2 | default_float:float=-0 default_int64:int=-1 default_string:string="_Unused" keys_floats:floats keys_int64s:ints keys_strings:strings values_floats:floats values_int64s:ints values_strings:strings | T1: string int64 float; T2: string int64 float`},
		{Since: 4, Schema: `X:T1 -> Y:T2 | default_float:float=-0 default_int64:int=-1 default_string:string="_Unused" default_tensor:tensor keys_floats:floats keys_int64s:ints keys_strings:strings keys_tensor:tensor values_floats:floats values_int64s:ints values_strings:strings values_tensor:tensor | T1: string int64 float int32 int16 double; T2: string int64 float int32 int16 double`},
	},
	Check: Exact,
	Infer: inferLabelEncoder,
	Eval:  evalLabelEncoder,
}

func inferLabelEncoder(f *Infer) error {
	if f.Since < 2 {
		setOther(f)
		return sameShape(f)
	}
	keys, err := labelList(&f.Attrs, "keys")
	if err != nil {
		return err
	}
	if t := f.Type(0).Elem; t.Valid() && keys.Type != t {
		return fmt.Errorf("input of type %v, keys of %v", t, keys.Type)
	}
	if v, err := labelList(&f.Attrs, "values"); err == nil {
		f.SetElem(0, v.Type)
	}
	return sameShape(f)
}

// labelList is the attribute prefix_floats, _int64s, _strings or _tensor.
func labelList(a *Attrs, prefix string) (*tensor.Tensor, error) {
	if t := a.TensorAttr(prefix + "_tensor"); t != nil {
		return t, nil
	}
	if v := a.Attr(prefix + "_int64s"); v != nil {
		return tensor.Vector(v.Ints...), nil
	}
	if v := a.Attr(prefix + "_floats"); v != nil {
		return tensor.Vector(v.Floats...), nil
	}
	if v := a.Attr(prefix + "_strings"); v != nil {
		return tensor.FromStrings([]int{len(v.Strings)}, v.Strings)
	}
	return nil, fmt.Errorf("no attribute %s", prefix)
}

func evalLabelEncoder(e *Eval) error {
	if e.Since < 2 {
		strings := e.Attrs.Strings("classes_strings")
		ints := make([]int64, len(strings))
		for i := range ints {
			ints[i] = int64(i)
		}
		return mapLabels(e, ints, strings)
	}
	keys, err := labelList(&e.Attrs, "keys")
	if err != nil {
		return err
	}
	values, err := labelList(&e.Attrs, "values")
	if err != nil {
		return err
	}
	if keys.Len() != values.Len() {
		return fmt.Errorf("%d keys and %d values", keys.Len(), values.Len())
	}
	x := e.Tensor(0)
	if (keys.Type == tensor.String) != (x.Type == tensor.String) {
		return fmt.Errorf("keys %v for input %v", keys, x)
	}
	other, err := labelDefault(&e.Attrs, values.Type)
	if err != nil {
		return err
	}
	out, err := e.New(values.Type, x.Shape...)
	if err != nil {
		return err
	}
	put, putOther := tensor.Copier(out, values), tensor.Copier(out, other)
	place := map[any]int{}
	for i, k := range labelKeys(keys) {
		place[k] = i
	}
	for i, k := range labelKeys(x) {
		if at, ok := place[k]; ok {
			put(i, at)
		} else {
			putOther(i, 0)
		}
	}
	e.Set(0, out)
	return nil
}

// labelKeys is the elements as map keys; all NaN are one key.
func labelKeys(t *tensor.Tensor) []any {
	if !t.Type.IsFloat() {
		return mapKeys(t)
	}
	out := make([]any, t.Len())
	for i, v := range t.Floats() {
		if out[i] = v; v != v {
			out[i] = "NaN"
		}
	}
	return out
}

// labelDefault is the value of unknown keys, as a tensor of one element.
func labelDefault(a *Attrs, typ tensor.DType) (*tensor.Tensor, error) {
	t := a.TensorAttr("default_tensor")
	switch {
	case t != nil && (t.Type != typ || t.Len() != 1):
		return nil, fmt.Errorf("default_tensor %v for values of %v", t, typ)
	case t != nil:
		return t, nil
	case typ == tensor.String:
		return tensor.FromStrings([]int{1}, []string{a.Str("default_string")})
	case typ.IsFloat():
		return tensor.FromFloats(typ, []int{1}, []float64{a.Float("default_float")}), nil
	}
	return tensor.FromInts(typ, []int{1}, []int64{a.Attr("default_int64").I}), nil
}

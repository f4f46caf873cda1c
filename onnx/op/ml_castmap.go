package op

import (
	"cmp"
	"fmt"
	"slices"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMlCastMap = &Def{
	Name:   "CastMap",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 1, Schema: `X:T1 -> Y:T2 | cast_to:string="TO_FLOAT" map_form:string="DENSE" max_map:int=1 | T1: map(int64,string) map(int64,float); T2: string float int64`},
	},
	Infer: inferCastMap,
	Eval:  evalCastMap,
}

var castMapTypes = map[string]tensor.DType{"TO_FLOAT": tensor.Float32, "TO_STRING": tensor.String, "TO_INT64": tensor.Int64}

func inferCastMap(f *Infer) error {
	if t, ok := castMapTypes[f.Str("cast_to")]; ok {
		f.SetElem(0, t)
	}
	if f.Str("map_form") == "SPARSE" {
		f.Set(0, dim.Of(1), dim.Of(int64(f.Int("max_map"))))
	} else {
		f.Set(0, dim.Of(1), dim.Unknown)
	}
	return nil
}

// evalCastMap lists the values of a map in the order of its integer keys or,
// if sparse, each at the place of its key.
func evalCastMap(e *Eval) error {
	m, err := e.mapInput(0)
	if err != nil {
		return err
	}
	if m.Keys.Type != tensor.Int64 {
		return fmt.Errorf("keys %v, want int64", m.Keys)
	}
	to, ok := castMapTypes[e.Str("cast_to")]
	if !ok {
		return fmt.Errorf("cast_to %q", e.Str("cast_to"))
	}
	values, err := castTensor(m.Values, to, true, "")
	if err != nil {
		return err
	}
	keys, n := m.Keys.Ints(), m.Keys.Len()
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(keys[a], keys[b]) })
	sparse := e.Str("map_form") == "SPARSE"
	if sparse {
		n = e.Int("max_map")
	}
	out, err := e.New(to, 1, n)
	if err != nil {
		return err
	}
	put := tensor.Copier(out, values)
	for i, k := range order {
		at := i
		if sparse {
			if keys[k] < 0 || keys[k] >= int64(n) {
				return fmt.Errorf("key %d of a sparse map of %d", keys[k], n)
			}
			at = int(keys[k])
		}
		put(at, k)
	}
	e.Set(0, out)
	return nil
}

// mapInput is map input i.
func (e *Eval) mapInput(i int) (*tensor.Map, error) {
	m, ok := e.Value(i).(*tensor.Map)
	if !ok {
		return nil, fmt.Errorf("input %d is %T, want a map", i, e.Value(i))
	}
	if m.Keys.Len() != m.Values.Len() {
		return nil, fmt.Errorf("map of %d keys and %d values", m.Keys.Len(), m.Values.Len())
	}
	return m, nil
}

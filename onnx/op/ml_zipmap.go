package op

import (
	"fmt"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opMlZipMap = &Def{
	Name:   "ZipMap",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 1, Schema: `X:float -> Z:T | classlabels_int64s:ints classlabels_strings:strings | T: seq(map(string,float)) seq(map(int64,float))`},
	},
	Flags: DataMovement,
	Check: Exact,
	Infer: inferZipMap,
	Eval:  evalZipMap,
}

func inferZipMap(f *Infer) error {
	value := graph.TensorOf(tensor.Float32)
	key := labelsOf(&f.Attrs, "classlabels_int64s", "classlabels_strings").dtype()
	f.SetType(0, graph.SequenceOf(graph.Type{Kind: graph.MapKind, Elem: key, Of: &value}))
	return nil
}

// evalZipMap makes a map from labels to scores of each row.
func evalZipMap(e *Eval) error {
	x := e.Tensor(0)
	m, err := featuresOf(x)
	if err != nil {
		return err
	}
	l := labelsOf(&e.Attrs, "classlabels_int64s", "classlabels_strings")
	if l.len() != m.f {
		return fmt.Errorf("%d labels for %d columns", l.len(), m.f)
	}
	all := make([]int, m.f)
	for i := range all {
		all[i] = i
	}
	keys, err := l.pick(all)
	if err != nil {
		return err
	}
	seq := &tensor.Sequence{Elem: tensor.Float32}
	for i := range m.n {
		seq.Items = append(seq.Items, &tensor.Map{Keys: keys, Values: tensor.FromFloats(tensor.Float32, []int{m.f}, m.row(i))})
	}
	e.Set(0, seq)
	return nil
}

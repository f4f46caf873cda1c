package op

import (
	"fmt"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMlDictVectorizer = &Def{
	Name:   "DictVectorizer",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 1, Schema: `X:T1 -> Y:T2 | int64_vocabulary:ints string_vocabulary:strings | T1: map(string,int64) map(int64,string) map(int64,float) map(int64,double) map(string,float) map(string,double); T2: int64 float double string`},
	},
	Flags: DataMovement,
	Check: Exact,
	Infer: inferDictVectorizer,
	Eval:  evalDictVectorizer,
}

func inferDictVectorizer(f *Infer) error {
	if t := f.Type(0); t.Of != nil {
		f.SetElem(0, t.Of.Elem)
	}
	f.Set(0, dim.Of(1), dim.Of(int64(labelsOf(&f.Attrs, "int64_vocabulary", "string_vocabulary").len())))
	return nil
}

// evalDictVectorizer puts each value of the map at the place of its key in the
// vocabulary; places without a key are zero.
func evalDictVectorizer(e *Eval) error {
	m, err := e.mapInput(0)
	if err != nil {
		return err
	}
	vocabulary := labelsOf(&e.Attrs, "int64_vocabulary", "string_vocabulary")
	if m.Keys.Type != vocabulary.dtype() {
		return fmt.Errorf("keys %v for a vocabulary of %v", m.Keys, vocabulary.dtype())
	}
	out, err := e.New(m.Values.Type, 1, vocabulary.len())
	if err != nil {
		return err
	}
	place := map[any]int{}
	for i, key := range mapKeys(m.Keys) {
		place[key] = i
	}
	put := tensor.Copier(out, m.Values)
	lookUp := func(i int, key any) {
		if from, ok := place[key]; ok {
			put(i, from)
		}
	}
	for i, k := range vocabulary.ints {
		lookUp(i, k)
	}
	for i, k := range vocabulary.strings {
		lookUp(i, k)
	}
	e.Set(0, out)
	return nil
}

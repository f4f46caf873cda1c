package convert

import (
	"errors"
	"fmt"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// mlTable is the adapters of ai.onnx.ml, by version.
var mlTable = []Adapter{
	{"LabelEncoder", 2, "keys and values of any type came", classesUp, classesDown},
	{"TreeEnsembleClassifier", 3, "weights in double precision came", nil, floatsDown("base_values", "class_weights", "nodes_hitrates", "nodes_values")},
	{"TreeEnsembleRegressor", 3, "weights in double precision came", nil, floatsDown("base_values", "nodes_hitrates", "nodes_values", "target_weights")},
	{"LabelEncoder", 4, "keys and values in tensors came", nil, labelsDown},
	{"TreeEnsembleClassifier", 5, "was deprecated", deprecatedTrees, nil},
	{"TreeEnsembleRegressor", 5, "was deprecated", deprecatedTrees, nil},
}

// classesUp: before version 2, a class was its index in classes_strings, or the
// other way round.
func classesUp(s *step, n *graph.Node) error {
	classes := s.attr(n, "classes_strings")
	if classes == nil {
		return errors.New("no classes_strings")
	}
	index := make([]int64, len(classes.Strings))
	for i := range index {
		index[i] = int64(i)
	}
	keys, values := graph.Strs("keys_strings", classes.Strings...), graph.Ints("values_int64s", index...)
	switch t := s.info.Type(n.In(0)).Elem; t {
	case tensor.String:
	case tensor.Int64:
		keys, values = graph.Ints("keys_int64s", index...), graph.Strs("values_strings", classes.Strings...)
	default:
		return fmt.Errorf("the element type of %s is not known", n.In(0))
	}
	n.RemoveAttr("classes_strings")
	n.SetAttr(keys)
	n.SetAttr(values)
	return nil
}

func classesDown(s *step, n *graph.Node) error {
	for _, names := range [][2]string{{"keys_strings", "values_int64s"}, {"values_strings", "keys_int64s"}} {
		classes, index := s.attr(n, names[0]), s.attr(n, names[1])
		if classes == nil || index == nil || len(classes.Strings) != len(index.Ints) {
			continue
		}
		for i, k := range index.Ints {
			if k != int64(i) {
				return fmt.Errorf("%s do not count from 0", names[1])
			}
		}
		n.RemoveAttr(names[0])
		n.RemoveAttr(names[1])
		n.RemoveAttr("default_float")
		n.SetAttr(graph.Strs("classes_strings", classes.Strings...))
		return nil
	}
	return errors.New("keys and values are not strings and their indices")
}

// labelsDown writes tensors of keys, values and the default as lists.
func labelsDown(s *step, n *graph.Node) error {
	for _, name := range []string{"keys", "values", "default"} {
		a := s.attr(n, name+"_tensor")
		if a == nil || a.T == nil || a.T.Tensor == nil {
			continue
		}
		t := a.T.Tensor
		single := name == "default"
		if single && t.Len() != 1 {
			return fmt.Errorf("default_tensor %v", t)
		}
		switch {
		case t.Type == tensor.String && single:
			n.SetAttr(graph.Str("default_string", t.Strings()[0]))
		case t.Type == tensor.String:
			n.SetAttr(graph.Strs(name+"_strings", t.Strings()...))
		case t.Type == tensor.Int64 && single:
			n.SetAttr(graph.Int("default_int64", t.Ints()[0]))
		case t.Type == tensor.Int64:
			n.SetAttr(graph.Ints(name+"_int64s", t.Ints()...))
		case t.Type == tensor.Float32 && single:
			n.SetAttr(graph.Float("default_float", t.Float32s()[0]))
		case t.Type == tensor.Float32:
			n.SetAttr(graph.Floats(name+"_floats", t.Float32s()...))
		default:
			return fmt.Errorf("%s of type %v came with version %d", a.Name, t.Type, s.from)
		}
		n.RemoveAttr(a.Name)
	}
	return nil
}

// floatsDown writes float32 tensors as lists.
func floatsDown(names ...string) adapt {
	return func(s *step, n *graph.Node) error {
		for _, name := range names {
			a := s.attr(n, name+"_as_tensor")
			if a == nil || a.T == nil || a.T.Tensor == nil {
				continue
			}
			if a.T.Tensor.Type != tensor.Float32 {
				return fmt.Errorf("%s of type %v came with version %d", a.Name, a.T.Tensor.Type, s.from)
			}
			n.SetAttr(graph.Floats(name, a.T.Tensor.Float32s()...))
			n.RemoveAttr(a.Name)
		}
		return nil
	}
}

// deprecatedTrees declines: TreeEnsemble, which followed, has no labels and no
// base values.
func deprecatedTrees(s *step, n *graph.Node) error {
	return fmt.Errorf("operator %s is deprecated since version %d, and TreeEnsemble has no labels and base values", n.Op, s.to)
}

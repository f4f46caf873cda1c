package op

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// onnxSchema is one operator version as testdata/schemas.py writes it.
type onnxSchema struct {
	Domain, Name string
	Since        int64
	Deprecated   bool
	In, Out      []onnxParam
	Attrs        []onnxAttr
	Types        map[string][]string
}

type onnxParam struct {
	Name, Type         string
	Optional, Variadic bool
	Min                int
	Heterogeneous      bool
}

type onnxAttr struct {
	Name     string
	Kind     graph.AttrKind
	Required bool
	Default  any
}

// TestSchemas compares the table with the schemas of the pinned onnx package and
// of onnxruntime's own operators, in the file that ONNXOPT_SCHEMAS names:
// operators, versions, parameters, attributes with their types and defaults, and
// type constraints. Of onnxruntime's, the table has some.
func TestSchemas(t *testing.T) {
	path := os.Getenv("ONNXOPT_SCHEMAS")
	if path == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("ONNXOPT_SCHEMAS is not set: run make test")
		}
		t.Skip("ONNXOPT_SCHEMAS is not set")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var want []onnxSchema
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, w := range want {
		title := fmt.Sprintf("%s version %d", qualified(w.Domain, w.Name), w.Since)
		known[title] = true
		d := Find(w.Domain, w.Name)
		if d == nil && w.Domain == microsoft {
			continue
		}
		if d == nil {
			t.Errorf("%s is missing", title)
			continue
		}
		v := d.At(w.Since)
		if v == nil || v.Since != w.Since {
			t.Errorf("%s is missing", title)
			continue
		}
		s, err := v.Parsed()
		if err != nil {
			t.Errorf("%s: %v", title, err)
			continue
		}
		for _, diff := range differences(w, v, s) {
			t.Errorf("%s: %s", title, diff)
		}
	}
	for _, part := range Table {
		for _, d := range part {
			for _, v := range d.Versions {
				title := fmt.Sprintf("%s version %d", qualified(d.Domain, d.Name), v.Since)
				if !known[title] && !beyond[d.Name] {
					t.Errorf("%s is not in the standard", title)
				}
			}
		}
	}
}

// beyond is operators of onnxruntime that files have in the standard domain.
var beyond = map[string]bool{"SimplifiedLayerNormalization": true}

func differences(w onnxSchema, v *Version, s *Schema) []string {
	var diffs []string
	compare := func(what string, got, want any) {
		if !reflect.DeepEqual(got, want) {
			diffs = append(diffs, fmt.Sprintf("%s: got %v, want %v", what, got, want))
		}
	}
	compare("deprecated", v.Deprecated, w.Deprecated)
	compare("inputs", paramsOf(s.In), w.In)
	compare("outputs", paramsOf(s.Out), w.Out)
	attrs := []onnxAttr{}
	for _, a := range s.Attrs {
		attrs = append(attrs, onnxAttr{a.Name, a.Kind, a.Required, defaultOf(a)})
	}
	slices.SortFunc(attrs, func(a, b onnxAttr) int { return strings.Compare(a.Name, b.Name) })
	for i, a := range w.Attrs {
		if f, ok := a.Default.(float64); ok && a.Kind == graph.AttrFloat {
			w.Attrs[i].Default = float64(float32(f))
		}
		if w.Domain == microsoft && a.Name == "axis" && strings.HasSuffix(w.Name, "uantizeLinear") && a.Default == nil {
			w.Attrs[i].Default = 1.0 // of onnxruntime's kernels, not in its schemas
		}
	}
	compare("attributes", attrs, w.Attrs)
	types := map[string][]string{}
	for name, list := range s.Types {
		for _, typ := range list {
			types[name] = append(types[name], schemaType(typ))
		}
		slices.Sort(types[name])
	}
	for name := range w.Types {
		slices.Sort(w.Types[name])
		if !slices.Equal(types[name], w.Types[name]) {
			compare("type "+name, types[name], w.Types[name])
		}
	}
	compare("type variables", len(types), len(w.Types))
	return diffs
}

func paramsOf(list []Param) []onnxParam {
	out := []onnxParam{}
	for _, p := range list {
		name := p.Type
		if _, bare := tensor.ParseDType(name); bare {
			name = "tensor(" + name + ")"
		}
		out = append(out, onnxParam{p.Name, name, p.Optional, p.Variadic, p.Min, p.Heterogeneous})
	}
	return out
}

func defaultOf(a AttrSpec) any {
	if a.Default == nil {
		return nil
	}
	var list []any
	switch d := a.Default; a.Kind {
	case graph.AttrFloat:
		return float64(d.F)
	case graph.AttrInt:
		return float64(d.I)
	case graph.AttrString:
		return d.S
	case graph.AttrFloats:
		for _, f := range d.Floats {
			list = append(list, float64(f))
		}
	case graph.AttrInts:
		for _, n := range d.Ints {
			list = append(list, float64(n))
		}
	case graph.AttrStrings:
		for _, s := range d.Strings {
			list = append(list, s)
		}
	}
	return list
}

// schemaType is a type in the syntax of ONNX schemas.
func schemaType(t graph.Type) string {
	switch t.Kind {
	case graph.SparseKind:
		return "sparse_tensor(" + t.Elem.String() + ")"
	case graph.SequenceKind:
		return "seq(" + schemaType(*t.Of) + ")"
	case graph.OptionalKind:
		return "optional(" + schemaType(*t.Of) + ")"
	case graph.MapKind:
		return "map(" + t.Elem.String() + ", " + t.Of.Elem.String() + ")"
	}
	return "tensor(" + t.Elem.String() + ")"
}

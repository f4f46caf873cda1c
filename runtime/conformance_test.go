package runtime

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var update = flag.Bool("update", false, "write CONFORMANCE.md from this run")

// TestConformance runs ONNX's own tests, written out by testdata/conformance.py
// into the folder that ONNXOPT_CONFORMANCE names, on the reference path and on
// the fast paths; what inference says of its values must be true. What may fail is listed with its reason in CONFORMANCE.md; any
// other failure, and a listed case that passes, fails the test.
func TestConformance(t *testing.T) {
	root := os.Getenv("ONNXOPT_CONFORMANCE")
	if root == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("ONNXOPT_CONFORMANCE is not set: run make test")
		}
		t.Skip("ONNXOPT_CONFORMANCE is not set")
	}
	cases, err := filepath.Glob(filepath.Join(root, "*", "*", "model.onnx"))
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases in %s: %v", root, err)
	}
	list, err := readConformance("CONFORMANCE.md")
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]*tally{}
	failed := map[string]string{}
	for _, path := range cases {
		dir := filepath.Dir(path)
		name, category := filepath.Base(dir), filepath.Base(filepath.Dir(dir))
		if counts[category] == nil {
			counts[category] = &tally{}
		}
		count := counts[category]
		t.Run(name, func(t *testing.T) {
			if reason, ok := excluded[name]; ok {
				count.excluded++
				t.Skip(reason)
			}
			err := runCase(dir, Options{Reference: true})
			if err == nil {
				err = runCase(dir, Options{Threads: 2})
			}
			if err == nil {
				count.passed++
			} else {
				count.failed++
				failed[name] = strings.Join(strings.Fields(err.Error()), " ")
			}
			switch _, known := list[name]; {
			case *update:
			case err == nil && known:
				t.Error("passes but is listed in CONFORMANCE.md: run make conformance")
			case err != nil && !known:
				t.Error(err)
			}
		})
	}
	if *update {
		if err := writeConformance("CONFORMANCE.md", counts, failed); err != nil {
			t.Fatal(err)
		}
	}
}

// excluded lists the cases whose outputs are random.
var excluded = map[string]string{
	"test_bernoulli":                     "random output",
	"test_bernoulli_double":              "random output",
	"test_bernoulli_double_expanded":     "random output",
	"test_bernoulli_expanded":            "random output",
	"test_bernoulli_seed":                "random output",
	"test_bernoulli_seed_expanded":       "random output",
	"test_training_dropout":              "random mask",
	"test_training_dropout_default":      "random mask",
	"test_training_dropout_default_mask": "random mask",
	"test_training_dropout_mask":         "random mask",
}

// tally counts the cases of a category.
type tally struct{ passed, failed, excluded int }

// readConformance reads the cases listed as not passed, with their reasons.
func readConformance(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	list := map[string]string{}
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(strings.Trim(line, "|\n "), " | ")
		if len(cells) == 2 && strings.HasPrefix(cells[0], "test_") {
			list[cells[0]] = cells[1]
		}
	}
	return list, nil
}

func writeConformance(path string, counts map[string]*tally, failed map[string]string) error {
	var b strings.Builder
	b.WriteString("# ONNX's own tests\n\nWritten by `make conformance`, which runs every case of the pinned onnx package with the reference evaluation\n" +
		"and with the fast paths. A case passes when both give the wanted types, shapes and values within the case's tolerance.\n\n" +
		"| category | cases | passed | not passed | excluded: random |\n|---|---|---|---|---|\n")
	row := func(name string, c tally) {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", name, c.passed+c.failed+c.excluded, c.passed, c.failed, c.excluded)
	}
	var all tally
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		c := *counts[name]
		row(name, c)
		all = tally{all.passed + c.passed, all.failed + c.failed, all.excluded + c.excluded}
	}
	row("all", all)
	b.WriteString("\n## Not passed\n\n| case | reason |\n|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, strings.ReplaceAll(failed[name], "|", "/"))
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

func runCase(dir string, opts Options) error {
	m, err := onnx.Load(filepath.Join(dir, "model.onnx"))
	if err != nil {
		return err
	}
	return runModel(dir, m, opts)
}

// runModel runs m on the data of a case.
func runModel(dir string, m *graph.Model, opts Options) error {
	check, err := newInferenceCheck(m)
	if err != nil {
		return err
	}
	if opts.Reference {
		opts.Observe = check.observe
	}
	s, err := Compile(m, opts)
	if err != nil {
		return err
	}
	var tol struct{ Rtol, Atol float64 }
	if b, err := os.ReadFile(filepath.Join(dir, "tolerance.json")); err != nil {
		return err
	} else if err := json.Unmarshal(b, &tol); err != nil {
		return err
	}
	sets, err := filepath.Glob(filepath.Join(dir, "test_data_set_*"))
	if err != nil {
		return err
	}
	for _, set := range sets {
		in, err := loadValues(set, "input", m.Graph.Inputs())
		if err != nil {
			return err
		}
		want, err := loadValues(set, "output", m.Graph.Outputs())
		if err != nil {
			return err
		}
		clear(check.symbols)
		for i, v := range m.Graph.Inputs() {
			if x, ok := in[i].(*tensor.Tensor); ok {
				check.observe(v, x)
			}
		}
		for run := range 2 { // the second after others that planned memory and kept jobs
			got, err := s.Run(context.Background(), in)
			if run == 1 {
				got, err = steadyOutputs(s, in)
			}
			if err == nil {
				err = check.err
			}
			if err != nil {
				return err
			}
			for i := range want {
				if err := sameValue(got[i], want[i], tol.Rtol, tol.Atol); err != nil {
					return fmt.Errorf("%s output %d: %w", filepath.Base(set), i, err)
				}
			}
			if opts.Reference {
				break
			}
		}
	}
	return nil
}

func loadValues(set, prefix string, values []*graph.Value) ([]tensor.Value, error) {
	out := make([]tensor.Value, len(values))
	for i, v := range values {
		path := filepath.Join(set, fmt.Sprintf("%s_%d.pb", prefix, i))
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue
		} else if err != nil {
			return nil, err
		}
		if out[i], _, err = onnx.LoadValue(b, v.Type.Kind); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return out, nil
}

func sameValue(got, want tensor.Value, rtol, atol float64) error {
	switch w := want.(type) {
	case nil:
		return nil
	case *tensor.Tensor:
		g, ok := got.(*tensor.Tensor)
		if !ok {
			return fmt.Errorf("got %T, want a tensor", got)
		}
		return sameTensor(g, w, rtol, atol)
	case *tensor.Sequence:
		g, ok := got.(*tensor.Sequence)
		if !ok || len(g.Items) != len(w.Items) {
			return fmt.Errorf("got %v, want a sequence of %d", got, len(w.Items))
		}
		for i := range w.Items {
			if err := sameValue(g.Items[i], w.Items[i], rtol, atol); err != nil {
				return fmt.Errorf("item %d: %w", i, err)
			}
		}
		return nil
	case *tensor.Optional:
		g, ok := got.(*tensor.Optional)
		if !ok {
			return fmt.Errorf("got %T, want an optional", got)
		}
		if w.Value == nil || g.Value == nil {
			if g.Value != w.Value {
				return fmt.Errorf("got %v, want %v", g.Value, w.Value)
			}
			return nil
		}
		return sameValue(g.Value, w.Value, rtol, atol)
	case *tensor.Map:
		g, ok := got.(*tensor.Map)
		if !ok || !g.Keys.Equal(w.Keys) {
			return fmt.Errorf("got %v, want a map", got)
		}
		return sameTensor(g.Values, w.Values, rtol, atol)
	}
	return fmt.Errorf("cannot compare %T", want)
}

func sameTensor(got, want *tensor.Tensor, rtol, atol float64) error {
	if got.Type != want.Type || !slices.Equal(got.Shape, want.Shape) {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	if want.Type == tensor.String {
		if !slices.Equal(got.Strings(), want.Strings()) {
			return fmt.Errorf("got %q, want %q", got.Strings(), want.Strings())
		}
		return nil
	}
	if want.Type.IsComplex() {
		g, w := got.Complexes(), want.Complexes()
		for i := range w {
			if !near(real(g[i]), real(w[i]), rtol, atol) || !near(imag(g[i]), imag(w[i]), rtol, atol) {
				return fmt.Errorf("element %d: got %v, want %v", i, g[i], w[i])
			}
		}
		return nil
	}
	if !want.Type.IsFloat() {
		g, w := got.Ints(), want.Ints()
		if !slices.Equal(g, w) {
			return fmt.Errorf("got %v, want %v", clip(g), clip(w))
		}
		return nil
	}
	if want.Type == tensor.BFloat16 {
		rtol = max(rtol, 1.0/64)
	}
	g, w := got.Floats(), want.Floats()
	for i := range w {
		if !near(g[i], w[i], rtol, atol) {
			return fmt.Errorf("element %d of %v: got %v, want %v", i, want, g[i], w[i])
		}
	}
	return nil
}

func clip[T any](v []T) []T { return v[:min(len(v), 20)] }

func near(a, b, rtol, atol float64) bool {
	if math.IsNaN(b) || math.IsInf(b, 0) || math.IsInf(a, 0) {
		return a == b || math.IsNaN(a) && math.IsNaN(b)
	}
	return math.Abs(a-b) <= atol+rtol*math.Abs(b)
}

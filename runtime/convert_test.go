//go:build !noasm

// The reference path is the same without assembly.

package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"onnxopt/onnx"
	"onnxopt/onnx/convert"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
)

// TestConvert converts every case of ONNX's own tests that passes to each older
// and newer opset, from the case's own and from the oldest that can say it, and
// runs it by the reference wherever that changed an operator's version.
func TestConvert(t *testing.T) {
	root := os.Getenv("ONNXOPT_CONFORMANCE")
	if root == "" {
		t.Skip("ONNXOPT_CONFORMANCE is not set")
	}
	cases, _ := filepath.Glob(filepath.Join(root, "*", "*", "model.onnx"))
	list, err := readConformance("CONFORMANCE.md")
	if err != nil {
		t.Fatal(err)
	}
	declined, runs := map[string]int{}, 0
	for _, path := range cases {
		dir := filepath.Dir(path)
		name := filepath.Base(dir)
		if list[name] != "" || excluded[name] != "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			m, err := onnx.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			own := m.Opset("")
			if own == 0 {
				t.Skip("no operators of ai.onnx")
			}
			oldest := m.Clone()
			for v := own - 1; v >= 1; v-- {
				before := versions(oldest)
				if err := convert.To(oldest, v); err != nil {
					declined[reasonOf(err)]++
					break
				}
				if err := runConverted(dir, before, oldest); err != nil {
					t.Fatalf("opset %d to %d: %v", v+1, v, err)
				}
				runs++
			}
			for _, m := range []*graph.Model{m, oldest} {
				for v := m.Opset("") + 1; v <= op.MaxOpset; v++ {
					before := versions(m)
					if err := convert.To(m, v); err != nil {
						t.Fatal(err)
					}
					if err := runConverted(dir, before, m); err != nil {
						t.Fatalf("opset %d (%d at first) to %d: %v\n%s", v-1, own, v, err, graph.Text(m))
					}
					runs++
				}
			}
		})
	}
	t.Logf("%d conversions", runs)
	if testing.Verbose() {
		for r, n := range declined {
			fmt.Println(n, r)
		}
	}
}

// reasonOf is an error without the node's name.
func reasonOf(err error) string {
	f := strings.SplitN(err.Error(), ": ", 3)
	op, _, _ := strings.Cut(strings.TrimPrefix(f[1], "node "), " ")
	return f[0] + " " + op + ": " + f[len(f)-1]
}

// versions is the version in force of each node.
func versions(m *graph.Model) string {
	var b strings.Builder
	for n := range m.Graph.All() {
		r, _ := op.Resolve(n, m.Opset)
		fmt.Fprint(&b, n.Op, r.Since, " ")
	}
	for _, f := range m.Functions {
		for n := range f.Body.All() {
			r, _ := op.Resolve(n, f.Opset)
			fmt.Fprint(&b, n.Op, r.Since, " ")
		}
	}
	return b.String()
}

// runConverted checks a converted model and, if other versions are in force
// than before, its outputs on the data of a case.
func runConverted(dir, before string, m *graph.Model) error {
	if err := m.Verify(); err != nil {
		return err
	}
	if errs := op.Verify(m); len(errs) > 0 {
		return errs[0]
	}
	if versions(m) == before {
		return nil
	}
	return runModel(dir, m, Options{Reference: true})
}

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
// and newer opset, from the case's own and from the oldest that can say it. The
// reference runs it at the newest and wherever its nodes changed.
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
	declined, conversions := map[string]int{}, 0
	for _, path := range cases {
		dir := filepath.Dir(path)
		name := filepath.Base(dir)
		if list[name] != "" || excluded[name] != "" || list[name+"_expanded"] != "" { // an older opset has the expanded form
			continue
		}
		t.Run(name, func(t *testing.T) {
			m, err := onnx.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			for domain, newest := range map[string]int64{"": op.MaxOpset, "ai.onnx.ml": op.MaxML} {
				if m.Opset(domain) != 0 {
					conversions += convertAll(t, dir, m.Clone(), domain, newest, declined)
				}
			}
		})
	}
	t.Logf("%d conversions", conversions)
	if testing.Verbose() {
		for r, n := range declined {
			fmt.Println(n, r)
		}
	}
}

// convertAll converts m step by step down to the oldest version of a domain that
// can say it, and from there and from its own up to the newest: the number of
// conversions.
func convertAll(t *testing.T, dir string, m *graph.Model, domain string, newest int64, declined map[string]int) (conversions int) {
	own, oldest := m.Opset(domain), m.Clone()
	for v := own - 1; v >= 1; v-- {
		before := nodeText(oldest)
		if err := convert.Domain(oldest, domain, v); err != nil {
			declined[reasonOf(err)]++
			break
		}
		if err := runConverted(dir, oldest, before, false); err != nil {
			t.Fatalf("%s %d to %d: %v", domain, v+1, v, err)
		}
		conversions++
	}
	for _, m := range []*graph.Model{m, oldest} {
		for v := m.Opset(domain) + 1; v <= newest; v++ {
			before := nodeText(m)
			err := convert.Domain(m, domain, v)
			if strings.Contains(fmt.Sprint(err), "is deprecated since") {
				declined[reasonOf(err)]++
				break
			}
			if err == nil {
				err = runConverted(dir, m, before, v == newest)
			}
			if err != nil {
				t.Fatalf("%s %d (%d at first) to %d: %v\n%s", domain, v-1, own, v, err, graph.Text(m))
			}
			conversions++
		}
	}
	return conversions
}

// reasonOf is an error without the node's name.
func reasonOf(err error) string {
	f := strings.SplitN(err.Error(), ": ", 3)
	op, _, _ := strings.Cut(strings.TrimPrefix(f[1], "node "), " ")
	return f[0] + " " + op + ": " + f[len(f)-1]
}

// runConverted checks m, and runs it on the data of a case if its nodes are not
// what they were before or if it is asked to.
func runConverted(dir string, m *graph.Model, before string, always bool) error {
	if err := m.Verify(); err != nil {
		return err
	}
	if errs := op.Verify(m); len(errs) > 0 {
		return errs[0]
	}
	if !always && nodeText(m) == before {
		return nil
	}
	return runModel(dir, m, Options{Reference: true})
}

// nodeText is the text of m without its header.
func nodeText(m *graph.Model) string {
	_, text, _ := strings.Cut(graph.Text(m), ">\n")
	return text
}

//go:build unix && amd64 && !noasm

package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// variant is how a run may differ without a difference in its result.
type variant struct {
	cpu     string
	threads int
}

// variants are instruction sets and numbers of threads. A processor that lacks
// one takes the next.
var variants = []variant{{"", 1}, {"generic", 2}, {"avx2", 3}, {"avx512", 4}, {"generic", 1}, {"avx2", 2}, {"avx512", 3}, {"generic", 4}, {"avx2", 1}, {"avx512", 2}, {"generic", 3}, {"avx2", 4}}

// TestDeterminism: the same model, options and samples give the same bytes for
// any number of threads, in plain Go, with AVX2 and AVX-512, and again. ONNXOPT_RUNS
// is how often all shipped models are run; without, two are and few times.
func TestDeterminism(t *testing.T) {
	models, err := filepath.Abs("../../models")
	if err != nil {
		t.Fatal(err)
	}
	runs, list := 4, []string{"lenet300", "lenet5"}
	if n, err := strconv.Atoi(os.Getenv("ONNXOPT_RUNS")); err == nil {
		runs, list = n, []string{"lenet300", "lenet5", "resnet8", "mbnet", "tinyvit"}
	}
	data := []string{"--data", filepath.Join(models, "mnist")}
	for _, name := range list {
		model := filepath.Join(models, name+".onnx")
		sameBytes(t, name+" simplify", runs, "out.onnx", "simplify", model)
		sameBytes(t, name+" weights", runs, "out.onnx", "quantize", model, "--weights", "int8", "--force")
		sameBytes(t, name+" int8", runs, "out.onnx", append([]string{"quantize", model, "--calibration-samples", "20", "--samples", "20", "--force"}, data...)...)
	}
	sameBytes(t, "calibrate", runs, "out.cal", append([]string{"calibrate", filepath.Join(models, "resnet8.onnx"), "--calibration-samples", "20"}, data...)...)
	sameBytes(t, "compress", min(runs, len(variants)), "out.onnxz", append([]string{"compress", filepath.Join(models, "lenet300.onnx"), "--samples", "200", "--fixed", "--density", "0.1",
		"--steps", "60", "--share-steps", "30"}, data...)...)
}

func sameBytes(t *testing.T, name string, runs int, out string, args ...string) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		first := ""
		for i := range runs {
			v := variants[i%len(variants)]
			all := append(slices.Clone(args), "-o", out)
			if v.threads > 0 && args[0] != "simplify" {
				all = append(all, "--threads", strconv.Itoa(v.threads))
			}
			dir := t.TempDir()
			c := tool(dir, all...)
			c.Env = append(os.Environ(), "ONNXOPT_CPU="+v.cpu)
			if b, err := c.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v: %s", v, err, b)
			}
			b, err := os.ReadFile(filepath.Join(dir, out))
			if err != nil {
				t.Fatal(err)
			}
			sum := fmt.Sprintf("%x", sha256.Sum256(b))
			if first == "" {
				first = sum
			}
			if sum != first {
				t.Errorf("%v: %s, the first run gave %s", v, sum, first)
			}
		}
		t.Logf("%d runs: %.16s", runs, first)
	})
}

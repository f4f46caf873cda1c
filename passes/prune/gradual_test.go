package prune

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"onnxopt/runtime/grad"
)

func TestThreshold(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 10 {
		v := make([]float32, 1+rng.IntN(300))
		for i := range v {
			v[i] = float32(rng.IntN(40)) * rng.Float32() * 1e-3
		}
		sorted := slices.Clone(v)
		slices.Sort(sorted)
		slices.Reverse(sorted)
		for k := 1; k < len(v); k++ {
			if got := threshold(v, k); got != sorted[k-1] {
				t.Fatalf("the %d-th largest of %d is %v, want %v", k, len(v), got, sorted[k-1])
			}
		}
	}
}

func TestPatterns(t *testing.T) {
	score := []float32{3, 1, 2, 2, 0, 5, 5, 5, 1, 2}
	mask := make([]float32, len(score))
	pattern(mask, score, [][]int{{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9}}, 2)
	if want := []float32{1, 0, 1, 0, 0, 1, 1, 0, 1, 1}; !slices.Equal(mask, want) {
		t.Errorf("2:4 of %v keeps %v, want %v", score, mask, want)
	}
	blocks(score, 4)
	if want := []float32{2, 2, 2, 2, 3.75, 3.75, 3.75, 3.75, 1.5, 1.5}; !slices.Equal(score, want) {
		t.Errorf("block means %v, want %v", score, want)
	}
	keep(mask, score, 2)
	if want := []float32{1, 1, 1, 1, 1, 1, 1, 1, 0, 0}; !slices.Equal(mask, want) {
		t.Errorf("kept %v, want %v", mask, want)
	}
}

// TestPatternAxis: runs follow what an output sums over.
func TestPatternAxis(t *testing.T) {
	for body, want := range map[string][]int{
		"y = MatMul (x, w)":                   {0, 3, 6, 9},
		"y = Gemm (x, w)":                     {0, 3, 6, 9},
		"z = Transpose (x) y = MatMul (w, z)": {0, 1, 2},
	} {
		m := parse(t, fmt.Sprintf("<ir_version: 8, opset_import: [\"\": 17]>\ng (float[N,4] x) => (float[M,K] y) <%s> { %s }", weightsText("w[4,3]"), body))
		g := &Gradual{Pattern: Pattern{N: 2, M: 4}}
		if strings.Contains(body, "Transpose") {
			g.M = 3 // no layer reads w as its weight: elements as they stand
		}
		q := &grad.Param{Name: "w", Shape: []int{4, 3}, Value: make([]float32, 12)}
		if got := g.runsOf(m, q)[0]; !slices.Equal(got, want) {
			t.Errorf("%s: first run %v, want %v", body, got, want)
		}
	}
}

package prune

import (
	"math/rand/v2"
	"slices"
	"testing"
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
	pattern(mask, score, 2, 4)
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

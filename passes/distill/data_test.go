package distill

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestWarp: a field of one displacement in whole pixels is a shift, and a
// random one keeps a plane of one value.
func TestWarp(t *testing.T) {
	const h, w = 6, 9
	rng := rand.New(rand.NewPCG(1, 2))
	src := make([]float32, h*w)
	for i := range src {
		src[i] = rng.Float32()
	}
	f := &field{}
	for i := range f {
		for j := range f[i] {
			f[i][j] = [2]float32{-1, 2}
		}
	}
	got, want := make([]float32, h*w), make([]float32, h*w)
	f.warp(got, src, h, w)
	move(want, src, h, w, 1, -2, false)
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for i := range src {
		src[i] = 0.5
	}
	newField(rng, 3).warp(got, src, h, w)
	if !slices.Equal(got, src) {
		t.Errorf("a plane of 0.5 became %v", got)
	}
}

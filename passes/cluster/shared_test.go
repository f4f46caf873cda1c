package cluster

import (
	"slices"
	"testing"
)

func TestGrid(t *testing.T) {
	v := make([]float32, 4)
	grid(v, []float32{1.7, -0.26, 0.01, 0}, 4) // codes to 7: the step is 0.25
	if want := []float32{1.75, -0.25, 0, 0}; !slices.Equal(v, want) {
		t.Errorf("%v, want %v", v, want)
	}
}

// TestBook: each start ends in the same centres where the groups are plain, and
// few values stay as they are.
func TestBook(t *testing.T) {
	w := []float32{-1, -1.1, 0.5, 0.52, 0.48, 2, 2.2}
	want := []float32{-1.05, 0.5, 2.1}
	for _, init := range []Init{Linear, Density} {
		got := book(w, 3, init, 1)
		for i := range want {
			if d := got[i] - want[i]; d > 1e-6 || d < -1e-6 {
				t.Errorf("start %d: %v, want %v", init, got, want)
			}
		}
	}
	if got := book(w, 7, Random, 1); len(got) != 7 {
		t.Errorf("%v", got)
	}
	if j := slot(midpoints([]float32{-1, 0.5, 2}), 0.4); j != 1 {
		t.Errorf("0.4 is next to entry %d", j)
	}
}

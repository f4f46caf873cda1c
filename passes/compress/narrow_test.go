package compress

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"onnxopt/onnx/graph"
)

// residual is a network with one residual block, whose inside does almost
// nothing.
func residual(t *testing.T) *graph.Model {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	weights := func(name string, in, out int, scale float64) string {
		v := make([]string, in*out)
		for i := range v {
			v[i] = fmt.Sprintf("%.5g", scale*rng.NormFloat64())
		}
		return fmt.Sprintf("float[%d,%d] %s = {%s}", in, out, name, strings.Join(v, ", "))
	}
	m, err := graph.Parse(fmt.Sprintf(`<ir_version: 8, opset_import: ["": 17]> g (float[N,1,28,28] input) => (float[N,10] y) <%s, %s, %s> {
		f = Flatten (input) h = MatMul (f, a) r = Relu (h) i = MatMul (r, b) k = Relu (i) s = Add (r, k) y = MatMul (s, c) }`,
		weights("a", 784, 32, 0.1), weights("b", 32, 32, 1e-3), weights("c", 32, 10, 0.2)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestNarrow(t *testing.T) {
	m := residual(t)
	task := taskOf(t, m, 1, func(string, int) {})
	for drop, want := range map[float64]string{
		// The block goes first, then channels, and then nothing can.
		100: "trial trial narrow trial narrow refine",
		// Both ways lose too much: the block, and then what saves less.
		-1000: "trial trial narrow narrow trial narrow refine",
	} {
		o := options()
		o.MaxDrop, o.Rungs = drop, 3
		r, err := Narrow(context.Background(), m, task, o)
		if err != nil {
			t.Fatal(err)
		}
		var stages []string
		for _, c := range r.Seen {
			stages = append(stages, c.Stage)
		}
		if got := strings.Join(stages, " "); got != want {
			t.Errorf("with a budget of %v points: %s, want %s", drop, got, want)
		}
	}
}

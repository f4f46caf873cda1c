package prune

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"onnxopt/onnx"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/clean"
	"onnxopt/passes/distill"
	"onnxopt/passes/pass"
)

// withWeights is a model's text with random initializers in the place of %w.
func withWeights(text, list string) string { return strings.Replace(text, "%w", weightsText(list), 1) }

// TestBranches: of residual blocks the insides can go, and projections beside
// them; a sum without one is its other side.
func TestBranches(t *testing.T) {
	const text = `<ir_version: 8, opset_import: ["": 17]>
		g (float[N,4] x) => (float[N,3] y) <%w> {
			a = MatMul (x, p) b = Relu (a) c = MatMul (b, q) d = Add (c, x) e = MatMul (d, r) f = Add (e, d)
			i = MatMul (f, s) j = Relu (f) k = MatMul (j, u) l = Add (i, k) o = Add (l, v) y = MatMul (o, z) }`
	m := parse(t, withWeights(text, "p[4,4] q[4,4] r[4,4] s[4,4] u[4,4] v[4] z[4,3]"))
	var sizes []int
	for _, b := range Branches(m) {
		sizes = append(sizes, len(b.Nodes))
	}
	if want := []int{3, 1, 1, 2}; !slices.Equal(sizes, want) {
		t.Fatalf("branches of %v nodes, want %v", sizes, want)
	}
	short := parse(t, withWeights(`<ir_version: 8, opset_import: ["": 17]>
		g (float[N,4] x) => (float[N,3] y) <%w> {
			e = MatMul (x, r) f = Add (e, x)
			i = MatMul (f, s) j = Relu (f) k = MatMul (j, u) l = Add (i, k) o = Add (l, v) y = MatMul (o, z) }`, "r[4,4] s[4,4] u[4,4] v[4] z[4,3]"))
	for v := range short.Graph.Initializers() {
		v.Data = m.Graph.Find(v.Name).Data
	}
	Branches(m)[0].Remove()
	if _, err := pass.Run(context.Background(), m, []pass.Pass{clean.Dead}, pass.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(); err != nil {
		t.Fatal(err)
	}
	if d := far(outputs(t, short), outputs(t, m)); d != 0 || m.Graph.Find("p") != nil {
		t.Errorf("without the first branch the outputs are %.2g off", d)
	}
}

// TestSlim: the cost falls to its share in whole vectors, and what is worth
// little goes first.
func TestSlim(t *testing.T) {
	m, err := onnx.Load("../../models/lenet5.onnx")
	if err != nil {
		t.Fatal(err)
	}
	worth := Norms(m)
	for u := range worth {
		worth[u] = 1
		if u < 20 { // channels of the first convolution
			worth[u] = 1000
		}
	}
	was := Cost(m)
	if gone := Slim(m, worth, 0.4); gone == 0 || Cost(m) > 0.4*was || Cost(m) < 0.2*was {
		t.Errorf("%d units removed, cost %.3g of %.3g", gone, Cost(m), was)
	}
	var left []int
	for n := range m.Graph.Nodes() {
		if n.Is("Conv") {
			left = append(left, n.In(1).Const().Shape[0])
		}
	}
	if left[0] != 20 || left[1]%lanes != 0 {
		t.Errorf("%v channels are left", left)
	}
	if err := m.Verify(); err != nil {
		t.Fatal(err)
	}
}

// TestFisher compares with differences: the square of the change of the log
// likelihood when a unit is scaled.
func TestFisher(t *testing.T) {
	m := parse(t, withWeights(`<ir_version: 8, opset_import: ["": 17]>
		g (float[N,4] x) => (float[N,2] y) <%w> { h = Gemm (x, w, b) r = Tanh (h) y = MatMul (r, v) }`, "w[4,3] b[3] v[3,2]"))
	x := []float32{0.3, -0.7, 0.9, 0.1}
	d := &distill.Data{Inputs: []*tensor.Tensor{tensor.Of([]int{1, 4}, x)}}
	got, err := Fisher(context.Background(), m, d, 1, 5, 1)
	if err != nil {
		t.Fatal(err)
	}
	w, b, v := m.Graph.Find("w").Const().Floats(), m.Graph.Find("b").Const().Floats(), m.Graph.Find("v").Const().Floats()
	// log p(class) at temperature 2, up to the factor 2 of the gradients that
	// training has too.
	score := func(unit int, factor float64, class int) float64 {
		var s [2]float64
		for j := range 3 {
			h := b[j]
			for i := range 4 {
				h += float64(x[i]) * w[3*i+j]
			}
			if j == unit {
				h *= factor
			}
			for k := range s {
				s[k] += math.Tanh(h) * v[2*j+k]
			}
		}
		return 2 * (s[class]/2 - math.Log(math.Exp(s[0]/2)+math.Exp(s[1]/2)))
	}
	matches := 0
	for class := range 2 { // the one that was drawn
		ok := true
		for unit := range 3 {
			slope := (score(unit, 1+1e-4, class) - score(unit, 1-1e-4, class)) / 2e-4
			ok = ok && math.Abs(got[unit]-slope*slope) < 1e-3*slope*slope+1e-9
		}
		if ok {
			matches++
		}
	}
	if matches == 0 {
		t.Errorf("Fisher information %v fits neither class", got)
	}
}

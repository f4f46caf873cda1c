package passes

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"

	"onnxopt/passes/pass"
	"onnxopt/passes/quant"
	"onnxopt/runtime/compare"
)

// Asked for more than 8 bits give, search leaves the most sensitive layers in
// float until the outputs are that good, and no more.
func TestMixedPrecision(t *testing.T) {
	list, err := Pipeline("int8")
	if err != nil {
		t.Fatal(err)
	}
	im := loadImages(t, "calib-images-idx3-ubyte.gz", 8)
	m := load(t, "mbnet")
	l, err := pass.Run(context.Background(), m, list, pass.Options{Samples: im, Off: map[string]bool{"round-weights": true},
		Settings: pass.Settings{Quant: pass.QuantSettings{MinSQNR: 45}}})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(l.Half) + len(l.Float); len(l.Sensitivity) != 12 || n == 0 || n == 12 {
		t.Fatalf("%d layers measured, %d in float", len(l.Sensitivity), n)
	}
	for n := range m.Graph.Nodes() {
		// Weights of depthwise layers stay in float16 whatever is chosen, a few in float32.
		if slices.Contains(l.Float, quant.Title(n)) && n.Int("group", 1) == 1 {
			if d := n.In(1).Def(); d != nil && !d.Is("Mul") {
				t.Errorf("the weights of %s are in float16", n.Title())
			}
		}
	}
}

// Asked to lose no decision, search leaves layers in float until none is lost,
// whatever the noise.
func TestSearchByAgreement(t *testing.T) {
	list, err := Pipeline("int8")
	if err != nil {
		t.Fatal(err)
	}
	im := loadImages(t, "calib-images-idx3-ubyte.gz", 48)
	none := 0.0
	off := map[string]bool{"round-weights": true}
	decided := func(settings pass.QuantSettings) (same int, half []string) {
		m := load(t, "mbnet")
		l, err := pass.Run(context.Background(), m, list, pass.Options{Samples: im, Off: off, Settings: pass.Settings{Quant: settings}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := compare.Run(context.Background(), load(t, "mbnet"), m, im, compare.Options{Tensors: -1, Latency: -1})
		if err != nil {
			t.Fatal(err)
		}
		return int(math.Round(r.Agreement * 48)), append(l.Half, l.Float...)
	}
	before, _ := decided(pass.QuantSettings{WeightBits: 4, PerTensor: true, MinSQNR: -1})
	after, half := decided(pass.QuantSettings{WeightBits: 4, PerTensor: true, MaxDrop: &none})
	if before == 48 || after != 48 || len(half) == 0 {
		t.Errorf("%d of 48 agree in 4 bits, %d with %d layers in float", before, after, len(half))
	}
}

// A last layer that is next to nothing of the model and makes most of the noise
// stays float, unless what is asked for is integers only.
func TestLastLayerStaysFloat(t *testing.T) {
	const gru = `g (float[5,1,104] x, float[1,312,104] w1, float[1,312,104] w2, float[104,%d] w3) => (float[5,1,1,%[1]d] y) { h = GRU<hidden_size=104>(x, w1, w2) y = MatMul(h, w3) }`
	for _, c := range []struct {
		name   string
		units  int // of the last layer
		also   []string
		floats bool
	}{
		{"cheap", 6, nil, true},
		{"not cheap", 24, nil, false},
		{"integers only", 6, []string{"qoperator"}, false},
	} {
		list, err := Select(slices.Concat(int8Passes, c.also, []string{"dead-code"}))
		if err != nil {
			t.Fatal(err)
		}
		m, src := quantizeCase(t, fmt.Sprintf(gru, c.units))
		for _, name := range []string{"w1", "w2"} { // gates that are not saturated
			for w, i := m.Graph.Find(name).Const().Float32s(), 0; i < len(w); i++ {
				w[i] /= 10
			}
		}
		l, err := pass.Run(context.Background(), m, list, pass.Options{Samples: src})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(l.Half)+len(l.Float) > 0; got != c.floats {
			t.Errorf("%s: float is %v, want %v\n%v", c.name, got, c.floats, l.Entries)
		}
	}
}

package compare

import (
	"context"
	"math"
	"strings"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

const scaled = `<ir_version: 8, opset_import: ["": 17]>
g (float[N, 3] x) => (float[N, 3] y) <float[3] w = {FACTORS}> {
  h = Mul (x, w)
  y = Neg (h)
}`

func model(t testing.TB, text, factors string) *graph.Model {
	t.Helper()
	m, err := graph.Parse(strings.ReplaceAll(text, "FACTORS", factors))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// table is samples of three values.
type table [][3]float32

func (s table) Len() int       { return len(s) }
func (s table) BatchSize() int { return 0 }
func (s table) Values(from, to int) ([]tensor.Value, error) {
	var v []float32
	for _, row := range s[from:to] {
		v = append(v, row[:]...)
	}
	return []tensor.Value{tensor.Of([]int{to - from, 3}, v)}, nil
}

var rows3 = table{{-3, -1, -2}, {-1, -4, -2}, {-1, -2, -3}, {-2, -1, -1.5}}

func TestEqualModels(t *testing.T) {
	r, err := Run(context.Background(), model(t, scaled, "1,1,1"), model(t, scaled, "1,1,1"), rows3, Options{Labels: []int{0, 1, 2, 1}, Latency: -1, Batch: 3})
	if err != nil {
		t.Fatal(err)
	}
	if r.Agreement != 1 || len(r.Flips) != 0 || r.FirstBad != "" || r.Top1.A != 0.75 || r.Top1.B != 0.75 {
		t.Errorf("%+v, top-1 %+v", r, r.Top1)
	}
}

// One channel halved: the error is half of that channel's signal, and the
// sample whose class it was changes.
func TestUnequalModels(t *testing.T) {
	r, err := Run(context.Background(), model(t, scaled, "1,1,1"), model(t, scaled, "1,1,0.5"), rows3, Options{Latency: -1})
	if err != nil {
		t.Fatal(err)
	}
	var signal, noise float64
	for _, row := range rows3 {
		for _, x := range row {
			signal += float64(x) * float64(x)
		}
		noise += float64(row[2]) * float64(row[2]) / 4
	}
	want := 10 * math.Log10(signal/noise)
	if got := r.Outputs[0].SQNR; math.Abs(got-want) > 1e-6 {
		t.Errorf("SQNR %v, want %v", got, want)
	}
	if r.Agreement != 0.75 || len(r.Flips) != 1 || r.Flips[0].Sample != 2 || r.Flips[0].A != 2 || r.Flips[0].B != 1 {
		t.Errorf("agreement %v, flips %+v", r.Agreement, r.Flips)
	}
}

func TestFirstBadLayer(t *testing.T) {
	r, err := Run(context.Background(), model(t, scaled, "1,1,1"), model(t, scaled, "1,1,-1"), rows3, Options{Latency: -1})
	if err != nil {
		t.Fatal(err)
	}
	if r.FirstBad != "h" {
		t.Errorf("first bad layer %q", r.FirstBad)
	}
}

func TestErrorsNameTheModel(t *testing.T) {
	bad := model(t, strings.Replace(scaled, "Neg", "Frobnicate", 1), "1,1,1")
	_, err := Run(context.Background(), model(t, scaled, "1,1,1"), bad, rows3, Options{Names: [2]string{"", "b.onnx"}})
	if err == nil || !strings.HasPrefix(err.Error(), "b.onnx: node Frobnicate y: unknown operator Frobnicate") {
		t.Errorf("error %v", err)
	}
}

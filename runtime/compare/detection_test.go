package compare

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/samples"
)

// fixed is one sample.
type fixed []tensor.Value

func (f fixed) Len() int                                { return 1 }
func (f fixed) BatchSize() int                          { return 1 }
func (f fixed) Values(int, int) ([]tensor.Value, error) { return f, nil }

// detector model: the three best of five scores, with their boxes; b moves
// what is seen.
func topBoxes(t *testing.T, b string) *graph.Model {
	t.Helper()
	if !strings.Contains(b, ",") {
		b = strings.Repeat(b+",", 4) + b
	}
	m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 17]> g (float[5] x, float[5,4] p) => (float[3,4] boxes, float[3] scores, int64[3] labels)
		<float[5] b = {` + b + `}, int64[1] k = {3}, int64[5] kinds = {1,1,2,2,1}> {
		s = Sub(x, b) r = Relu(s) q = Relu(p) scores, i = TopK(r, k) boxes = Gather(q, i) labels = Gather(kinds, i) }`)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCandidatesOfChosenOutputs(t *testing.T) {
	values, chosen := Candidates(topBoxes(t, "0"))
	var names []string
	for _, v := range values {
		names = append(names, v.Name)
	}
	if !slices.Equal(names, []string{"r", "q"}) || len(chosen) != 3 {
		t.Errorf("candidates %v, %d chosen outputs", names, len(chosen))
	}
}

func TestDetection(t *testing.T) {
	in := fixed{tensor.Vector[float32](0.9, 0.8, 0.7, 0.2, 0.1),
		tensor.Of([]int{5, 4}, []float32{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9})}
	r, err := Run(context.Background(), topBoxes(t, "0"), topBoxes(t, "0.05"), in, Options{Latency: -1})
	if err != nil {
		t.Fatal(err)
	}
	d := r.Detection
	if d == nil || d.MAP != 1 || d.Matched != 1 || d.IoU != 1 || math.Abs(d.Score-0.05) > 1e-6 || d.Boxes != (Pair{3, 3}) {
		t.Errorf("%+v", d)
	}
	if len(r.Candidates) != 2 || len(r.Chosen) != 3 {
		t.Errorf("candidates %v of %v", r.Candidates, r.Chosen)
	}
}

// Boxes of another class or place are wrong, and each box is found once.
func TestBoxesAreMatchedOnce(t *testing.T) {
	d := &detector{found: [2][]box{
		{{class: 1, score: 0.9, at: [4]float64{0, 0, 2, 2}}, {class: 1, score: 0.8, at: [4]float64{4, 4, 6, 6}}, {class: 2, score: 0.7, at: [4]float64{0, 0, 2, 2}},
			{class: 3, score: 0.1, at: [4]float64{0, 0, 9, 9}}}, // too weak to count
		{{class: 1, score: 0.9, at: [4]float64{0, 0, 2, 1.5}}, {class: 1, score: 0.8, at: [4]float64{0, 0, 2, 2}}, {class: 1, score: 0.7, at: [4]float64{4, 4, 6, 6}},
			{class: 2, score: 0.6, at: [4]float64{1, 1, 3, 3}}},
	}}
	r := d.result(nil)
	// Class 1: right, wrong (found already), right: 0.5*1 + 0.5*2/3. Class 2: IoU 1/7.
	if want := (0.5 + 0.5*2.0/3) / 2; math.Abs(r.MAP-want) > 1e-12 || math.Abs(r.Matched-2.0/3) > 1e-12 || math.Abs(r.IoU-(0.75+1)/2) > 1e-12 {
		t.Errorf("%+v, want mAP %g", r, want)
	}
}

func TestDetectionAgainstLabels(t *testing.T) {
	in := fixed{tensor.Vector[float32](0.9, 0.8, 0.7, 0.2, 0.1),
		tensor.Of([]int{5, 4}, []float32{0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9})}
	right := [][]samples.Box{{{Class: 1, At: [4]float64{0, 0, 1, 1}}, {Class: 2, At: [4]float64{6, 6, 7, 7}}}}
	r, err := Run(context.Background(), topBoxes(t, "0"), topBoxes(t, "0.6,0.6,0.6,0,0"), in, Options{Latency: -1, Boxes: right})
	if err != nil {
		t.Fatal(err)
	}
	// A finds the boxes of scores 0.9, 0.8, 0.7: one of two. B's third best is the second object.
	if l := r.Detection.Labelled; l == nil || *l != (Pair{0.5, 1}) {
		t.Errorf("%+v", r.Detection.Labelled)
	}
	if _, err := Run(context.Background(), topBoxes(t, "0"), topBoxes(t, "0"), in, Options{Latency: -1, Boxes: make([][]samples.Box, 2)}); err == nil {
		t.Error("boxes of two samples for one")
	}
}

func TestRegressionFigures(t *testing.T) {
	var x Tensor
	x.add([]float32{1, 2, 3, 4}, []float32{1, 2, 3, 6})
	x.finish()
	if x.MSE != 1 || x.MAE != 0.5 || math.Abs(x.R2-0.2) > 1e-12 { // variance 5, squared error 4
		t.Errorf("MSE %g, MAE %g, R2 %g", x.MSE, x.MAE, x.R2)
	}
}

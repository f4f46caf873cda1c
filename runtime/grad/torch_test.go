package grad

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"onnxopt/onnx"
	"onnxopt/onnx/tensor"
)

// TestAgainstTorch is the Go half of testdata/torch_grad.py, which sets
// ONNXOPT_TORCH to a folder with model.onnx, input.f32 of [N,1,28,28] and
// cotangent.f32; this half writes NAME.f32 with the gradient of each parameter,
// and the milliseconds of the fastest of some steps to steps.txt.
func TestAgainstTorch(t *testing.T) {
	dir := os.Getenv("ONNXOPT_TORCH")
	if dir == "" {
		t.Skip("run by runtime/grad/testdata/torch_grad.py")
	}
	m, err := onnx.Load(filepath.Join(dir, "model.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	x, cotangent := readFloats(t, dir, "input"), readFloats(t, dir, "cotangent")
	p, err := Compile(m, []tensor.Value{tensor.Of([]int{len(x) / 784, 1, 28, 28}, x)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	best := math.Inf(1)
	for range 5 {
		copy(p.Input(0), x)
		start := time.Now()
		if err := p.Forward(); err != nil {
			t.Fatal(err)
		}
		copy(p.OutputGrad(0), cotangent)
		p.Backward()
		best = min(best, time.Since(start).Seconds()*1e3)
	}
	for _, q := range p.Params {
		b := make([]byte, 4*len(q.Grad))
		for i, g := range q.Grad {
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(g))
		}
		if err := os.WriteFile(filepath.Join(dir, q.Name+".f32"), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "steps.txt"), []byte(strconv.FormatFloat(best, 'f', 4, 64)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readFloats(t *testing.T, dir, name string) []float32 {
	b, err := os.ReadFile(filepath.Join(dir, name+".f32"))
	if err != nil {
		t.Fatal(err)
	}
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

package onnx

import (
	"os"
	"testing"

	"onnxopt/onnx/tensor"
)

// Large tensors are copied to the file, which has no name; small ones stay.
func TestScratch(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenScratch(dir)
	if err != nil {
		t.Fatal(err)
	}
	large := []*tensor.Tensor{tensor.New(tensor.Uint8, 1<<20+1), tensor.New(tensor.Float32, 1<<18)}
	for i, x := range large {
		x.Bytes()[7] = byte(i + 1)
		kept := s.Keep(x)
		if !kept.Equal(x) || canMap && kept == x {
			t.Errorf("%v became %v", x, kept)
		}
		large[i] = kept
	}
	small := tensor.New(tensor.Float32, 3)
	if s.Keep(small) != small {
		t.Error("a small tensor was moved")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v in the folder, %v", left, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i, x := range large {
		if x.Bytes()[7] != byte(i+1) {
			t.Error("changed when the file was closed")
		}
	}
	if x := tensor.New(tensor.Float32, 1<<18); s.f != nil && s.Keep(x) != x {
		t.Error("kept in a closed file")
	}
}

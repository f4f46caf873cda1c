package samples

import (
	"testing"

	"onnxopt/onnx/tensor"
)

const mnist = "../../models/mnist"

// TestMNIST opens the shipped data by role.
func TestMNIST(t *testing.T) {
	in := []Input{{Name: "x", Type: tensor.Float32, Shape: []int{-1, 1, 28, 28}}}
	for _, c := range []struct {
		role Role
		n    int
	}{{Calibration, 1000}, {Evaluation, 10000}} {
		s, err := Open(mnist, in, Options{Role: c.role})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if s.Len() != c.n || s.BatchSize() != 0 {
			t.Errorf("%d samples, batch size %d", s.Len(), s.BatchSize())
		}
		last, err := s.Values(c.n-3, c.n)
		if err != nil {
			t.Fatal(err)
		}
		first, err := s.Values(0, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got := first[0].(*tensor.Tensor).String(); got != "float[64 1 28 28]" {
			t.Error(got)
		}
		if got := last[0].(*tensor.Tensor).String(); got != "float[3 1 28 28]" {
			t.Error(got)
		}
		labels, err := s.Labels()
		if err != nil {
			t.Fatal(err)
		}
		if c.role == Calibration {
			if labels != nil {
				t.Error("the calibration images have labels")
			}
			continue
		}
		given, err := Labels(mnist, s)
		if err != nil || len(given) != c.n || given[0] != 7 || labels[1] != 2 {
			t.Errorf("%d labels: %v", len(given), err)
		}
	}
	if _, err := Open(mnist, in, Options{}); err == nil {
		t.Error("no role, two sets of images: no error")
	}
}

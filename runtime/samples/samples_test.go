package samples

import (
	"archive/zip"
	"os"
	"path/filepath"
	"runtime"
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

// TestMemory reads 64 MiB of samples from a compressed npz and all MNIST
// images: the heap stays that of a batch.
func TestMemory(t *testing.T) {
	const n, side = 4096, 64
	path := filepath.Join(t.TempDir(), "big.npz")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	w, err := z.CreateHeader(&zip.FileHeader{Name: "x.npy", Method: zip.Deflate})
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteNPY(w, tensor.New(tensor.Float32, n, 1, side, side)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for _, c := range []struct {
		path string
		side int
	}{{path, side}, {mnist, 28}} {
		in := []Input{{Name: "x", Type: tensor.Float32, Shape: []int{-1, 1, c.side, c.side}}}
		s, err := Open(c.path, in, Options{Role: Evaluation})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		var start, now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&start)
		for i := 0; i < s.Len(); i += 64 {
			if _, err := s.Batch(i, min(i+64, s.Len())); err != nil {
				t.Fatal(err)
			}
			if i%1024 == 0 {
				runtime.GC()
				runtime.ReadMemStats(&now)
				if now.HeapAlloc > start.HeapAlloc+8<<20 {
					t.Fatalf("%s: heap grows by %d bytes at sample %d", c.path, now.HeapAlloc-start.HeapAlloc, i)
				}
			}
		}
	}
}

func BenchmarkMNIST(b *testing.B) {
	in := []Input{{Name: "x", Type: tensor.Float32, Shape: []int{-1, 1, 28, 28}}}
	s, err := Open(mnist, in, Options{Role: Evaluation})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		for i := 0; i < s.Len(); i += 100 {
			if _, err := s.Batch(i, i+100); err != nil {
				b.Fatal(err)
			}
		}
	}
}

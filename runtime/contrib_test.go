package runtime

import (
	"os"
	"path/filepath"
	"testing"

	"onnxopt/onnx"
	"onnxopt/onnx/shape"
)

// TestContrib compares the operators of com.microsoft with what onnxruntime
// computed for the cases of testdata/contrib.py, which lie in the folder that
// ONNXOPT_CONTRIB names. Quantized
// outputs are equal.
func TestContrib(t *testing.T) {
	root := os.Getenv("ONNXOPT_CONTRIB")
	if root == "" {
		if os.Getenv("CI") != "" {
			t.Fatal("ONNXOPT_CONTRIB is not set: run make test")
		}
		t.Skip("ONNXOPT_CONTRIB is not set")
	}
	cases, err := filepath.Glob(filepath.Join(root, "*", "model.onnx"))
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases in %s: %v", root, err)
	}
	for _, path := range cases {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			for _, reference := range []bool{true, false} {
				if err := runCase(dir, Options{Reference: reference}); err != nil {
					t.Errorf("reference %v: %v", reference, err)
				}
			}
			m, err := onnx.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			s := shape.Infer(m) // the file declares what onnxruntime computed
			for _, err := range s.Conflicts {
				t.Error(err)
			}
			for _, v := range m.Graph.Outputs() {
				if _, ok := s.Type(v).Static(); !ok {
					t.Errorf("output %s: inferred %v", v.Name, s.Type(v))
				}
			}
		})
	}
}

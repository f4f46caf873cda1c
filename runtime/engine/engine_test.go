package engine

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"onnxopt/onnx"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime"
)

// TestMain is also the helper onnxopt-echo, which gives back its inputs.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) != "onnxopt-echo" {
		os.Exit(m.Run())
	}
	if strings.Contains(os.Args[2], "broken") {
		fmt.Println("error no such model")
		os.Exit(1)
	}
	fmt.Println("ready 5 version 1")
	in := bufio.NewReader(os.Stdin)
	for {
		var n int64
		if binary.Read(in, binary.LittleEndian, &n) != nil {
			return
		}
		fmt.Println("ok 7")
		binary.Write(os.Stdout, binary.LittleEndian, n)
		for range n {
			head := make([]int64, 2)
			binary.Read(in, binary.LittleEndian, head)
			rest := make([]int64, head[1]+1)
			binary.Read(in, binary.LittleEndian, rest)
			binary.Write(os.Stdout, binary.LittleEndian, append(head, rest...))
			io.CopyN(os.Stdout, in, rest[head[1]])
		}
	}
}

func TestEcho(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "onnxopt-echo")); err != nil {
		t.Skip(err)
	}
	t.Setenv("PATH", dir)
	ctx := context.Background()
	if _, err := Start(ctx, "none", "m.onnx", Options{}); err == nil || !strings.Contains(err.Error(), "onnxopt-none is neither beside onnxopt nor on the PATH") {
		t.Error(err)
	}
	if _, err := Start(ctx, "echo", "m.onnx", Options{}); err == nil || !strings.Contains(err.Error(), "set ONNXOPT_ECHO") {
		t.Error(err)
	}
	if _, err := Start(ctx, "echo", "broken.onnx", Options{Library: self}); err == nil || err.Error() != "engine echo: no such model" {
		t.Error(err)
	}
	e, err := Start(ctx, "echo", "m.onnx", Options{Library: self})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.Version != "version 1" || e.Load != 5 {
		t.Errorf("%+v", e)
	}
	a, b := tensor.New(tensor.Float32, 2, 3), tensor.New(tensor.Int64)
	tensor.View[float32](a)[4] = 2.5
	tensor.View[int64](b)[0] = -7
	for range 2 {
		out, took, err := e.Run([]tensor.Value{a, b})
		if err != nil || took != 7 || len(out) != 2 || !out[0].Equal(a) || !out[1].Equal(b) {
			t.Fatal(out, took, err)
		}
	}
}

// TestOnnxruntime compares a shipped model with onnxruntime, where the helper and the library are (make test-engine).
func TestOnnxruntime(t *testing.T) {
	const model = "../../models/lenet5.onnx"
	if _, err := exec.LookPath("onnxopt-onnxruntime"); err != nil || os.Getenv("ONNXOPT_ONNXRUNTIME") == "" {
		t.Skip("no onnxruntime")
	}
	e, err := Start(context.Background(), "onnxruntime", model, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	m, err := onnx.Load(model)
	if err != nil {
		t.Fatal(err)
	}
	s, err := runtime.Compile(m, runtime.Options{})
	if err != nil {
		t.Fatal(err)
	}
	x := tensor.New(tensor.Float32, 2, 1, 28, 28)
	for i := range tensor.View[float32](x) {
		tensor.View[float32](x)[i] = float32(math.Sin(float64(i)))
	}
	want, err := s.Run(context.Background(), []tensor.Value{x})
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := e.Run([]tensor.Value{x})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range want[0].(*tensor.Tensor).Float32s() {
		if math.Abs(float64(got[0].Float32s()[i]-v)) > 1e-4 {
			t.Fatalf("element %d is %v there, %v here", i, got[0].Float32s()[i], v)
		}
	}
}

//go:build unix

package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"onnxopt/onnx"
	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/samples"
)

// chain is a model of n nodes.
func chain(n int) *graph.Model {
	g := graph.New("g")
	m := &graph.Model{IRVersion: 10, Opsets: []graph.Opset{{Version: 20}}, Graph: g}
	x := g.AddInput("x", graph.TensorOf(tensor.Float32, dim.Sym("N"), dim.Of(4)))
	v := x
	for i := range n {
		v = g.Add(nil, []string{"Add", "Mul", "Sub"}[i%3], "v", []*graph.Value{v, x})
	}
	v.Type = x.Type
	g.AddOutput(v)
	return m
}

// Every verb that computes ends within a second after --timeout or an
// interrupt, with one line, and leaves nothing.
func TestVerbsEnd(t *testing.T) {
	work := t.TempDir()
	models, err := filepath.Abs("../../models")
	if err != nil {
		t.Fatal(err)
	}
	save := func(name string, m *graph.Model) string {
		path := filepath.Join(work, name)
		if err := onnx.Save(m, path, onnx.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		return path
	}
	vit, mnist := models+"/tinyvit.onnx", models+"/mnist"
	long, noise, deep := save("long.onnx", chain(300_000)), save("noise.onnx", stack(3, 700, 1)), save("deep.onnx", stack(40, 700, 1))
	rows := filepath.Join(work, "rows.npy")
	f, err := os.Create(rows)
	if err != nil {
		t.Fatal(err)
	}
	if err := samples.WriteNPY(f, tensor.New(tensor.Float32, 20_000, 700)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for _, args := range [][]string{
		{"optimize", vit, "--data", mnist, "-o", "out.onnx"},
		{"quantize", vit, "--data", mnist, "-o", "out.onnx", "-q"},
		{"calibrate", vit, "--data", mnist, "-o", "out.cal"},
		{"lint", long},
		{"simplify", long, "-o", "out.onnx"},
		{"compress", vit, "--data", mnist, "-o", "out.onnxz"},
		{"distill", vit, "--data", mnist, "--prune-channels", "0.5", "-o", "out.onnx"},
		{"bisect", deep, "--data", rows},
		{"inspect", long},
		{"compare", deep, deep, "--data", rows},
		{"run", deep, "--data", rows, "-o", "out.npz"},
		{"bench", vit},
		{"check", long},
		{"convert", long, "--opset", "21", "-o", "out.onnx"},
		{"pack", noise, "-o", "out.onnxz"},
	} {
		for _, how := range []string{"--timeout", "interrupt"} {
			if args[0] != "optimize" && (how == "interrupt") != slices.Contains(args, "-o") {
				continue // interrupts where there is something to write
			}
			t.Run(args[0]+" "+how, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				all := args
				if how == "--timeout" {
					all = append(slices.Clone(args), "--timeout", "100ms")
				}
				c := tool(dir, all...)
				var stderr bytes.Buffer
				c.Stdout, c.Stderr = io.Discard, &stderr
				if err := c.Start(); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if how == "interrupt" {
					time.Sleep(200 * time.Millisecond)
					start = time.Now()
					_ = c.Process.Signal(syscall.SIGINT)
				}
				_ = c.Wait()
				took := time.Since(start)
				lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
				want := map[string]string{"--timeout": "onnxopt: not done after --timeout 100ms", "interrupt": "onnxopt: interrupted: no file was written in part"}[how]
				if c.ProcessState.ExitCode() != 1 || lines[len(lines)-1] != want {
					t.Errorf("exit code %d, %s", c.ProcessState.ExitCode(), stderr.String())
				}
				if took > 3*time.Second {
					t.Errorf("took %v", took)
				}
				left, err := os.ReadDir(dir)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range left {
					if !strings.HasSuffix(e.Name(), ".checkpoint") {
						t.Errorf("left %s", e.Name())
					}
				}
			})
		}
	}
}

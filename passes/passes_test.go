package passes

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/runtime"
)

func TestTableKeepsOrder(t *testing.T) {
	at := func(name string) int {
		return slices.IndexFunc(Table, func(p pass.Pass) bool { return p.Name == name })
	}
	for _, b := range Order {
		if i, j := at(b.First), at(b.Then); i < 0 || j < 0 || i >= j {
			t.Errorf("%s must run before %s: %s", b.First, b.Then, b.Why)
		}
	}
}

var shipped = []string{"lenet300", "lenet5", "resnet8", "mbnet", "tinyvit"}

// images is the first n test or calibration images as [n,1,28,28] float32.
type images struct{ data []float32 }

func loadImages(t *testing.T, name string, n int) images {
	t.Helper()
	f, err := os.Open("../models/mnist/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16+n*784)
	if _, err := io.ReadFull(z, b); err != nil {
		t.Fatal(err)
	}
	d := make([]float32, n*784)
	for i, p := range b[16:] {
		d[i] = float32(p) / 255
	}
	return images{d}
}

func (im images) Len() int { return len(im.data) / 784 }

func (im images) BatchSize() int { return 0 }

func (im images) Values(from, to int) ([]tensor.Value, error) {
	return []tensor.Value{tensor.Of([]int{to - from, 1, 28, 28}, im.data[from*784:to*784])}, nil
}

func logits(t *testing.T, m *graph.Model, im images, o runtime.Options) []float32 {
	t.Helper()
	s, err := runtime.Compile(m, o)
	if err != nil {
		t.Fatal(err)
	}
	in, _ := im.Values(0, im.Len())
	out, err := s.Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out[0].(*tensor.Tensor).Float32s()
}

// allocations is how many a run makes on the same tensors as those before it.
func allocations(t *testing.T, m *graph.Model, im images, threads int) float64 {
	t.Helper()
	s, err := runtime.Compile(m, runtime.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	in, _ := im.Values(0, im.Len())
	out := make([]tensor.Value, len(m.Graph.Outputs()))
	run := func() {
		if err := s.RunInto(context.Background(), in, out); err != nil {
			t.Fatal(err)
		}
	}
	run() // plans the memory
	run() // keeps the jobs
	least := testing.AllocsPerRun(1, run)
	for range 3 { // other goroutines allocate too
		least = min(least, testing.AllocsPerRun(1, run))
	}
	return least
}

func load(t *testing.T, name string) *graph.Model {
	t.Helper()
	m, err := onnx.Load("../models/" + name + ".onnx")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// largest is the greatest absolute difference relative to the largest value.
func largest(a, b []float32) float64 {
	var diff, top float32
	for i := range a {
		diff, top = max(diff, a[i]-b[i], b[i]-a[i]), max(top, a[i], -a[i])
	}
	return float64(diff / top)
}

// Every pass that promises equal outputs keeps them, on every shipped model.
func TestPassesKeepOutputs(t *testing.T) {
	im := loadImages(t, "t10k-images-idx3-ubyte.gz", 8)
	for _, name := range shipped {
		want := logits(t, load(t, name), im, runtime.Options{Reference: true})
		if d := largest(want, logits(t, load(t, name), im, runtime.Options{})); d > 1e-5 {
			t.Errorf("%s: fast paths differ from the reference by %.2g", name, d)
		}
		m := load(t, name)
		list, err := Pipeline("simplify")
		if err != nil {
			t.Fatal(err)
		}
		ledger, err := pass.Run(context.Background(), m, list, pass.Options{Verify: func(m *graph.Model) error {
			if d := largest(want, logits(t, m, im, runtime.Options{Reference: true})); d > 1e-5 {
				return fmt.Errorf("outputs moved by %.2g", d)
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range ledger.Entries {
			if e.Action == pass.Warning {
				t.Errorf("%s: %v", name, e)
			}
		}
		again, err := pass.Run(context.Background(), m, list, pass.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if n := again.Changes(""); n != 0 {
			t.Errorf("%s: a second run made %d changes: %v", name, n, again.Entries)
		}
	}
}

// The integer fast path computes what the reference computes from the same
// quantized file, up to the rounding of ties.
func TestIntegerMatchesReference(t *testing.T) {
	im := loadImages(t, "t10k-images-idx3-ubyte.gz", 8)
	for _, name := range shipped {
		m := load(t, name)
		list, err := Pipeline("int8")
		if err != nil {
			t.Fatal(err)
		}
		calib := loadImages(t, "calib-images-idx3-ubyte.gz", 50)
		if _, err := pass.Run(context.Background(), m, list, pass.Options{Samples: calib}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ref := logits(t, m, im, runtime.Options{Reference: true})
		fast := logits(t, m, im, runtime.Options{})
		float := logits(t, load(t, name), im, runtime.Options{})
		if d := largest(ref, fast); d > 0.02 {
			t.Errorf("%s: integers differ from the reference by %.3g", name, d)
		}
		if d := largest(float, fast); d > 0.2 {
			t.Errorf("%s: int8 moved the outputs by %.3g", name, d)
		}
		for threads := 1; threads <= 2; threads++ {
			if n := allocations(t, m, im, threads); n != 0 {
				t.Errorf("%s: %v allocations in a run of the quantized model on %d threads", name, n, threads)
			}
		}
	}
}

// Simplifying a quantized model takes no quantization away: its outputs keep
// every bit, and integers that were stored stay stored.
func TestSimplifyKeepsQuantization(t *testing.T) {
	im := loadImages(t, "t10k-images-idx3-ubyte.gz", 8)
	count := func(m *graph.Model) map[string]int {
		n := map[string]int{}
		for k := range m.Graph.All() {
			n[k.Op]++
		}
		return n
	}
	for _, name := range shipped {
		m := load(t, name)
		for i, preset := range []string{"int8", "simplify"} {
			before, size := count(m), onnx.Size(m)
			want := logits(t, m, im, runtime.Options{})
			list, err := Pipeline(preset)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := pass.Run(context.Background(), m, list, pass.Options{Samples: loadImages(t, "calib-images-idx3-ubyte.gz", 20)}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if i == 0 {
				continue
			}
			if !slices.Equal(want, logits(t, m, im, runtime.Options{})) {
				t.Errorf("%s: outputs changed", name)
			}
			for op, n := range count(m) {
				if strings.HasSuffix(op, "Linear") && n != before[op] || n > before[op] {
					t.Errorf("%s: %d %s were %d", name, n, op, before[op])
				}
			}
			if now := onnx.Size(m); now > size {
				t.Errorf("%s: %d bytes were %d", name, now, size)
			}
		}
	}
}

// Mild pruning and large codebooks leave the answers to eight images alone.
func TestMildLossKeepsAnswers(t *testing.T) {
	im := loadImages(t, "t10k-images-idx3-ubyte.gz", 8)
	mild := map[string]pass.Settings{
		"prune-magnitude": {Prune: pass.PruneSettings{Sparsity: 0.2}},
		"cluster-weights": {Cluster: pass.ClusterSettings{Values: 64}},
	}
	for _, name := range shipped {
		want := logits(t, load(t, name), im, runtime.Options{})
		for lossy, settings := range mild {
			m := load(t, name)
			list, err := Pipeline("simplify", lossy)
			if err != nil {
				t.Fatal(err)
			}
			ledger, err := pass.Run(context.Background(), m, list, pass.Options{Settings: settings})
			if err != nil {
				t.Fatal(err)
			}
			if ledger.Changes(lossy) == 0 {
				t.Errorf("%s: %s changed nothing", name, lossy)
			}
			got := logits(t, m, im, runtime.Options{Reference: true})
			for i := range im.Len() {
				a, b := want[i*10:i*10+10], got[i*10:i*10+10]
				if slices.Index(a, slices.Max(a)) != slices.Index(b, slices.Max(b)) {
					t.Errorf("%s: %s changed the answer to image %d", name, lossy, i)
				}
			}
		}
	}
}

// At the same number of zeros, fitting the weights that stay brings the outputs
// nearer to the original's than pruning by magnitude.
func TestReconstructBeatsMagnitude(t *testing.T) {
	calib, im := loadImages(t, "calib-images-idx3-ubyte.gz", 100), loadImages(t, "t10k-images-idx3-ubyte.gz", 100)
	for _, name := range shipped {
		want := logits(t, load(t, name), im, runtime.Options{})
		for _, s := range []pass.PruneSettings{{Sparsity: 0.5}, {N: 2, M: 4}} {
			var noise [2]float64
			var zeros [2]int
			for i, how := range []string{"prune-magnitude", "prune-reconstruct"} {
				m := load(t, name)
				list, err := Pipeline("simplify", how)
				if err != nil {
					t.Fatal(err)
				}
				ledger, err := pass.Run(context.Background(), m, list, pass.Options{Settings: pass.Settings{Prune: s}, Samples: calib})
				if err != nil {
					t.Fatal(err)
				}
				if ledger.Changes(how) == 0 {
					t.Errorf("%s: %s changed nothing", name, how)
				}
				for v := range m.Graph.Initializers() {
					if c := v.Const(); c != nil && c.Rank() > 1 && c.Type == tensor.Float32 {
						for _, x := range c.Float32s() {
							if x == 0 {
								zeros[i]++
							}
						}
					}
				}
				for k, y := range logits(t, m, im, runtime.Options{}) {
					noise[i] += float64(y-want[k]) * float64(y-want[k])
				}
			}
			t.Logf("%s %+v: %d and %d zeros, noise %.3g of magnitude's", name, s, zeros[0], zeros[1], noise[1]/noise[0])
			if zeros[0] != zeros[1] || noise[1] > 0.5*noise[0] {
				t.Errorf("%s %+v: %d and %d zeros, noise %g and %g", name, s, zeros[0], zeros[1], noise[0], noise[1])
			}
		}
	}
}

package compress

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/distill"
	"onnxopt/runtime/samples"
)

// setup is the smallest network and the 1,000 unlabeled images shipped.
func setup(t *testing.T, threads int, progress func(stage string, done int)) (*graph.Model, *Task) {
	t.Helper()
	m, err := onnx.Load("../../models/lenet300.onnx")
	if err != nil {
		t.Fatal(err)
	}
	return m, taskOf(t, m, threads, progress)
}

// taskOf is those images with the answers of m.
func taskOf(t *testing.T, m *graph.Model, threads int, progress func(stage string, done int)) *Task {
	t.Helper()
	set, err := samples.Open("../../models/mnist/calib-images-idx3-ubyte.gz",
		[]samples.Input{{Name: "input", Type: tensor.Float32, Shape: []int{-1, 1, 28, 28}}}, samples.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	data, err := distill.Load(set, nil)
	if err != nil {
		t.Fatal(err)
	}
	task, err := NewTask(context.Background(), m, data, 3, threads, func(stage string, _ float64, done, _ int, _ distill.Scores) { progress(stage, done) })
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func options() Options {
	return Options{Recipe: Recipe{PruneSteps: 80, RungSteps: 40, RefineSteps: 40, ShareSteps: 40, Batch: 32, Augment: distill.Augment{Shift: 1}},
		MaxDrop: 100, Density: 0.2, Step: 0.5, Rungs: 2,
		Size: func(m *graph.Model) (int, error) { b, err := onnx.Marshal(m); return len(b), err }}
}

func searchBytes(t *testing.T, ctx context.Context, m *graph.Model, task *Task, o Options) ([]byte, *Result, error) {
	t.Helper()
	r, err := Search(ctx, m, task, o)
	if err != nil {
		return nil, nil, err
	}
	b, err := onnx.Marshal(r.Model)
	if err != nil {
		t.Fatal(err)
	}
	return b, r, nil
}

func TestSearch(t *testing.T) {
	m, task := setup(t, 1, func(string, int) {})
	want, r, err := searchBytes(t, context.Background(), m, task, options())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Seen) != 4 || r.Chosen.Stage != "share" || r.Chosen.Density != 0.1 {
		t.Fatalf("saw %+v", r.Seen)
	}
	if a := r.Chosen.Measure.Held.Agreement; a < 0.6 {
		t.Errorf("agreement on held samples %.2f", a)
	}
	kept, total := 0, 0
	for v := range m.Graph.Initializers() {
		if prunable(v.Const().Shape) {
			total += v.Const().Len()
		}
	}
	for v := range r.Model.Graph.Initializers() {
		values := map[float32]bool{}
		for _, w := range v.Const().Float32s() {
			if w == 0 && math.Signbit(float64(w)) {
				t.Fatalf("%s holds -0", v.Name)
			}
			if values[w] = true; w != 0 && prunable(v.Const().Shape) {
				kept++
			}
		}
		if prunable(v.Const().Shape) && len(values) > 9 {
			t.Errorf("%s has %d values, want 8 and zero", v.Name, len(values))
		}
	}
	if share := float64(kept) / float64(total); share > 0.101 || share < 0.05 {
		t.Errorf("%.3f of the weights kept, want 0.1", share)
	}
	t.Run("threads", func(t *testing.T) {
		m, task := setup(t, 3, func(string, int) {})
		if got, _, err := searchBytes(t, context.Background(), m, task, options()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("three threads give other bytes than one (%v)", err)
		}
	})
	t.Run("resume", func(t *testing.T) { resume(t, want) })
	t.Run("refused", func(t *testing.T) {
		o := options()
		o.MaxDrop = -1000
		_, r, err := searchBytes(t, context.Background(), m, task, o)
		if err != nil {
			t.Fatal(err)
		}
		var tried []float64
		for _, c := range r.Seen {
			if c.Stage == "share" {
				tried = append(tried, c.Density)
			}
		}
		if r.Chosen.Fits || !slices.IsSorted(tried) || tried[len(tried)-1] != o.Density {
			t.Errorf("tried densities %v, chose %+v", tried, r.Chosen)
		}
	})
}

func TestRise(t *testing.T) {
	c := []Candidate{{Density: 0.1, Loss: 0.2}, {Density: 0.05, Loss: 0.4}, {Density: 0.025, Loss: 0.6}}
	if got, want := rise(c), 0.2/math.Ln2; math.Abs(got-want) > 1e-12 {
		t.Errorf("%v points, want %v", got, want)
	}
	if got := rise(c[:1]); got != 0 {
		t.Errorf("one rung rises by %v", got)
	}
}

// resume kills the search three times, within a stage or at its end, and wants
// the bytes of one that runs through.
func resume(t *testing.T, want []byte) {
	o := options()
	o.Checkpoint = filepath.Join(t.TempDir(), "checkpoint")
	kills := 0
	for {
		ctx, cancel := context.WithCancel(context.Background())
		reports := 0
		m, task := setup(t, 1, func(stage string, done int) {
			if stage != "teacher" {
				if reports++; reports == 1 && kills < 3 {
					cancel()
				}
			}
		})
		task.SaveEvery = 20 * time.Millisecond
		got, _, err := searchBytes(t, ctx, m, task, o)
		cancel()
		if err == nil {
			if !bytes.Equal(got, want) {
				t.Error("a resumed search gives other bytes")
			}
			if _, err := os.Stat(o.Checkpoint); !os.IsNotExist(err) || kills == 0 {
				t.Errorf("%d kills; checkpoint after the end: %v", kills, err)
			}
			return
		}
		if kills++; !errors.Is(err, context.Canceled) || kills > 5 {
			t.Fatal(err)
		}
		o2 := o
		o2.Density = 0.3
		if _, err := Search(context.Background(), m, task, o2); err == nil {
			t.Fatal("a checkpoint of other options was taken")
		}
	}
}

func TestLoss(t *testing.T) {
	// Of 100 samples 4 are wrong against 2: 2 points, and a standard error of
	// sqrt(0.02*0.98/100).
	a, b := Measure{Wrong: make([]float32, 100), Views: 0.04, Plain: 0.04}, Measure{Wrong: make([]float32, 100), Views: 0.02}
	for i := range 4 {
		a.Wrong[i] = 1
	}
	b.Wrong[0], b.Wrong[1] = 1, 1
	for plain, want := range map[float64]float64{0.04: 3.4, 0.05: 3.4, 0.037: 3.1, 0: 2.9} {
		if a.Plain = plain; math.Abs(new(Task).Loss(a, b)-want) > 1e-4 {
			t.Errorf("lost %v points with %v wrong as they are, want %v", new(Task).Loss(a, b), plain, want)
		}
	}
	// Half a pixel costs the original 5 points, of which 2 count.
	a.Plain, b.Views = 0.04, 0.05
	if got := new(Task).Loss(a, b); math.Abs(got-100*(0.02+math.Sqrt((0.02-0.0001)/100))) > 1e-6 {
		t.Errorf("lost %v points beside an original that bears no half pixel", got)
	}
	for n, want := range map[int]int{2: 1, 100: 20, 5000: 1000, 8000: 1000, 60000: 6000} {
		if got := heldSamples(n); got != want {
			t.Errorf("%d of %d samples held out, want %d", got, n, want)
		}
	}
	r := Result{Seen: []Candidate{{Bytes: 9, Loss: 1}, {Loss: 0}, {Bytes: 12, Loss: 0.5}, {Bytes: 13, Loss: 0.7}}}
	if f := r.Front(); len(f) != 2 || f[0].Bytes != 9 || f[1].Bytes != 12 {
		t.Errorf("front %+v", f)
	}
}

// TestDistill: a training that is killed goes on to the same weights.
func TestDistill(t *testing.T) {
	run := func(checkpoint string, kill bool) (*graph.Model, error) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		m, task := setup(t, 1, func(stage string, done int) {
			if kill && stage == "distill" {
				cancel()
			}
		})
		task.SaveEvery = time.Millisecond
		_, _, err := Distill(ctx, m, task, distill.Options{Steps: 60, Batch: 32}, checkpoint)
		return m, err
	}
	want, err := run("", false)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "checkpoint")
	if _, err := run(file, true); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Fatal(err)
	}
	got, err := run(file, false)
	if err != nil {
		t.Fatal(err)
	}
	for v := range want.Graph.Initializers() {
		if x := got.Graph.Find(v.Name); x == nil || !bytes.Equal(x.Const().Bytes(), v.Const().Bytes()) {
			t.Errorf("%s has other weights after resuming", v.Name)
		}
	}
}

func TestLedger(t *testing.T) {
	// Figure 2 of the paper: gaps of at most 8 with 3 bits; weights at 1, 4, 15.
	counts, fillers := gapsOf([]int{1, 4, 15}, 3)
	if fillers != 1 || counts[1] != 1 || counts[2] != 2 || counts[7] != 1 {
		t.Errorf("gaps %v, %d fillers", counts, fillers)
	}
	if code, table := huffman(map[int]int{1: 1, 2: 1, 3: 2, 4: 4}); code != 14 || table != 20 {
		t.Errorf("Huffman code of %d bits, table of %d", code, table)
	}
	w := make([]float32, 400)
	for i := 0; i < 400; i += 20 {
		w[i] = float32(i%3) - 1.5
	}
	l := line("w", tensor.Of([]int{20, 20}, w))
	if l.Kept != 20 || l.Values != 3 || l.Weight != 2 || l.Float != 1600 || l.Index != 5 || l.Shared != (20*7+7)/8+12 {
		t.Errorf("%+v", l)
	}
}

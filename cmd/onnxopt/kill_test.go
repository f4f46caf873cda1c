//go:build unix

package main

import (
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"onnxopt/onnx"
	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// tool is the program as a process.
func tool(dir string, args ...string) *exec.Cmd {
	c := exec.Command("onnxopt", args...)
	c.Dir = dir
	return c
}

// stack is a model of layers of n by n weights that depend on seed, with nodes
// that simplify removes.
func stack(layers, n int, seed uint64) *graph.Model {
	r := rand.New(rand.NewPCG(seed, 1))
	g := graph.New("g")
	m := &graph.Model{IRVersion: 10, Opsets: []graph.Opset{{Version: 20}}, Graph: g}
	v := g.AddInput("x", graph.TensorOf(tensor.Float32, dim.Sym("N"), dim.Of(int64(n))))
	for range layers {
		w := make([]float32, n*n)
		for i := range w {
			w[i] = float32(r.NormFloat64()) / float32(n)
		}
		v = g.Add(nil, "MatMul", "v", []*graph.Value{v, g.AddInitializer("w", &graph.Data{Tensor: tensor.Of([]int{n, n}, w)})})
		v = g.Add(nil, "Identity", "v", []*graph.Value{v})
	}
	v.Type = graph.TensorOf(tensor.Float32, dim.Sym("N"), dim.Of(int64(n)))
	g.AddOutput(v)
	return m
}

// kills is how often a run is killed: ONNXOPT_KILLS times or few.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("ONNXOPT_KILLS")); err == nil {
		return n
	}
	return 12
}

// A run that is killed at any moment leaves the old output or the new one, which
// load with their data; what else it leaves is hidden or named after its
// contents, and gone after the next run.
func TestKill(t *testing.T) {
	models, err := filepath.Abs("../../models")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, out string
		external  bool
		share     int // of the kills, one in so many
		args      []string
	}{
		{"optimize", "out.onnx", true, 1, []string{"optimize", "MODEL", "-o", "out.onnx", "-q", "--save-recipe", "r.json"}},
		{"optimize int8", "out.onnx", false, 2, []string{"optimize", models + "/lenet300.onnx", "--data", models + "/mnist", "--calibration-samples", "50",
			"--samples", "50", "--method", "minmax", "-q", "-o", "out.onnx", "--force"}},
		{"simplify", "out.onnx", false, 2, []string{"simplify", "MODEL", "-o", "out.onnx", "--lock", "out.lock"}},
		{"pack", "out.onnxz", false, 4, []string{"pack", "MODEL", "-o", "out.onnxz"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := newKiller(t, c.out, c.external, c.args)
			for i := range max(2, kills()/c.share) {
				k.kill(i%2 == 1)
			}
			k.finish()
		})
	}
}

// killer kills runs that turn one of two outputs into the other.
type killer struct {
	*testing.T
	dir, out string
	args     [2][]string
	whole    [2]string   // the digest of the outputs
	files    [2][]string // what whole runs leave
	took     time.Duration
	next     int
	seen     [3]int // old, new, with something left beside it
	rand     *rand.Rand
}

func newKiller(t *testing.T, out string, external bool, args []string) *killer {
	k := &killer{T: t, dir: t.TempDir(), out: out, rand: rand.New(rand.NewPCG(1, 2))}
	in := t.TempDir()
	n := 500
	if filepath.Ext(out) != ".onnx" {
		n = 100 // packing is slow
	}
	for i, name := range []string{"a.onnx", "b.onnx"} {
		if err := onnx.Save(stack(3, n, uint64(i)), filepath.Join(in, name), onnx.SaveOptions{External: external}); err != nil {
			t.Fatal(err)
		}
		k.args[i] = slices.Clone(args)
		if at := slices.Index(args, "MODEL"); at >= 0 {
			k.args[i][at] = filepath.Join(in, name)
		} else if i == 1 {
			k.args[i] = append(k.args[i], "-d", "quantize-weights/off", "--skip", "Gemm_0")
			k.args[i] = append(k.args[i], "--per-tensor")
		}
	}
	for _, i := range []int{1, 0} {
		start := time.Now()
		if b, err := tool(k.dir, k.args[i]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		k.took = time.Since(start)
		k.whole[i], k.files[i] = k.digest(), k.list()
	}
	if k.whole[0] == k.whole[1] {
		t.Fatal("the two outputs are equal")
	}
	k.next = 1
	return k
}

// digest is that of the output with its external data.
func (k *killer) digest() string {
	k.Helper()
	path := filepath.Join(k.dir, k.out)
	h := sha256.New()
	for _, f := range withDataFiles(path) {
		b, err := os.ReadFile(f)
		if err != nil {
			k.Fatal(err)
		}
		h.Write(b)
	}
	if _, err := onnx.Load(path); err != nil {
		k.Fatal(err)
	}
	return string(h.Sum(nil))
}

func (k *killer) list() []string {
	k.Helper()
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		k.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// kill ends a run at a random moment; or, if late, soon after it began to write.
func (k *killer) kill(late bool) {
	k.Helper()
	before := k.list()
	c := tool(k.dir, k.args[k.next]...)
	if err := c.Start(); err != nil {
		k.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	wait := time.Duration(k.rand.Int64N(int64(k.took) * 5 / 4))
	if late {
		for start := time.Now(); len(k.list()) == len(before) && time.Since(start) < 2*k.took; {
			time.Sleep(200 * time.Microsecond)
		}
		wait = time.Duration(k.rand.Int64N(int64(k.took / 2)))
	}
	time.Sleep(wait)
	_ = c.Process.Signal(syscall.SIGKILL)
	<-done
	k.judge()
}

// judge looks at what a killed run left.
func (k *killer) judge() {
	k.Helper()
	old := k.whole[1-k.next]
	switch k.digest() {
	case old:
		k.seen[0]++
	case k.whole[k.next]:
		k.seen[1]++
		k.next = 1 - k.next
	default:
		k.Fatal("the output is neither the old one nor the new one")
	}
	expected := slices.Concat(k.files[0], k.files[1])
	stray := false
	for _, name := range k.list() {
		switch {
		case slices.Contains(expected, name):
		case strings.HasPrefix(name, ".") && strings.Contains(name, ".tmp"):
			stray = true
		default:
			k.Fatalf("%s was left", name)
		}
	}
	if stray {
		k.seen[2]++
	}
}

// finish lets a run end: nothing of the killed ones is there any more.
func (k *killer) finish() {
	k.Helper()
	for range 2 {
		if b, err := tool(k.dir, k.args[k.next]...).CombinedOutput(); err != nil {
			k.Fatalf("%v: %s", err, b)
		}
		if k.digest() != k.whole[k.next] || !slices.Equal(k.list(), k.files[k.next]) {
			k.Fatalf("left %q, a whole run leaves %q", k.list(), k.files[k.next])
		}
		k.next = 1 - k.next
	}
	k.Logf("old %d, new %d, with a hidden file %d", k.seen[0], k.seen[1], k.seen[2])
}

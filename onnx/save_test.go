package onnx

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// weights is a model of n initializers of a size, of which two share bytes;
// seed is in the content.
func weights(n, size int, seed float32) *graph.Model {
	m := &graph.Model{IRVersion: 8, Opsets: []graph.Opset{{Version: 17}}, Graph: graph.New("g")}
	x := m.Graph.AddInput("x", graph.TensorOf(tensor.Float32, graph.Dims([]int{size})...))
	for i := range n {
		data := make([]float32, size)
		for k := range data {
			data[k] = seed + float32(i)
		}
		d := &graph.Data{Tensor: tensor.Of([]int{size}, data)}
		w := m.Graph.AddInitializer(fmt.Sprintf("w%d", i), d)
		x = m.Graph.Add(nil, "Add", "y", []*graph.Value{x, w})
		if i == 0 {
			tied := m.Graph.AddInitializer("tied", &graph.Data{Tensor: d.Tensor})
			x = m.Graph.Add(nil, "Add", "y", []*graph.Value{x, tied})
		}
	}
	m.Graph.AddOutput(x)
	return m
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func dataFiles(t *testing.T, path string) []string {
	t.Helper()
	files, err := filepath.Glob(path + ".*.data")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestSaveExternal(t *testing.T) {
	const size = 3000 // 12,000 bytes: three pages each
	for _, c := range []struct {
		name    string
		options SaveOptions
		data    int64 // bytes beside the model
	}{
		{"one file", SaveOptions{}, 0},
		{"external", SaveOptions{External: true}, 2*12288 + 12000},
		{"too large for one file", SaveOptions{limit: 20000}, 2*12288 + 12000},
		{"embed", SaveOptions{Embed: true, limit: 20000}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "m.onnx")
			m := weights(3, size, 1)
			if err := Save(m, path, c.options); err != nil {
				t.Fatal(err)
			}
			first, _ := os.ReadFile(path)
			files := dataFiles(t, path)
			if c.data == 0 && len(files) > 0 || c.data > 0 && (len(files) != 1 || fileSize(t, files[0]) != c.data) {
				t.Errorf("data files %v", files)
			}
			back, err := Load(path)
			if err != nil {
				t.Fatal(err)
			}
			for v := range m.Graph.Initializers() {
				w := back.Graph.Find(v.Name)
				if !w.Data.Tensor.Equal(v.Data.Tensor) || (w.Data.Layout == graph.External) != (c.data > 0) {
					t.Errorf("%s became %v in layout %d", v.Name, w.Data.Tensor, w.Data.Layout)
				}
			}
			// The layout stays, and saving over the file that is in use is safe.
			if err := Save(back, path, SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			if again, _ := os.ReadFile(path); !bytes.Equal(first, again) {
				t.Error("saved again with other bytes")
			}
			if err := Save(weights(3, size, 7), path, c.options); err != nil {
				t.Fatal(err)
			}
			if now := dataFiles(t, path); len(now) != len(files) {
				t.Errorf("data files %v, had %v", now, files)
			}
			if got := back.Graph.Find("w1").Data.Tensor.Float32s()[0]; got != 2 {
				t.Errorf("the mapped weight changed to %v", got)
			}
		})
	}
}

func TestSaveRefuses(t *testing.T) {
	dir := t.TempDir()
	m := weights(1, 4, 1)
	for _, path := range []string{os.DevNull, dir, filepath.Join(dir, "none", "m.onnx")} {
		err := Save(m, path, SaveOptions{})
		if err == nil || !strings.HasPrefix(err.Error(), path+": ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestSaveOverLink: the folder of a model is that of its name, so the link is
// replaced and what it leads to stays.
func TestSaveOverLink(t *testing.T) {
	dir := t.TempDir()
	real, link := filepath.Join(dir, "sub", "real.onnx"), filepath.Join(dir, "link.onnx")
	if err := os.Mkdir(filepath.Dir(real), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(real, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, link); err != nil {
		t.Skip(err)
	}
	if err := Save(weights(2, 4000, 1), link, SaveOptions{External: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(link); err != nil {
		t.Error(err)
	}
	if b, _ := os.ReadFile(real); string(b) != "old" {
		t.Error("the target of the link changed")
	}
	if info, err := os.Stat(link); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("permissions %v %v", info.Mode(), err)
	}
}

// TestSaveIsWhole kills a process that saves two models in turn; what is
// there afterwards is one of the two.
func TestSaveIsWhole(t *testing.T) {
	const variable = "ONNXOPT_TEST_SAVE"
	if path := os.Getenv(variable); path != "" {
		for i := 0; ; i++ {
			if err := Save(weights(4, 1<<16, float32(i%2)), path, SaveOptions{External: i%4 < 2}); err != nil {
				panic(err)
			}
		}
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := Save(weights(4, 1<<16, 0), path, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 25 {
		c := exec.Command(os.Args[0], "-test.run=^TestSaveIsWhole$")
		c.Env = append(os.Environ(), variable+"="+path)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond)
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait()
		m, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		seed := m.Graph.Find("w0").Data.Tensor.Float32s()[0]
		want := weights(4, 1<<16, seed)
		for v := range want.Graph.Initializers() {
			if !m.Graph.Find(v.Name).Data.Tensor.Equal(v.Data.Tensor) {
				t.Fatalf("%s is of another model", v.Name)
			}
		}
	}
}

// A staged model leaves the one at its path alone until it is committed.
func TestStage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	options := SaveOptions{External: true}
	if err := Save(weights(3, 3000, 1), path, options); err != nil {
		t.Fatal(err)
	}
	first := dataFiles(t, path)
	for _, commit := range []bool{false, true} {
		s, err := Stage(weights(3, 3000, 2), path, options)
		if err != nil {
			t.Fatal(err)
		}
		staged, err := s.Load()
		if err != nil {
			t.Fatal(err)
		}
		if got := staged.Graph.Find("w0").Data.Tensor.Float32s()[0]; got != 2 {
			t.Errorf("staged weight %v", got)
		}
		want := float32(1)
		if commit {
			want = 2
			if err := s.Commit(); err != nil {
				t.Fatal(err)
			}
			if s.Bytes != fileSize(t, path)+fileSize(t, dataFiles(t, path)[0]) {
				t.Errorf("%d bytes staged", s.Bytes)
			}
		} else {
			s.Discard()
			if now := dataFiles(t, path); len(now) != 1 || now[0] != first[0] {
				t.Errorf("data files %v, had %v", now, first)
			}
		}
		m, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Graph.Find("w0").Data.Tensor.Float32s()[0]; got != want {
			t.Errorf("weight %v, want %v", got, want)
		}
		if left, _ := os.ReadDir(dir); len(left) != 2 {
			t.Errorf("left %v", left)
		}
	}
}

// Tensors in attributes go beside the file only if it would be too large with
// them.
func TestSaveExternalAttributes(t *testing.T) {
	for _, limit := range []int{13000, 11000} {
		m := weights(1, 3000, 1)
		n := m.Graph.NewNode("Constant", nil, []string{"c"}, &graph.Attr{Name: "value", Kind: graph.AttrTensor,
			T: &graph.Data{Tensor: tensor.New(tensor.Float32, 3000)}})
		m.Graph.InsertBefore(nil, n)
		path := filepath.Join(t.TempDir(), "m.onnx")
		if err := Save(m, path, SaveOptions{limit: limit}); err != nil {
			t.Fatal(err)
		}
		back, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		for n := range back.Graph.Nodes() {
			if a := n.Attr("value"); a != nil && (a.T.Layout == graph.External) != (limit < 12000) {
				t.Errorf("limit %d: layout %d", limit, a.T.Layout)
			}
		}
		if size, err := FileSize(back); err != nil || size < 36000 || size > 37000 {
			t.Errorf("%d bytes, %v", size, err)
		}
	}
}

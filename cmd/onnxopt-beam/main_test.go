package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"onnxopt/runtime/calibrate"
)

// bench is a folder with the built programs and what one process writes.
type bench struct {
	dir  string
	jobs map[string][]string // verb and arguments by name
	want map[string][]byte
}

func setUp(t *testing.T) *bench {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{dir: t.TempDir(), want: map[string][]byte{}}
	build := func(dir, name, what string) {
		c := exec.Command("go", "build", "-o", filepath.Join(b.dir, name), what)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", what, err, out)
		}
	}
	build(root, "onnxopt", "./cmd/onnxopt")
	build(".", "onnxopt-beam", ".")
	build(".", "prism", "github.com/apache/beam/sdks/v2/go/cmd/prism")
	model, images := filepath.Join(root, "models/resnet8.onnx"), filepath.Join(root, "models/mnist")
	int8 := filepath.Join(b.dir, "int8.onnx")
	b.onnxopt(t, "quantize", model, "--data", images, "--calibration-samples", "40", "--samples", "40", "-o", int8)
	b.jobs = map[string][]string{
		"calibrate": {"calibrate", model, "--data", images, "--calibration-samples", "40"},
		"compare":   {"compare", model, int8, "--data", images, "--samples", "40"},
	}
	for name, args := range b.jobs {
		file := filepath.Join(b.dir, name)
		b.onnxopt(t, append(append([]string{}, args...), "--shard", "1/1", "-o", file)...)
		if b.want[name], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *bench) onnxopt(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(filepath.Join(b.dir, "onnxopt"), args...).CombinedOutput(); err != nil {
		t.Fatalf("onnxopt %v: %v\n%s", args, err, out)
	}
}

// beam runs a pipeline and returns its file.
func (b *bench) beam(shards int, flags, args []string) ([]byte, error) {
	file := filepath.Join(b.dir, "beam.out")
	os.Remove(file)
	all := append([]string{"--shards", fmt.Sprint(shards), "-o", file, "--onnxopt", filepath.Join(b.dir, "onnxopt")}, flags...)
	c := exec.Command(filepath.Join(b.dir, "onnxopt-beam"), append(append(all, "--"), args...)...)
	if out, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	return os.ReadFile(file)
}

// The pipeline writes the bytes of one process, on Prism in process and as a
// server of its own; a shard that fails fails the job.
func TestPipelines(t *testing.T) {
	if testing.Short() {
		t.Skip("builds three programs")
	}
	b := setUp(t)
	server := prism(t, filepath.Join(b.dir, "prism"))
	for where, flags := range map[string][]string{
		"in process": {"--runner=prism"},
		"server":     {"--runner=universal", "--endpoint=" + server, "--environment_type=LOOPBACK"},
	} {
		for name, args := range b.jobs {
			for _, shards := range []int{1, 3, 64} {
				got, err := b.beam(shards, flags, args)
				if err != nil {
					t.Fatalf("%s, %s: %v", name, where, err)
				}
				if !bytes.Equal(got, b.want[name]) {
					t.Errorf("%s in %d shards, %s: other bytes", name, shards, where)
				}
			}
		}
		_, err := b.beam(2, flags, []string{"calibrate", "missing.onnx", "--data", "missing"})
		if err == nil || !strings.Contains(err.Error(), "missing.onnx") {
			t.Errorf("a failing shard, %s: %v", where, err)
		}
	}
}

// prism starts a job server and returns its address.
func prism(t *testing.T, binary string) string {
	t.Helper()
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	c := exec.Command(binary, "--job_port", port, "--serve_http=false")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	for range 100 {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return address
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("prism does not answer")
	return ""
}

// A shard that comes twice, or never, is an error.
func TestJoinRefuses(t *testing.T) {
	var b [2][]byte
	for i := range b {
		set := calibrate.NewSet("model", "data", 2)
		if err := set.Begin(i); err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if _, err := set.WriteTo(&file); err != nil {
			t.Fatal(err)
		}
		b[i] = file.Bytes()
	}
	all, err := join(b[0], b[1])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := join(all, b[1]); err == nil || !strings.Contains(err.Error(), "counted twice") {
		t.Errorf("a repeated shard: %v", err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := (&writeMerged{out}).ProcessElement(t.Context(), b[0]); err == nil || !strings.Contains(err.Error(), "a shard is lost: samples 1 of 2 are missing") {
		t.Errorf("a lost shard: %v", err)
	}
	if err := (&writeMerged{out}).ProcessElement(t.Context(), all); err != nil {
		t.Error(err)
	}
}

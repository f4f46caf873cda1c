//go:build unix

package onnx

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/onnxpb"
)

// FuzzLoad: bytes are refused with one line, or the model is valid and does
// not change any more when it is written and read.
func FuzzLoad(f *testing.F) {
	for _, p := range []*onnxpb.ModelProto{small(), {Graph: nested(3)}} {
		b, err := marshal.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	if m, err := graph.Parse(rich); err == nil {
		b, _ := Marshal(m)
		f.Add(b)
	}
	files, _ := filepath.Glob("testdata/*.onnx")
	for _, path := range files {
		if b, err := os.ReadFile(path); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := LoadBytes(b, "")
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Fatalf("error of two lines: %v", err)
			}
			return
		}
		if err := m.Verify(); err != nil {
			t.Fatal(err)
		}
		once, err := Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		graph.Text(m)
		again, err := LoadBytes(once, "")
		if err != nil {
			t.Fatalf("what was written does not load: %v", err)
		}
		for _, m := range []*graph.Model{again, again.Clone()} {
			if twice, err := Marshal(m); err != nil || !bytes.Equal(once, twice) {
				t.Fatalf("the second round trip changed the file: %v", err)
			}
		}
	})
}

// FuzzValue: the same for sample files.
func FuzzValue(f *testing.F) {
	for kind := range byte(graph.OpaqueKind) {
		f.Add([]byte("\x08\x02\x10\x01\x4a\x08\x00\x00\x00\x00\x00\x00\x00\x00"), kind)
	}
	f.Fuzz(func(t *testing.T, b []byte, kind byte) {
		v, name, err := LoadValue(b, graph.Kind(kind))
		if err != nil {
			return
		}
		if _, err := MarshalValue(v, name); err != nil && !strings.Contains(err.Error(), "different kinds") {
			t.Fatal(err)
		}
	})
}

// chainModel is n nodes in a row, out of order if reversed, as a file.
func chainModel(b *testing.B, n int, reversed bool) []byte {
	p := small()
	p.Graph.Node = nil
	last := "x"
	for i := range n {
		next := fmt.Sprintf("v%d", i)
		p.Graph.Node = append(p.Graph.Node, node("Add", "n"+next, []string{last, "w"}, next))
		last = next
	}
	if reversed {
		for i, k := 0, n-1; i < k; i, k = i+1, k-1 {
			p.Graph.Node[i], p.Graph.Node[k] = p.Graph.Node[k], p.Graph.Node[i]
		}
	}
	p.Graph.Output[0].Name = proto.String(last)
	out, err := proto.Marshal(p)
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// BenchmarkLoadLarge shows that loading is linear: ns per node at two sizes.
func BenchmarkLoadLarge(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		for _, reversed := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d/reversed=%v", n, reversed), func(b *testing.B) {
				file := chainModel(b, n, reversed)
				b.ReportAllocs()
				for b.Loop() {
					m, err := LoadBytes(file, "")
					if err != nil {
						b.Fatal(err)
					}
					if _, err := Marshal(m); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/node")
			})
		}
	}
}

// TestWeightsAreNotCopied: the weights of a loaded model alias the file.
func TestWeightsAreNotCopied(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big.onnx")
	if err := Save(weights(4, 4<<20, 1), path, SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	size, err := loadAllocating(path)
	if err != nil {
		t.Fatal(err)
	}
	if size > 1<<20 {
		t.Errorf("loading %d MB allocated %d bytes", fileSize(t, path)>>20, size)
	}
}

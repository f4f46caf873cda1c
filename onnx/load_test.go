//go:build unix

package onnx

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
)

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

// BenchmarkLoadWeights loads a file of 350 MB and reads all its weights, beside
// reading the file into memory and going over that: "x-reading" is the ratio of
// the least times, "heap-MB" what Load allocates, "x-size" how much memory becomes
// resident, the mapped file included, by the file's size.
func BenchmarkLoadWeights(b *testing.B) {
	path := filepath.Join(b.TempDir(), "big.onnx")
	if err := Save(weights(10, 35e6/4, 1), path, SaveOptions{}); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	least := [2]time.Duration{time.Hour, time.Hour}
	var heap, resident uint64
	for b.Loop() {
		start := time.Now()
		file, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		touched := touch(file)
		least[0] = min(least[0], time.Since(start))
		file = nil
		debug.FreeOSMemory()

		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		was := residentBytes()
		start = time.Now()
		m, err := Load(path)
		if err != nil {
			b.Fatal(err)
		}
		for v := range m.Graph.Initializers() {
			touched += touch(v.Data.Tensor.Bytes())
		}
		least[1] = min(least[1], time.Since(start))
		resident = max(resident, residentBytes()-min(was, residentBytes()))
		runtime.ReadMemStats(&after)
		heap = after.TotalAlloc - before.TotalAlloc
		runtime.KeepAlive(touched)
	}
	b.ReportMetric(float64(least[1])/float64(least[0]), "x-reading")
	b.ReportMetric(float64(heap)/1e6, "heap-MB")
	b.ReportMetric(float64(resident)/float64(info.Size()), "x-size")
}

// touch reads a byte of every page.
func touch(b []byte) (sum int) {
	for i := 0; i < len(b); i += 4096 {
		sum += int(b[i])
	}
	return sum
}

// residentBytes is the process's memory that is resident, 0 if it is not known.
func residentBytes() uint64 {
	b, _ := os.ReadFile("/proc/self/statm")
	var size, pages uint64
	fmt.Sscan(string(b), &size, &pages)
	return pages * uint64(os.Getpagesize())
}

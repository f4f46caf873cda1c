package pack

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// message builders for test models.

func field(num int, b []byte) []byte {
	out := binary.AppendUvarint(nil, uint64(num)<<3|wireBytes)
	return append(binary.AppendUvarint(out, uint64(len(b))), b...)
}

func varint(num int, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(num)<<3), v)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func tensorOf(name string, dtype int, raw []byte, dims ...int) []byte {
	var b []byte
	for _, d := range dims {
		b = append(b, varint(tensorDims, uint64(d))...)
	}
	return field(graphInitializer, join(b, varint(tensorType, uint64(dtype)), field(tensorName, []byte(name)), field(tensorRaw, raw)))
}

func modelOf(tensors ...[]byte) []byte {
	node := field(graphNode, join(field(nodeInput, []byte("x")), field(nodeOutput, []byte("y")), field(nodeOp, []byte("Relu"))))
	return join(varint(1, 8), field(7, join(append([][]byte{node}, tensors...)...)), field(8, varint(2, 17)))
}

func float32s(v []float32) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// sparse is a matrix with a share of weights of a few values, more in some
// columns than in others.
func sparse(rows, cols int, share float64, values []float32) []float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	v := make([]float32, rows*cols)
	for i := range v {
		if rng.Float64() < 2*share*float64(i%cols)/float64(cols) {
			v[i] = values[rng.IntN(len(values))]
		}
	}
	return v
}

func roundTrip(t *testing.T, name string, b []byte) []byte {
	t.Helper()
	keep := bytes.Clone(b)
	p, err := Pack(b)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if !bytes.Equal(keep, b) {
		t.Fatalf("%s: Pack changed its input", name)
	}
	u, err := Unpack(p, 0)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if !bytes.Equal(u, b) {
		t.Fatalf("%s: unpacked to other bytes", name)
	}
	if len(p) > len(b)+13 {
		t.Errorf("%s: %d bytes became %d", name, len(b), len(p))
	}
	return p
}

func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	noise := make([]byte, 6000)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	book := []float32{-0.3, -0.1, 0.07, 0.2}
	dense := make([]float32, 1500)
	for i := range dense {
		dense[i] = float32(rng.NormFloat64())
	}
	odd := []float32{float32(math.Inf(1)), float32(math.NaN()), float32(math.Copysign(0, -1)), 0, 1e-45, -3}
	grid := []float32{0.25, -0.5, 0, 3, 1.75}
	for name, b := range map[string][]byte{
		"nothing":          nil,
		"one byte":         {7},
		"text":             bytes.Repeat([]byte("no model at all. "), 40),
		"noise":            noise,
		"empty tensor":     modelOf(tensorOf("w", 1, nil, 0, 3)),
		"scalar":           modelOf(tensorOf("w", 1, float32s(grid[:1]))),
		"sparse":           modelOf(tensorOf("w", 1, float32s(sparse(40, 50, 0.05, book)), 40, 50)),
		"zeros":            modelOf(tensorOf("w", 1, make([]byte, 4000), 10, 100)),
		"image":            modelOf(tensorOf("w", 1, float32s(sparse(20, 64, 0.1, book)), 20, 4, 4, 4)),
		"dense":            modelOf(tensorOf("w", 1, float32s(dense), 30, 50)),
		"odd floats":       modelOf(tensorOf("w", 1, float32s(odd), 2, 3)),
		"grid":             modelOf(tensorOf("w", 1, float32s(grid), 5)),
		"int8":             modelOf(tensorOf("w", 3, noise, 60, 100)),
		"uint8":            modelOf(tensorOf("w", 2, noise, 6000)),
		"float16":          modelOf(tensorOf("w", 10, noise, 3000)),
		"int64":            modelOf(tensorOf("w", 7, noise, 750)),
		"wrong size":       modelOf(tensorOf("w", 1, noise, 7, 3)),
		"unknown type":     modelOf(tensorOf("w", 77, noise, 7, 3)),
		"trailing dims":    modelOf(field(5, join(field(tensorRaw, noise), varint(tensorDims, 1500), varint(tensorType, 1)))),
		"unknown fields":   join(modelOf(), varint(99, 5), field(1000, noise[:99]), []byte{4<<3 | 1, 1, 2, 3, 4, 5, 6, 7, 8}),
		"long varint":      join(modelOf(), []byte{8, 0x88, 0x00}),
		"group":            join(modelOf(), []byte{11}),
		"packed attribute": modelOf(field(1, field(5, join(field(1, []byte("a")), field(8, []byte{1, 2, 3}))))),
		"two graphs":       join(modelOf(), modelOf()),
		"cut off":          modelOf(tensorOf("w", 1, noise[:4000], 1000))[:3000],
	} {
		roundTrip(t, name, b)
	}
}

func TestShippedModels(t *testing.T) {
	files, _ := filepath.Glob("../../models/*.onnx")
	if len(files) == 0 {
		t.Fatal("no models")
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		p := roundTrip(t, f, b)
		if len(p) > len(b)*85/100 {
			t.Errorf("%s: %d of %d bytes", f, len(p), len(b))
		}
	}
}

// TestTrained holds the size of a real compressed network: LeNet-300-100 with
// 3.5 % of its weights kept, 8 values in each layer, units in the order of their
// biases, error 1.51 %. The float file has 1,067,212 bytes.
func TestTrained(t *testing.T) {
	golden, err := os.ReadFile("testdata/lenet300-pruned.onnxz")
	if err != nil {
		t.Fatal(err)
	}
	b, err := Unpack(golden, 0)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Measure(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) != 1067212 || r.Container > 5375 {
		t.Errorf("%d bytes in %d", len(b), r.Container)
	}
	for _, x := range r.Tensors {
		if x.Name == "fc1.weight" && (x.PositionBits > 0.4*x.PositionEntropy || x.ValueBits > 0.62*x.ValueEntropy) {
			t.Errorf("fc1: %+v", x)
		}
	}
	if again := roundTrip(t, "pruned", b); !bytes.Equal(again, golden) {
		t.Error("the container has changed")
	}
}

// TestEntropy holds the codes of a matrix without structure against its
// entropy.
func TestEntropy(t *testing.T) {
	w := sparse(300, 784, 0.03, []float32{-0.3, -0.2, -0.1, 0.1, 0.2, 0.31})
	r, err := Measure(modelOf(tensorOf("w", 1, float32s(w), 300, 784)))
	if err != nil {
		t.Fatal(err)
	}
	x := r.Tensors[0]
	if x.Method != "codebook" || x.Values != 6 || x.PositionBits > 1.01*x.PositionEntropy || x.ValueBits > 1.02*x.ValueEntropy {
		t.Errorf("%+v", x)
	}
	sum := float64(r.Header) + r.Structure
	for _, x := range r.Tensors {
		sum += x.Bytes
	}
	if math.Abs(sum-float64(r.Container)) > 3 {
		t.Errorf("the parts are %.1f bytes, the container %d", sum, r.Container)
	}
}

var update = flag.Bool("update", false, "write testdata")

// TestFormat keeps containers readable: a change of the code needs a new
// version.
func TestFormat(t *testing.T) {
	v := sparse(30, 40, 0.1, []float32{-0.5, 0.125, 0.3})
	dense := make([]float32, 20)
	for i := range dense {
		dense[i] = 1 / float32(i+3)
	}
	model := modelOf(tensorOf("w", 1, float32s(v), 30, 40), tensorOf("b", 1, float32s(v[:30]), 30), tensorOf("sorted", 1, float32s([]float32{-2, -1, 0, 0, 1.5}), 5),
		tensorOf("d", 1, float32s(dense), 4, 5), tensorOf("i", 3, []byte{1, 0, 255, 4}, 4), tensorOf("n", 7, make([]byte, 16), 2))
	got := roundTrip(t, "golden", model)
	path := filepath.Join("testdata", "v1.onnxz")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the container of a model has changed")
	}
}

func TestHostile(t *testing.T) {
	good := roundTrip(t, "sparse", modelOf(tensorOf("w", 1, float32s(sparse(40, 50, 0.05, []float32{1.5, -0.3})), 40, 50)))
	head := func(mode byte, size uint64) []byte {
		return append(binary.AppendUvarint([]byte{'O', 'N', 'Z', version<<4 | mode}, size), 1, 2, 3, 4)
	}
	cases := map[string][]byte{
		"empty":        nil,
		"magic":        []byte("ONZ"),
		"no size":      []byte("ONZ\x12"),
		"version":      []byte("ONZ\x22\x05aaaa"),
		"mode":         []byte("ONZ\x17\x05aaaa"),
		"huge":         head(2, 1<<62),
		"stored short": append(head(0, 100), 1),
		"bomb":         head(1, MaxSize),
		"tensor bomb":  head(2, 60<<20),
	}
	for i := range good {
		cases[fmt.Sprintf("cut at %d", i)] = good[:i]
	}
	for i := range good {
		b := bytes.Clone(good)
		b[i] ^= 1 << (i % 8)
		cases[fmt.Sprintf("flip in %d", i)] = b
	}
	for name, b := range cases {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := Unpack(b, 0); err == nil && len(bytes.TrimRight(good, "\x00")) > len(b) {
			t.Errorf("%s: no error", name)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 200<<20 {
			t.Errorf("%s: %d MB allocated", name, n>>20)
		}
	}
	if _, err := Unpack(good, 1000); err == nil {
		t.Error("the limit is not kept")
	}
}

func TestZeros(t *testing.T) {
	p := roundTrip(t, "many zeros", modelOf(tensorOf("w", 1, make([]byte, 4<<20), 1024, 1024)))
	if len(p) > 200 {
		t.Errorf("%d bytes", len(p))
	}
}

func FuzzUnpack(f *testing.F) {
	p, _ := Pack(modelOf(tensorOf("w", 1, float32s(sparse(40, 50, 0.05, []float32{1.5, -0.3})), 40, 50)))
	f.Add(p)
	p, _ = Pack([]byte("some text"))
	f.Add(p)
	f.Fuzz(func(t *testing.T, b []byte) {
		// Decoding takes microseconds a byte, so what a code grows to is small
		// here. Without the checksum, damaged codes are models, too.
		h, err := readHeader(b)
		if err != nil || h.size > fuzzSize || len(b) > fuzzSize {
			return
		}
		var m bytes.Buffer
		o := &output{w: &m, left: h.size}
		if h.decode(len(b), o) == nil && o.left == 0 {
			roundTrip(t, "unpacked", m.Bytes())
		}
	})
}

// fuzzSize bounds models in the fuzz tests.
const fuzzSize = 8 << 10

func FuzzPack(f *testing.F) {
	f.Add(modelOf(tensorOf("w", 1, float32s(sparse(4, 5, 0.5, []float32{1.5, -0.3})), 4, 5)))
	f.Add([]byte("text"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) <= fuzzSize {
			roundTrip(t, "bytes", b)
		}
	})
}

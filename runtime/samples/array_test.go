package samples

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"onnxopt/onnx/tensor"
)

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func writeNPZ(t *testing.T, arrays ...Array) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteNPZ(&b, arrays); err != nil {
		t.Fatal(err)
	}
	return write(t, "a.npz", b.Bytes())
}

// count is a tensor of 0, 1, 2, ...
func count(d tensor.DType, shape ...int) *tensor.Tensor {
	n, _ := tensor.Count(shape)
	v := make([]int64, n)
	for i := range v {
		v[i] = int64(i)
	}
	return tensor.FromInts(d, shape, v)
}

// TestNumpyTypes reads testdata/types.npz, which numpy.savez_compressed wrote:
// arrays [4 3] of 1..12 in every type, named by type, some big endian.
func TestNumpyTypes(t *testing.T) {
	for key, d := range map[string]tensor.DType{
		"f2": tensor.Float16, "f4": tensor.Float32, "f8": tensor.Float64, "i1": tensor.Int8, "i2": tensor.Int16, "i4": tensor.Int32,
		"i8": tensor.Int64, "u1": tensor.Uint8, "u2": tensor.Uint16, "u4": tensor.Uint32, "u8": tensor.Uint64,
		"c8": tensor.Complex64, "c16": tensor.Complex128, "b1": tensor.Bool, "U": tensor.String, "S": tensor.String,
	} {
		s, err := Open("testdata/types.npz", []Input{{Name: key, Type: d, Shape: []int{-1, 3}}}, Options{})
		if err != nil {
			t.Error(err)
			continue
		}
		b, err := s.Batch(1, 3)
		if err != nil {
			t.Fatal(err)
		}
		var got, want string
		switch x := b[key]; {
		case d.IsComplex():
			got, want = fmt.Sprint(x.Complexes()[5]), "(9+0i)"
		case d == tensor.Bool:
			got, want = fmt.Sprint(x.Bools()), "[true false true true false true]"
		case key == "U":
			got, want = fmt.Sprintf("%q", x.Strings()[1:3]), `["bc" "é日"]`
		case key == "S":
			got, want = fmt.Sprintf("%q", x.Strings()[:2]), `["a" "bc"]`
		default:
			got, want = fmt.Sprint(x.Floats()), "[4 5 6 7 8 9]"
		}
		if got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
		if back, err := s.Batch(0, 1); err != nil || d.IsInt() && back[key].Ints()[0] != 1 {
			t.Errorf("%s read back: %v", key, err)
		}
		s.Close()
	}
}

// TestNPZRoundTrip writes and reads every type.
func TestNPZRoundTrip(t *testing.T) {
	for d := tensor.Float32; d.Valid(); d++ {
		var x *tensor.Tensor
		switch {
		case d == tensor.String:
			x, _ = tensor.FromStrings([]int{2, 2}, []string{"", "abc", "é", "日本"})
		case d.IsComplex():
			x = tensor.FromComplexes(d, []int{2, 2}, []complex128{1, 2i, 3, -4})
		default:
			x = tensor.FromFloats(d, []int{2, 2}, []float64{1, 0, 1, 1})
		}
		path := writeNPZ(t, Array{"a/b:0", x}, Array{"scalar", tensor.Scalar(float32(1))})
		s, err := Open(path, []Input{{Name: "a/b:0", Type: d, Shape: []int{-1, 2}}}, Options{Cast: d.Bits() < 8 && d.IsInt()})
		if err != nil {
			t.Errorf("%v: %v", d, err)
			continue
		}
		b, err := s.Batch(0, 2)
		if err != nil || !b["a/b:0"].Equal(x) {
			t.Errorf("%v: % x, want % x: %v", d, b["a/b:0"].Bytes(), x.Bytes(), err)
		}
		s.Close()
	}
	var a, b bytes.Buffer
	list := []Array{{"x", count(tensor.Float32, 3)}, {"y", count(tensor.Int64, 2)}}
	WriteNPZ(&a, list)
	WriteNPZ(&b, list)
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the same arrays give other bytes")
	}
	if err := WriteNPZ(&a, append(list, list[0])); err == nil {
		t.Error("a name twice: no error")
	}
}

// TestBinding pairs arrays with inputs of many shapes.
func TestBinding(t *testing.T) {
	f := tensor.Float32
	type in = Input
	for _, c := range []struct {
		name   string
		inputs []Input
		arrays []Array
		n, k   int
		shapes string // of Batch(1, 2), or the error
	}{
		{"rows", []in{{"x", f, []int{-1, 3}, false}}, []Array{{"x", count(f, 5, 3)}}, 5, 0, "[[1 3]]"},
		{"batch of one", []in{{"x", f, []int{1, 3}, false}}, []Array{{"x", count(f, 5, 3)}}, 5, 1, "[[1 3]]"},
		{"stack of batches", []in{{"x", f, []int{1, 3}, false}}, []Array{{"x", count(f, 5, 1, 3)}}, 5, 1, "[[1 3]]"},
		{"fixed batch, filled", []in{{"x", f, []int{4, 3}, false}}, []Array{{"x", count(f, 6, 3)}}, 6, 4, "[[4 3]]"},
		{"any rank", []in{{"x", f, nil, false}}, []Array{{"x", count(f, 5, 3)}}, 5, 0, "[[1 3]]"},
		{"scalar a sample", []in{{"x", f, []int{-1, 3}, false}, {"t", f, []int{}, false}}, []Array{{"x", count(f, 5, 3)}, {"t", count(f, 5)}}, 5, 1, "[[1 3] []]"},
		{"scalar shared", []in{{"x", f, []int{-1, 3}, false}, {"t", f, []int{}, false}}, []Array{{"x", count(f, 5, 3)}, {"t", count(f)}}, 5, 0, "[[1 3] []]"},
		{"table shared", []in{{"w", f, []int{9, 2}, false}, {"x", f, []int{1, 3}, false}}, []Array{{"x", count(f, 5, 3)}, {"w", count(f, 9, 2)}}, 5, 1, "[[9 2] [1 3]]"},
		{"state a sample", []in{{"x", f, []int{-1, 3}, false}, {"s", f, []int{8}, false}}, []Array{{"x", count(f, 5, 3)}, {"s", count(f, 5, 8)}}, 5, 1, "[[1 3] [8]]"},
		{"optional", []in{{"x", f, []int{-1, 3}, false}, {"o", f, []int{8}, true}}, []Array{{"x", count(f, 5, 3)}}, 5, 0, "[[1 3] none]"},
		{"missing", []in{{"x", f, []int{-1, 3}, false}, {"o", f, []int{8}, false}}, []Array{{"x", count(f, 5, 3)}}, 0, 0, `no array "o" for the model input (it has x)`},
		{"counts", []in{{"x", f, []int{-1, 3}, false}, {"o", f, []int{-1}, false}}, []Array{{"x", count(f, 5, 3)}, {"o", count(f, 4)}}, 0, 0, `4 samples for model input "o", 5 for "x"`},
		{"shape", []in{{"x", f, []int{-1, 3}, false}}, []Array{{"x", count(f, 5, 4)}}, 0, 0, `a.npz[x]: shape [5 4], model input "x" wants [? 3]`},
		{"type", []in{{"x", f, []int{-1, 3}, false}}, []Array{{"x", count(tensor.Int64, 5, 3)}}, 0, 0, `type int64, wants float (--cast converts)`},
		{"strings", []in{{"x", tensor.String, []int{-1}, false}}, []Array{{"x", count(f, 5)}}, 0, 0, `type float cannot become string`},
	} {
		s, err := Open(writeNPZ(t, c.arrays...), c.inputs, Options{})
		if err != nil {
			if !strings.Contains(err.Error(), c.shapes) {
				t.Errorf("%s: %v, want %s", c.name, err, c.shapes)
			}
			continue
		}
		v, err := s.Values(1, 2)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		var shapes []string
		for _, x := range v {
			if x == nil {
				shapes = append(shapes, "none")
				continue
			}
			shapes = append(shapes, fmt.Sprint(x.(*tensor.Tensor).Shape))
		}
		if got := fmt.Sprint(shapes); got != c.shapes || s.Len() != c.n || s.BatchSize() != c.k {
			t.Errorf("%s: %s, %d samples, batch size %d", c.name, got, s.Len(), s.BatchSize())
		}
		s.Close()
	}
}

func TestFilledRows(t *testing.T) {
	s, err := Open(writeNPZ(t, Array{"x", count(tensor.Float32, 6, 2)}), []Input{{Name: "x", Type: tensor.Float32, Shape: []int{4, 2}}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := s.Batch(4, 6)
	if err != nil || fmt.Sprint(b["x"].Floats()) != "[8 9 10 11 10 11 10 11]" {
		t.Error(b["x"].Floats(), err)
	}
	for _, span := range [][2]int{{0, 5}, {-1, 1}, {5, 7}, {2, 2}} {
		if _, err := s.Batch(span[0], span[1]); err == nil {
			t.Errorf("samples %v: no error", span)
		}
	}
}

func TestCast(t *testing.T) {
	for _, c := range []struct {
		from  *tensor.Tensor
		to    tensor.DType
		want  string // or the error
		fails bool
	}{
		{tensor.Vector(0.1, 3), tensor.Float32, "[0.10000000149011612 3]", false},
		{tensor.Vector[int64](1, -7), tensor.Int32, "[1 -7]", false},
		{tensor.Vector[uint8](1, 255), tensor.Float32, "[1 255]", false},
		{tensor.Vector[int64](1<<31, 0), tensor.Int32, "2147483648 is outside the range of int32", true},
		{tensor.Vector[int8](-1), tensor.Uint64, "-1 is outside the range of uint64", true},
		{tensor.Vector[uint64](1 << 63), tensor.Int64, "outside the range of int64", true},
		{tensor.Vector(-0x1p63), tensor.Int64, "[-9.223372036854776e+18]", false},
		{tensor.Vector(0x1p63), tensor.Int64, "outside the range of int64", true},
		{tensor.Vector(256.0), tensor.Uint8, "256 is outside the range of uint8", true},
		{tensor.Vector(true, false), tensor.Float32, "[1 0]", false},
	} {
		s, err := Open(writeNPZ(t, Array{"x", c.from}), []Input{{Name: "x", Type: c.to, Shape: []int{-1}}}, Options{Cast: true})
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Batch(0, s.Len())
		switch {
		case c.fails && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%v to %v: %v, want %s", c.from, c.to, err, c.want)
		case !c.fails && (err != nil || fmt.Sprint(b["x"].Floats()) != c.want):
			t.Errorf("%v to %v: %v %v, want %s", c.from, c.to, b["x"], err, c.want)
		}
		s.Close()
	}
}

// TestExpected reads recorded outputs and labels of an npz.
func TestExpected(t *testing.T) {
	path := writeNPZ(t, Array{"x", count(tensor.Float32, 4, 2)}, Array{"y", count(tensor.Float32, 4, 3)}, Array{"labels", count(tensor.Int64, 4)})
	s, err := Open(path, []Input{{Name: "x", Type: tensor.Float32, Shape: []int{-1, 2}}},
		Options{Outputs: []Input{{Name: "z"}, {Name: "y", Shape: []int{-1, 3}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	want, err := s.Expected(2, 3)
	if err != nil || want[0] != nil || fmt.Sprint(want[1].(*tensor.Tensor).Floats()) != "[6 7 8]" {
		t.Error(want, err)
	}
	if l, err := s.Labels(); err != nil || fmt.Sprint(l) != "[0 1 2 3]" {
		t.Error(l, err)
	}
	if l, err := Labels(path, s); err != nil || len(l) != 4 {
		t.Error(l, err)
	}
}

// TestConcurrent reads a compressed array from several goroutines.
func TestConcurrent(t *testing.T) {
	s, err := Open("testdata/types.npz", []Input{{Name: "i8", Type: tensor.Int64, Shape: []int{-1, 3}}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			if b, err := s.Batch(i%4, i%4+1); err != nil || b["i8"].Ints()[0] != int64(i%4*3+1) {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

// fakePB takes the name before the colon and the values after it.
func fakePB(b []byte, in Input) (tensor.Value, string, error) {
	name, data, ok := strings.Cut(string(b), ":")
	if !ok {
		return nil, "", fmt.Errorf("not a proto")
	}
	return tensor.FromFloats(tensor.Float32, []int{1, len(data)}, make([]float64, len(data))), name, nil
}

func TestDataSets(t *testing.T) {
	dir := t.TempDir()
	for i, files := range []map[string]string{
		{"input_0.pb": "b:12", "input_1.pb": "a:1", "output_0.pb": "y:123"}, // names in another order
		{"input_0.pb": ":1", "input_1.pb": ":12"},
		{"input_0.pb": ":1", "input_1.pb": ":123"},
		{"input_0.pb": "broken"},
		{"input_0.pb": "a:1"},
	} {
		sub := filepath.Join(dir, fmt.Sprintf("test_data_set_%d", []int{0, 2, 10, 11, 12}[i]))
		os.Mkdir(sub, 0o700)
		for name, data := range files {
			os.WriteFile(filepath.Join(sub, name), []byte(data), 0o600)
		}
	}
	inputs := []Input{{Name: "a", Type: tensor.Float32, Shape: []int{1, 1}}, {Name: "b", Type: tensor.Float32, Shape: []int{-1, 2}}}
	s, err := Open(dir, inputs, Options{ParsePB: fakePB, Outputs: []Input{{Name: "y"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Len() != 5 || s.BatchSize() != 1 || s.Name(2) != "test_data_set_10" {
		t.Error(s.Len(), s.BatchSize(), s.Name(2))
	}
	for i, want := range []string{"", "", `sample 2 (test_data_set_10): shape [1 3], model input "b" wants [? 2]`,
		"test_data_set_11/input_0.pb: not a proto", `sample 4 (test_data_set_12): no input_1.pb for model input "b"`} {
		b, err := s.Batch(i, i+1)
		if want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %s", err, want)
		}
		if want == "" && (err != nil || b["a"].Len() != 1 || b["b"].Len() != 2) {
			t.Error(b, err)
		}
	}
	if want, err := s.Expected(0, 1); err != nil || want[0].(*tensor.Tensor).Len() != 3 {
		t.Error(want, err)
	}
	if want, err := s.Expected(1, 2); err != nil || want[0] != nil {
		t.Error(want, err)
	}
	if _, err := Open(dir, inputs, Options{}); err == nil {
		t.Error("no parser: no error")
	}
}

func TestRandom(t *testing.T) {
	var inputs []Input
	for d := tensor.Float32; d.Valid(); d++ {
		inputs = append(inputs, Input{Name: d.String(), Type: d, Shape: []int{-1, 3, -1}})
	}
	s, err := Random(inputs, 8, 1)
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.Batch(0, 8)
	if err != nil {
		t.Fatal(err)
	}
	one, err := s.Batch(5, 6)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range inputs {
		x := all[in.Name]
		if x.Type != in.Type || fmt.Sprint(x.Shape) != "[8 3 1]" {
			t.Errorf("%v: %v", in.Type, x)
		}
		row, _ := tensor.Gather(x, []int{1, 3, 1}, 1<<20, func(i int) int { return 15 + i })
		if !row.Equal(one[in.Name]) {
			t.Errorf("%v: sample 5 depends on its batch", in.Type)
		}
	}
	if fixed, err := Random([]Input{{Name: "x", Shape: []int{}}}, 2, 1); err != nil || fixed.BatchSize() != 1 {
		t.Error(err)
	}
	if _, err := Random([]Input{{Name: "x", Shape: []int{1, 1 << 40}}}, 2, 1); err == nil {
		t.Error("2^40 elements: no error")
	}
}

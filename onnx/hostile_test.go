//go:build unix

package onnx

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/onnxpb"
	"onnxopt/onnx/tensor"
)

// small is a valid model: y = Relu(x + w), with w as raw data.
func small() *onnxpb.ModelProto {
	value := func(name string) *onnxpb.ValueInfoProto {
		b, _ := proto.Marshal(typeProto(graph.TensorOf(tensor.Float32, graph.Dims([]int{2})...)))
		return &onnxpb.ValueInfoProto{Name: &name, Type: b}
	}
	return &onnxpb.ModelProto{
		IrVersion:   proto.Int64(8),
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(17)}},
		Graph: &onnxpb.GraphProto{
			Name: proto.String("g"),
			Node: []*onnxpb.NodeProto{node("Add", "a", []string{"x", "w"}, "s"), node("Relu", "r", []string{"s"}, "y")},
			Initializer: []*onnxpb.TensorProto{{Name: proto.String("w"), Dims: []int64{2}, DataType: proto.Int32(1),
				RawData: make([]byte, 8)}},
			Input:  []*onnxpb.ValueInfoProto{value("x")},
			Output: []*onnxpb.ValueInfoProto{value("y")},
		},
	}
}

func node(op, name string, in []string, out ...string) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: &op, Name: &name, Input: in, Output: out}
}

func graphAttr(name string, g *onnxpb.GraphProto) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: proto.Int32(int32(graph.AttrGraph)), G: g}
}

// nested holds depth graphs inside each other.
func nested(depth int) *onnxpb.GraphProto {
	g := &onnxpb.GraphProto{Name: proto.String("innermost")}
	for range depth {
		n := node("If", "", nil)
		n.Attribute = []*onnxpb.AttributeProto{graphAttr("then_branch", g)}
		g = &onnxpb.GraphProto{Name: proto.String("g"), Node: []*onnxpb.NodeProto{n}}
	}
	return g
}

func external(t *onnxpb.TensorProto, pairs ...string) {
	t.RawData, t.DataLocation = nil, proto.Int32(1)
	for i := 0; i < len(pairs); i += 2 {
		t.ExternalData = append(t.ExternalData, &onnxpb.StringStringEntryProto{Key: &pairs[i], Value: &pairs[i+1]})
	}
}

// broken changes the small model; want is part of the error.
var broken = []struct {
	name   string
	change func(p *onnxpb.ModelProto, w *onnxpb.TensorProto)
	want   string
}{
	{"no graph", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) { p.Graph = nil }, "it has no graph"},
	{"terabytes", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { w.Dims = []int64{1 << 40} }, "initializer w: float[1099511627776] wants"},
	{"overflow", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { w.Dims = []int64{1 << 62, 1 << 62} }, "too many elements"},
	{"overflow bytes", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { w.Dims = []int64{1 << 61} }, "too many elements"},
	{"terabytes typed", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) {
		w.Dims, w.RawData, w.FloatData = []int64{1 << 40}, nil, []float32{1}
	}, "has 1 elements, want 1099511627776"},
	{"terabytes of strings", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) {
		w.Dims, w.RawData, w.DataType = []int64{1 << 40}, nil, proto.Int32(8)
	}, "wants 1099511627776 strings"},
	{"strings in raw_data", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { w.DataType = proto.Int32(8) }, "strings have no byte form"},
	{"negative dim", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { w.Dims = []int64{-2} }, "initializer w: tensor dims [-2]"},
	{"rank", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { w.Dims = make([]int64, 5000) }, "tensor of rank 5000"},
	{"short raw_data", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { w.RawData = make([]byte, 7) }, "initializer w: float[2] wants 8 bytes, got 7"},
	{"no data", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { w.RawData = nil }, "float[2] has 0 elements, want 2"},
	{"two data fields", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { w.FloatData = []float32{1, 2} }, "both raw_data and another"},
	{"element type", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { w.DataType = proto.Int32(77) }, "unknown element type 77"},
	{"no element type", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { w.DataType = nil }, "unknown element type 0"},
	{"segment", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { w.Segment = &onnxpb.TensorProto_Segment{} }, "segmented"},
	{"initializer twice", func(p *onnxpb.ModelProto, w *onnxpb.TensorProto) {
		p.Graph.Initializer = append(p.Graph.Initializer, proto.Clone(w).(*onnxpb.TensorProto))
	}, "initializer w: it is defined twice"},
	{"initializer without name", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { w.Name = nil }, `initializer "": it has no name`},
	{"input twice", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) {
		p.Graph.Input = append(p.Graph.Input, &onnxpb.ValueInfoProto{Name: proto.String("x")})
	}, "graph input x is declared twice"},
	{"input without name", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) { p.Graph.Input[0].Name = nil }, "graph input 0 has no name"},
	{"output twice", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) { p.Graph.Node[1].Output[0] = "s" }, "node Relu r: output s is defined twice"},
	{"missing input", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) { p.Graph.Node[1].Input[0] = "zz" }, "node Relu r: input zz is produced by nothing"},
	{"missing output", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) { p.Graph.Output[0].Name = proto.String("zz") }, "graph output zz is produced by nothing"},
	{"no operator", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) { p.Graph.Node[1].OpType = nil }, "node 1 r has no operator"},
	{"self cycle", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) { p.Graph.Node[0].Input[0] = "s" }, "node Add a is part of a cycle"},
	{"long cycle", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) { p.Graph.Node[0].Input[0] = "y" }, "is part of a cycle"},
	{"cycle through a subgraph", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) {
		g := &onnxpb.GraphProto{Name: proto.String("b"), Output: []*onnxpb.ValueInfoProto{{Name: proto.String("y")}}}
		p.Graph.Node[0].Attribute = []*onnxpb.AttributeProto{graphAttr("body", g)}
	}, "is part of a cycle"},
	{"attribute twice", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) {
		a := &onnxpb.AttributeProto{Name: proto.String("k"), Type: proto.Int32(2), I: proto.Int64(1)}
		p.Graph.Node[0].Attribute = []*onnxpb.AttributeProto{a, a}
	}, "node Add a: attribute k is given twice"},
	{"attribute type", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) {
		p.Graph.Node[0].Attribute = []*onnxpb.AttributeProto{{Name: proto.String("k"), Type: proto.Int32(99)}}
	}, "attribute k: unknown attribute type 99"},
	{"attribute without value", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) {
		p.Graph.Node[0].Attribute = []*onnxpb.AttributeProto{{Name: proto.String("k"), Type: proto.Int32(4)}}
	}, "attribute k: the value is missing"},
	{"tensor attribute", func(p *onnxpb.ModelProto, w *onnxpb.TensorProto) {
		c := proto.Clone(w).(*onnxpb.TensorProto)
		c.Dims = []int64{9}
		p.Graph.Node[0].Attribute = []*onnxpb.AttributeProto{{Name: proto.String("k"), Type: proto.Int32(4), T: c}}
	}, "node Add a: attribute k: float[9] wants 36 bytes"},
	{"malformed type", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) { p.Graph.Input[0].Type = []byte{0xff} }, "value x: malformed type"},
	{"type nested", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) {
		b := []byte{}
		for range 5000 { // sequences of sequences
			b = appendField(nil, 4, appendField(nil, 1, b))
		}
		p.Graph.Input[0].Type = b
	}, "value x: malformed type"},
	{"nested 40000 deep", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) { p.Graph = nested(9000) }, "nest deeper"},
	{"function twice", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) {
		f := &onnxpb.FunctionProto{Name: proto.String("F"), Domain: proto.String("d")}
		p.Functions = []*onnxpb.FunctionProto{f, f}
	}, "function F is defined twice"},
	{"recursive functions", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) {
		call := func(name string) *onnxpb.NodeProto {
			n := node(name, "", nil)
			n.Domain = proto.String("d")
			return n
		}
		p.Functions = []*onnxpb.FunctionProto{
			{Name: proto.String("F"), Domain: proto.String("d"), Node: []*onnxpb.NodeProto{call("G")}},
			{Name: proto.String("G"), Domain: proto.String("d"), Node: []*onnxpb.NodeProto{call("F")}}}
	}, "function F calls itself"},
	{"sparse without indices", func(p *onnxpb.ModelProto, w *onnxpb.TensorProto) {
		p.Graph.SparseInitializer = []*onnxpb.SparseTensorProto{{Values: w}}
	}, "without values or indices"},
	{"newline in a name", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) {
		p.Graph.Node[0].Name, p.Graph.Node[0].Input[0] = proto.String("a\nb\x1b[2J"), "zz"
	}, `node "Add a\nb\x1b[2J": input zz`},
	{"bad UTF-8 in a name", func(p *onnxpb.ModelProto, _ *onnxpb.TensorProto) { p.Graph.Node[0].Input[0] = "\xff" }, `input "\xff" is`},
	{"external in ..", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { external(w, "location", "../w.bin") }, "location ../w.bin leaves the model's folder"},
	{"external hidden ..", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { external(w, "location", "a/../../w.bin") }, "leaves the model's folder"},
	{"external absolute", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { external(w, "location", "/etc/passwd") }, "leaves the model's folder"},
	{"external empty", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { external(w) }, `location "" leaves`},
	{"external missing", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { external(w, "location", "none.bin") }, "location none.bin: no such file"},
	{"external link out", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { external(w, "location", "out") }, "location out: "},
	{"external link to device", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { external(w, "location", "zero") }, "location zero: "},
	{"external pipe", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { external(w, "location", "pipe") }, "location pipe: not a regular file"},
	{"external folder", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { external(w, "location", "dir") }, "location dir: not a regular file"},
	{"external zero byte", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { external(w, "location", "a\x00b") }, "leaves the model's folder"},
	{"external offset", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { external(w, "location", "w.bin", "offset", "93") }, "at offset 93 of length 8 does not fit w.bin of 100 bytes"},
	{"external negative offset", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) {
		external(w, "location", "w.bin", "offset", "-8")
	}, "offset -8"},
	{"external huge offset", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) {
		external(w, "location", "w.bin", "offset", "9223372036854775807")
	}, "does not fit"},
	{"external offset of 70 bits", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) {
		external(w, "location", "w.bin", "offset", "922337203685477580700")
	}, "offset 922337203685477580700 is no number"},
	{"external length", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) { external(w, "location", "w.bin", "length", "9") }, "of length 9 does not fit"},
	{"external terabytes", func(_ *onnxpb.ModelProto, w *onnxpb.TensorProto) {
		w.Dims = []int64{1 << 40}
		external(w, "location", "w.bin")
	}, "does not fit"},
}

// hostileDir has the files that the external cases point at.
func hostileDir(t *testing.T) string {
	root := t.TempDir()
	dir := filepath.Join(root, "model")
	for _, err := range []error{
		os.Mkdir(dir, 0o755),
		os.Mkdir(filepath.Join(dir, "dir"), 0o755),
		os.WriteFile(filepath.Join(root, "w.bin"), make([]byte, 100), 0o644),
		os.WriteFile(filepath.Join(dir, "w.bin"), make([]byte, 100), 0o644),
		os.Symlink("../w.bin", filepath.Join(dir, "out")),
		os.Symlink("/dev/zero", filepath.Join(dir, "zero")),
		syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// loadAllocating is Load with what it allocates.
func loadAllocating(path string) (uint64, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Load(path)
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, err
}

func checkRefused(t *testing.T, path, want string) {
	t.Helper()
	size, err := loadAllocating(path)
	if err == nil {
		t.Errorf("loaded, want an error with %q", want)
		return
	}
	if !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %q, want %q", err, want)
	}
	if size > 50<<20 {
		t.Errorf("%d MB allocated", size>>20)
	}
}

func TestBrokenModels(t *testing.T) {
	dir := hostileDir(t)
	for _, c := range broken {
		t.Run(c.name, func(t *testing.T) {
			p := small()
			c.change(p, p.Graph.Initializer[0])
			b, err := proto.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, "m.onnx")
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			checkRefused(t, path, c.want)
		})
	}
}

func TestNoModels(t *testing.T) {
	good, err := proto.Marshal(small())
	if err != nil {
		t.Fatal(err)
	}
	dir := hostileDir(t)
	for i, c := range []struct {
		content []byte
		want    string
	}{
		{nil, "the file is empty"},
		{[]byte("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"), "Git LFS pointer"},
		{[]byte("PK\x03\x04 and so on"), "a zip archive"},
		{[]byte("<!DOCTYPE html><html></html>"), "a web page"},
		{bytes.Repeat([]byte{0xff}, 1000), "not an ONNX model"},
		{[]byte("this is a text and no model at all"), "not an ONNX model"},
		{good[:len(good)/2], "truncated: field graph"},
		{good[:len(good)-1], "truncated: field"},
		{append([]byte{0x3a, 0xff, 0xff, 0xff, 0xff, 0x7f}, good...), "truncated: field graph has 34359738367 bytes"},
	} {
		path := filepath.Join(dir, fmt.Sprintf("%d.onnx", i))
		if err := os.WriteFile(path, c.content, 0o644); err != nil {
			t.Fatal(err)
		}
		checkRefused(t, path, c.want)
	}
	checkRefused(t, filepath.Join(dir, "none.onnx"), "no such file")
	checkRefused(t, filepath.Join(dir, "dir"), "not a regular file")
	checkRefused(t, filepath.Join(dir, "pipe"), "not a regular file")
	checkRefused(t, "/dev/zero", "not a regular file")
}

// TestDamage loads every truncation and every bit flip of a model: an error or
// a valid graph, which can be written.
func TestDamage(t *testing.T) {
	p := small()
	p.Graph.Node[1].Attribute = []*onnxpb.AttributeProto{graphAttr("g", nested(2))}
	good, err := proto.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	check := func(b []byte) {
		m, err := LoadBytes(b, "")
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of two lines: %v", err)
			}
			return
		}
		if err := m.Verify(); err != nil {
			t.Errorf("%x: %v", b, err)
		}
		if _, err := Marshal(m); err != nil {
			t.Errorf("%x: %v", b, err)
		}
	}
	for i := range good {
		check(good[:i])
		for bit := range 8 {
			b := bytes.Clone(good)
			b[i] ^= 1 << bit
			check(b)
		}
	}
}

// TestRepairs loads what is odd but has one meaning.
func TestRepairs(t *testing.T) {
	p := small()
	n := p.Graph.Node
	n[0], n[1] = n[1], n[0]
	hiding := &onnxpb.GraphProto{Name: proto.String("b"), Node: []*onnxpb.NodeProto{node("Neg", "", []string{"x"}, "s")},
		Output: []*onnxpb.ValueInfoProto{{Name: proto.String("s")}}}
	n[0].Attribute = []*onnxpb.AttributeProto{graphAttr("b", hiding)}
	b, err := proto.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	m, err := LoadBytes(b, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(); err != nil {
		t.Error(err)
	}
	var ops []string
	for n := range m.Graph.All() {
		ops = append(ops, n.Title())
	}
	if got := strings.Join(ops, ", "); got != "Add a, Relu r, Neg s_1" {
		t.Errorf("nodes %s", got)
	}
}

// TestNesting loads the depth that is allowed.
func TestNesting(t *testing.T) {
	b, err := proto.Marshal(&onnxpb.ModelProto{Graph: nested(128)})
	if err != nil {
		t.Fatal(err)
	}
	m, err := LoadBytes(b, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(); err != nil {
		t.Error(err)
	}
	if again, err := Marshal(m); err != nil || !bytes.Equal(again, b) {
		t.Errorf("changed by a round trip: %v", err)
	}
}

// TestManyOfOne loads files that have very many of one thing, in linear time.
func TestManyOfOne(t *testing.T) {
	const n = 100_000
	name := func(i int) *string { return proto.String(fmt.Sprintf("n%d", i)) }
	for _, c := range []struct {
		what string
		make func(p *onnxpb.ModelProto)
	}{
		{"attributes", func(p *onnxpb.ModelProto) {
			for i := range n {
				p.Graph.Node[0].Attribute = append(p.Graph.Node[0].Attribute, &onnxpb.AttributeProto{Name: name(i), Type: proto.Int32(2), I: proto.Int64(0)})
			}
		}},
		{"uses of a value", func(p *onnxpb.ModelProto) {
			for range n {
				p.Graph.Node[0].Input = append(p.Graph.Node[0].Input, "x")
			}
		}},
		{"outputs of one value", func(p *onnxpb.ModelProto) {
			for range n {
				p.Graph.Output = append(p.Graph.Output, p.Graph.Output[0])
			}
		}},
		{"value_info of one value", func(p *onnxpb.ModelProto) {
			for range n {
				p.Graph.ValueInfo = append(p.Graph.ValueInfo, p.Graph.Output[0])
			}
		}},
		{"outputs of a node", func(p *onnxpb.ModelProto) {
			for i := range n {
				p.Graph.Node[0].Output = append(p.Graph.Node[0].Output, *name(i))
			}
		}},
		{"subgraphs of a node", func(p *onnxpb.ModelProto) {
			a := &onnxpb.AttributeProto{Name: proto.String("g"), Type: proto.Int32(10)}
			for range n {
				a.Graphs = append(a.Graphs, &onnxpb.GraphProto{Name: proto.String("s"), Output: p.Graph.Input})
			}
			p.Graph.Node[0].Attribute = []*onnxpb.AttributeProto{a}
		}},
		{"functions", func(p *onnxpb.ModelProto) {
			for i := range n {
				f := &onnxpb.FunctionProto{Name: name(i), Domain: proto.String("d")}
				if i > 0 {
					call := node(*name(i - 1), "", nil)
					call.Domain = f.Domain
					f.Node = []*onnxpb.NodeProto{call}
				}
				p.Functions = append(p.Functions, f)
			}
		}},
		{"nodes in a deep subgraph", func(p *onnxpb.ModelProto) {
			g := nested(100)
			inner := g
			for inner.GetName() != "innermost" {
				inner = inner.Node[0].Attribute[0].G
			}
			for i := range n / 4 {
				inner.Node = append(inner.Node, node("Neg", "", []string{"x"}, *name(i)))
			}
			p.Graph.Node[0].Attribute = []*onnxpb.AttributeProto{graphAttr("g", g)}
		}},
		{"long names", func(p *onnxpb.ModelProto) {
			p.Graph.Node[0].Name = proto.String(strings.Repeat("x", n))
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			p := small()
			c.make(p)
			b, err := proto.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			m, err := LoadBytes(b, "")
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Verify(); err != nil {
				t.Fatal(err)
			}
			if err := m.Graph.Sort(); err != nil {
				t.Fatal(err)
			}
			again, err := Marshal(m.Clone())
			if err != nil {
				t.Fatal(err)
			}
			if len(again) != len(b) {
				t.Errorf("%d bytes became %d", len(b), len(again))
			}
			graph.Text(m)
			// Quadratic time would be minutes.
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("%v", d)
			}
		})
	}
}

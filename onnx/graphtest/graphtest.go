// Package graphtest makes random valid models with known answers, for tests and
// fuzzing.
package graphtest

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
)

// Case is a model with inputs and what the operators' evaluations make of them.
type Case struct {
	Model   *graph.Model
	Inputs  []tensor.Value
	Outputs []tensor.Value
	Values  map[*graph.Value]tensor.Value // of the main graph
}

// New makes a model whose operators, types, shapes, constants and attributes are
// chosen by the bytes of seed, one for each choice, and by what follows from
// them where they end. Every operator of ai.onnx may occur that the table
// evaluates without drawing random numbers. Sizes of inputs may be symbolic,
// values lie below 1000, and branches and loops read values of the graph around.
func New(seed []byte) *Case {
	h := fnv.New64a()
	h.Write(seed)
	b := &builder{
		seed: seed, rand: rand.New(rand.NewPCG(h.Sum64(), 1)),
		opset: int64(11 + len(seed)%13), top: graph.New("random"),
	}
	b.graph = b.top
	loops := h.Sum64()%4 == 0
	b.inputs()
	for range 2 + b.IntN(14) {
		switch {
		case b.IntN(8) > 0:
			b.node()
		case loops && b.IntN(3) > 0:
			b.repeated()
		default:
			b.control()
		}
	}
	return b.done()
}

// value is a value of the graph, what it is, and where it may be read.
type value struct {
	v     *graph.Value
	x     *tensor.Tensor
	fixed bool // known before the model runs
}

type builder struct {
	seed   []byte
	rand   *rand.Rand
	opset  int64
	top    *graph.Graph
	graph  *graph.Graph // where nodes are added
	values []value      // that nodes may read
	all    map[*graph.Value]tensor.Value
	inside bool // a branch or body
}

// IntN is a choice of n.
func (b *builder) IntN(n int) int {
	if len(b.seed) == 0 {
		return b.rand.IntN(n)
	}
	c := int(b.seed[0])
	b.seed = b.seed[1:]
	return c % n
}

func pick[T any](b *builder, list ...T) T { return list[b.IntN(len(list))] }

func (b *builder) inputs() {
	b.all = map[*graph.Value]tensor.Value{}
	for i := range 1 + b.IntN(3) {
		t := tensor.Float32
		if i > 0 {
			t = pick(b, tensor.Float32, tensor.Float32, tensor.Int64, tensor.Bool, tensor.Float16, tensor.Uint8, tensor.Int32)
		}
		shape := b.shape()
		dims := graph.Dims(shape)
		for k := range dims {
			if b.IntN(3) == 0 {
				dims[k] = dim.Sym(fmt.Sprintf("d%d_%d", i, k))
			}
		}
		b.keep(b.top.AddInput(fmt.Sprint("x", i), graph.TensorOf(t, dims...)), b.filled(t, shape), false)
	}
}

func (b *builder) keep(v *graph.Value, x *tensor.Tensor, fixed bool) {
	b.values = append(b.values, value{v, x, fixed})
	if !b.inside {
		b.all[v] = x
	}
}

func (b *builder) shape() []int {
	shape := make([]int, pick(b, 4, 2, 3, 1, 4, 0, 5))
	for i := range shape {
		shape[i] = pick(b, 4, 2, 3, 1, 5, 8)
	}
	return shape
}

// filled is a tensor of small multiples of a half.
func (b *builder) filled(t tensor.DType, shape []int) *tensor.Tensor {
	n, _ := tensor.Count(shape)
	if t == tensor.String {
		words := make([]string, n)
		for i := range words {
			words[i] = []string{"", "a", "b c", "12"}[b.rand.IntN(4)]
		}
		x, _ := tensor.FromStrings(shape, words)
		return x
	}
	v := make([]float64, n)
	low, high := -2, 5
	if b.IntN(3) == 0 {
		low, high = 0, 2
	}
	for i := range v {
		v[i] = float64(low + b.rand.IntN(high-low))
		if t.IsFloat() && b.rand.IntN(2) == 0 {
			v[i] += 0.5
		}
		if !t.IsFloat() && !t.IsSigned() {
			v[i] = math.Abs(v[i])
		}
	}
	return tensor.FromFloats(t, shape, v)
}

// node adds one node, if one of some tries is valid.
func (b *builder) node() bool {
	for range 12 {
		part := op.Table[b.IntN(len(op.Table))]
		d := part[b.IntN(len(part))]
		if b.IntN(2) == 0 {
			d = op.Find("", pick(b, common...))
		}
		if d == nil || d.Domain != "" || d.Eval == nil || d.Flags&(op.Random|op.Control) != 0 {
			continue
		}
		r, ok := b.resolve(d)
		for range 4 {
			if ok && b.try(r) {
				return true
			}
		}
	}
	return false
}

// resolve is the operator at the model's opset.
func (b *builder) resolve(d *op.Def) (op.Resolved, bool) {
	v := d.At(b.opset)
	if v == nil {
		return op.Resolved{}, false
	}
	s, err := v.Parsed()
	return op.Resolved{Def: d, Since: v.Since, Schema: s}, err == nil
}

// common is what real models consist of: half of the nodes.
var common = []string{"Add", "Mul", "Sub", "Div", "Relu", "Sigmoid", "Tanh", "Clip", "Conv", "Conv", "MatMul", "MatMul", "Gemm", "BatchNormalization",
	"Transpose", "Reshape", "Concat", "Slice", "Split", "Gather", "Unsqueeze", "Squeeze", "Flatten", "Shape", "Cast", "Softmax", "MaxPool", "AveragePool",
	"GlobalAveragePool", "ReduceMean", "ReduceSum", "Pad", "Where", "Equal", "Expand", "Identity", "Constant", "ConstantOfShape", "Pow", "Sqrt", "Erf",
	"LayerNormalization", "QuantizeLinear", "DequantizeLinear", "Resize", "ConvTranspose", "Min", "Max", "PRelu", "LeakyRelu", "InstanceNormalization"}

// try adds a node of r if its random inputs and attributes are valid.
func (b *builder) try(r op.Resolved) bool {
	in, ok := b.arguments(r)
	if !ok {
		return false
	}
	scratch := graph.New("")
	values, given := make([]tensor.Value, len(in)), make([]*graph.Value, len(in))
	for i, x := range in {
		if x.x == nil {
			continue
		}
		if values[i] = x.x; x.v == nil || x.fixed {
			given[i] = scratch.AddInitializer("c", &graph.Data{Tensor: x.x})
		} else {
			given[i] = scratch.AddInput(fmt.Sprint("i", i), graph.TypeOf(x.x))
		}
	}
	attrs := b.attributes(r, in)
	outs := b.outputs(r.Schema)
	n := scratch.NewNode(r.Name, given, outs, attrs...)
	got, err := r.Run(n, &op.Env{MaxBytes: 1 << 14}, values)
	if err != nil || len(got) < len(outs) || slices.Contains(got[:len(outs)], nil) || !slices.ContainsFunc(got, tame) || !telling(r.Name, values, got) {
		return false
	}
	scratch.InsertBefore(nil, n)
	if Valid(&graph.Model{IRVersion: 10, Opsets: []graph.Opset{{Version: b.opset}}, Graph: scratch}) != nil {
		return false // evaluations are laxer than the standard
	}
	b.add(r, in, outs, attrs, got)
	return true
}

// add adds the node that try found valid.
func (b *builder) add(r op.Resolved, in []value, outs []string, attrs []*graph.Attr, got []tensor.Value) {
	given, fixed := make([]*graph.Value, len(in)), true
	for i, x := range in {
		if x.x == nil {
			continue
		}
		if given[i] = x.v; x.v == nil {
			given[i] = b.graph.AddInitializer("c", &graph.Data{Tensor: x.x})
			if b.IntN(3) == 0 {
				b.keep(given[i], x.x, true)
			}
		}
		fixed = fixed && (x.fixed || x.v == nil)
	}
	for i, name := range outs {
		if name != "" {
			outs[i] = b.graph.Fresh("v")
		}
	}
	n := b.graph.NewNode(r.Name, given, outs, attrs...)
	b.graph.InsertBefore(nil, n)
	for i, x := range got {
		if t, ok := x.(*tensor.Tensor); ok && n.Out(i) != nil && tame(x) {
			b.keep(n.Out(i), t, fixed)
		}
	}
}

// telling reports that an operator made values of in from which others can
// follow: not only rounding errors, scaled up.
func telling(name string, in, got []tensor.Value) bool {
	switch {
	case slices.ContainsFunc(got, wild):
		return false
	case name == "Div":
		return !slices.ContainsFunc(in[1].(*tensor.Tensor).Floats(), func(d float64) bool { return math.Abs(d) < 1e-3 })
	case strings.HasSuffix(name, "Normalization"):
		return !flat(in[0].(*tensor.Tensor))
	}
	return true
}

// tame values may be read by other nodes.
func tame(v tensor.Value) bool {
	t, ok := v.(*tensor.Tensor)
	return ok && t.Len() > 0 && t.Len() <= 2000 && !t.Type.IsComplex()
}

// flat tensors have rows or planes of elements that hardly differ.
func flat(x *tensor.Tensor) bool {
	v, sizes := x.Floats(), []int(nil)
	for i := range x.Shape {
		n, _ := tensor.Count(x.Shape[i:])
		sizes = append(sizes, n)
	}
	for _, n := range sizes {
		for i := 0; n > 0 && i+n <= len(v); i += n {
			row := v[i : i+n]
			if low, high := slices.Min(row), slices.Max(row); high-low < 0.01*max(high, -low) {
				return true
			}
		}
	}
	return false
}

// wild values are so large, or none, that what follows from them tells nothing.
func wild(v tensor.Value) bool {
	t, ok := v.(*tensor.Tensor)
	if !ok || t.Type == tensor.String || t.Type.IsComplex() {
		return false
	}
	return slices.ContainsFunc(t.Floats(), func(x float64) bool { return !(math.Abs(x) < 1000) })
}

// control adds an If whose branches read what is there.
func (b *builder) control() {
	if b.inside {
		return
	}
	n := len(b.values)
	from := b.values[b.IntN(n)]
	branch := func(name string, like tensor.DType) (*graph.Graph, value) {
		g := b.top.NewSubgraph(name)
		b.graph, b.inside = g, true
		for range 1 + b.IntN(3) {
			b.node()
		}
		last := b.values[len(b.values)-1]
		if len(b.values) == n || last.v.Graph() != g || last.v.Def() == nil {
			v := g.Add(nil, "Identity", "v", []*graph.Value{from.v})
			last = value{v: v, x: from.x}
		}
		if like != 0 && last.x.Type != like {
			x := b.filled(like, last.x.Shape)
			last = value{v: g.Add(nil, "Identity", "v", []*graph.Value{g.AddInitializer("k", &graph.Data{Tensor: x})}), x: x}
		}
		g.AddOutput(last.v)
		b.graph, b.inside, b.values = b.top, false, b.values[:n]
		return g, last
	}
	then, x := branch("then", 0)
	other, y := branch("else", x.x.Type)
	cond := b.IntN(2) == 0
	c := b.top.AddInitializer("k", &graph.Data{Tensor: tensor.FromBools(nil, []bool{cond})})
	if b.IntN(2) == 0 {
		c = b.top.AddInput(b.top.Fresh("cond"), graph.TensorOf(tensor.Bool))
		b.all[c] = tensor.FromBools(nil, []bool{cond})
	}
	if !cond {
		x = y
	}
	v := b.top.Add(nil, "If", "v", []*graph.Value{c}, graph.GraphAttr("then_branch", then), graph.GraphAttr("else_branch", other))
	b.keep(v, x.x, false)
}

// done chooses outputs and describes them more or less exactly.
func (b *builder) done() *Case {
	c := &Case{Model: &graph.Model{IRVersion: 10, Opsets: []graph.Opset{{Version: b.opset}}, Graph: b.top}, Values: b.all}
	var made []value
	for _, x := range b.values {
		if x.v.Def() != nil && x.v.Graph() == b.top {
			made = append(made, x)
		}
	}
	if len(made) == 0 {
		x := b.values[0]
		made = append(made, value{v: b.top.Add(nil, "Identity", "v", []*graph.Value{x.v}), x: x.x})
		b.all[made[0].v] = x.x
	}
	for i, x := range made {
		if i < len(made)-1 && b.IntN(4) > 0 {
			continue
		}
		if x.v.Type = graph.Unranked(x.x.Type); b.IntN(3) == 0 {
			x.v.Type = graph.TypeOf(x.x)
			for k := range x.v.Type.Shape {
				x.v.Type.Shape[k] = dim.Sym(fmt.Sprintf("o%d_%d", i, k))
			}
		}
		b.top.AddOutput(x.v)
		c.Outputs = append(c.Outputs, x.x)
	}
	for _, v := range b.top.Inputs() {
		c.Inputs = append(c.Inputs, b.all[v])
	}
	return c
}

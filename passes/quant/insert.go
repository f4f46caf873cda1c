package quant

import (
	"fmt"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
	"onnxopt/runtime/calibrate"
)

// Insert writes the QuantizeLinear and DequantizeLinear nodes of the plan.
var Insert = pass.Pass{
	Name:   "quantize",
	Doc:    "insert QuantizeLinear and DequantizeLinear around everything that has an integer form",
	Effect: pass.Lossy,
	Needs:  pass.Calibrated,
	Gives:  pass.Quantized,
	Run:    insert,
}

// MinOpset is the first opset with QuantizeLinear, PerChannelOpset the first
// with its axis, Bits16Opset the first with 16 and 4 bits and with blocks.
const (
	MinOpset        = 10
	PerChannelOpset = 13
	Bits16Opset     = 21 // and 4-bit integers, and blocks
)

// inserter writes one plan into the graph.
type inserter struct {
	c      *pass.Context
	p      *plan
	g      *graph.Graph
	format calibrate.Format
	dtype  tensor.DType                  // of activations
	params map[*graph.Value]activation   // chosen scale of a float value
	quants map[*graph.Value]*graph.Value // float value to its quantized form
	floats map[*graph.Value]*graph.Value // dequantized form to the float value it stands for
	weight map[weightKey]*quantWeight    // shared weights are quantized once
	shared map[string]*graph.Value       // scales and zero points that several nodes use
}

// activation is the parameters of a float value.
type activation struct {
	scale float32
	zero  int
}

type weightKey struct {
	v    *graph.Value
	axis int
}

func insert(c *pass.Context, m *graph.Model) error {
	opset := m.Opset("")
	if opset < MinOpset {
		return fmt.Errorf("the model imports opset %d; QuantizeLinear needs %d", opset, MinOpset)
	}
	if opset < PerChannelOpset && !c.Settings.Quant.PerTensor {
		c.Warn("opset %d has no per-channel scales: weights get one scale each", opset)
	}
	p, err := newPlan(c, m, c.Kept)
	if err != nil {
		return err
	}
	in := &inserter{c: c, p: p, g: m.Graph, params: map[*graph.Value]activation{}, quants: map[*graph.Value]*graph.Value{},
		floats: map[*graph.Value]*graph.Value{}, weight: map[weightKey]*quantWeight{}, shared: map[string]*graph.Value{}}
	if in.format, in.dtype, err = activationFormat(p.profile, p.s, opset); err != nil {
		return err
	}
	if err := in.chooseParams(); err != nil {
		return err
	}
	for _, n := range p.order {
		if !c.Allow() {
			return nil
		}
		in.node(n)
	}
	in.joinOutputs()
	if p.profile.Requantizes {
		in.spareFloats()
	}
	return nil
}

// activationFormat is how the target wants activations.
func activationFormat(p *Profile, s pass.QuantSettings, opset int64) (calibrate.Format, tensor.DType, error) {
	f := calibrate.Format{Bits: 8, Symmetric: s.SymmetricActivations || p.Symmetric}
	t := p.Activations[0]
	switch {
	case s.ActivationBits == 16 && opset < Bits16Opset:
		return f, t, fmt.Errorf("16-bit activations need opset %d; the model imports %d", Bits16Opset, opset)
	case s.ActivationBits == 16:
		t = tensor.Uint16
	case s.ActivationBits != 0 && s.ActivationBits != 8:
		return f, t, fmt.Errorf("%d-bit activations: want 8 or 16", s.ActivationBits)
	}
	if signed := map[tensor.DType]tensor.DType{tensor.Uint8: tensor.Int8, tensor.Uint16: tensor.Int16}[t]; f.Symmetric && slices.Contains(p.Activations, signed) {
		t = signed
	}
	if !slices.Contains(p.Activations, t) {
		return f, t, fmt.Errorf("target %s takes no %v activations", p.Name, t)
	}
	f.Bits, f.Signed = t.Bits(), t.IsSigned()
	return f, t, nil
}

// chooseParams gives every quantized value its scale; values that data
// movement joins share the scale of the first one.
func (in *inserter) chooseParams() error {
	for _, v := range in.g.Inputs() {
		if in.p.values[v] {
			if err := in.choose(v); err != nil {
				return err
			}
		}
	}
	for n := range in.g.Nodes() {
		for _, v := range n.Outputs() {
			if v == nil || !in.p.values[v] {
				continue
			}
			if q := in.p.nodes[n]; q != nil && q.kind == op.QuantSame {
				if a, ok := in.params[n.In(0)]; ok {
					in.params[v] = a
					continue
				}
			}
			if err := in.choose(v); err != nil {
				return err
			}
		}
	}
	in.mergeConcats()
	return nil
}

func (in *inserter) choose(v *graph.Value) error {
	r, ok := in.c.Ranges[v.Name]
	if !ok {
		return fmt.Errorf("value %s was not calibrated", v.Name)
	}
	scale, zero := in.format.Params(r.Range)
	in.params[v] = activation{scale, zero}
	return nil
}

// mergeConcats gives the inputs of a Concat the scale of its result, back
// through data movement, so that they are joined as they are. Values that
// others read too keep the finer scale of their own.
func (in *inserter) mergeConcats() {
	for _, n := range slices.Backward(in.p.order) {
		q := in.p.nodes[n]
		if q.kind != op.QuantMerge && q.kind != op.QuantSame {
			continue
		}
		for _, i := range q.act {
			if in.movable(n.In(i)) {
				in.params[n.In(i)] = in.params[q.result]
			}
		}
	}
}

// movable reports that v can take the scale of its only reader.
func (in *inserter) movable(v *graph.Value) bool {
	if v.Only() == nil {
		return false
	}
	if q := in.p.nodes[v.Def()]; v.Def() != nil && q != nil && q.kind == op.QuantSame {
		return in.movable(v.Def().In(0))
	}
	return true
}

// quantized is QuantizeLinear of float value v, made on first use.
func (in *inserter) quantized(v *graph.Value) *graph.Value {
	if q, ok := in.quants[v]; ok {
		return q
	}
	a := in.params[v]
	q := in.node1(in.after(v), "QuantizeLinear", "q", []*graph.Value{v, in.scale(a.scale), in.zero(a.zero)})
	in.quants[v] = q
	return q
}

// dequantized is a DequantizeLinear of v's quantized form before node at. Every
// reader has one of its own: some runtimes fuse it with the reader and leave
// nothing for others.
func (in *inserter) dequantized(v *graph.Value, at *graph.Node) *graph.Value {
	q, a := in.quantized(v), in.params[v]
	d := in.node1(at, "DequantizeLinear", "d", []*graph.Value{q, in.scale(a.scale), in.zero(a.zero)})
	in.floats[d] = v
	return d
}

// node1 inserts a node without a name, which is optional and would cost space,
// and returns its one output, briefly named.
func (in *inserter) node1(at *graph.Node, op, name string, inputs []*graph.Value, attrs ...*graph.Attr) *graph.Value {
	n := in.g.NewNode(op, inputs, []string{in.g.Fresh(name)}, attrs...)
	in.g.InsertBefore(at, n)
	return n.Out(0)
}

func (in *inserter) scale(x float32) *graph.Value {
	return in.constant("s", tensor.Scalar(x))
}

func (in *inserter) zero(z int) *graph.Value {
	return in.constant("z", tensor.FromInts(in.dtype, nil, []int64{int64(z)}))
}

// constant is an initializer of t, one for all equal ones.
func (in *inserter) constant(name string, t *tensor.Tensor) *graph.Value {
	key := fmt.Sprintf("%v %x", t, t.Bytes())
	if in.shared[key] == nil {
		in.shared[key] = in.g.AddInitializer(name, &graph.Data{Tensor: t})
	}
	return in.shared[key]
}

// after is the node before which readers of v can be inserted.
func (in *inserter) after(v *graph.Value) *graph.Node {
	if d := v.Def(); d != nil {
		return d.Next()
	}
	for n := range in.g.Nodes() {
		return n
	}
	return nil
}

func (in *inserter) node(n *graph.Node) {
	q := in.p.nodes[n]
	for _, i := range q.act {
		n.SetIn(i, in.dequantized(n.In(i), n))
	}
	detail := fmt.Sprintf("activations %v", in.dtype)
	if q.weight >= 0 {
		detail += ", " + in.weights(n, q)
	}
	switch {
	case q.float:
		detail += ", result float"
	case q.result != n.Out(0):
		detail += ", " + q.result.Def().Op + " fused"
	}
	if !q.float {
		in.quantized(q.result)
	}
	in.c.Changed(n, "%s", detail)
}

// joinOutputs makes the remaining readers of quantized results, the graph's
// outputs among them, read the dequantized form, so that no operator computes
// its result twice.
func (in *inserter) joinOutputs() {
	for _, n := range in.p.order {
		q := in.p.nodes[n]
		if q.float {
			continue
		}
		v := q.result
		quantize := in.quantized(v).Def()
		for _, u := range slices.Clone(v.Uses()) {
			if u.Node == nil || u.Node == quantize || in.p.nodes[u.Node] != nil && u.Node.In(u.Index) != v {
				continue
			}
			u.Node.SetIn(u.Index, in.dequantized(v, in.inMain(u.Node)))
		}
		if v.IsOutput() {
			in.renameOutput(v, in.dequantized(v, quantize.Next()), quantize)
		}
	}
}

// inMain is the node of the main graph that is n or holds it.
func (in *inserter) inMain(n *graph.Node) *graph.Node {
	for n.Graph() != in.g {
		n = n.Graph().Parent()
	}
	return n
}

// renameOutput makes d the graph output that v was, under v's name.
func (in *inserter) renameOutput(v, d *graph.Value, quantize *graph.Node) {
	quantize.SetIn(0, nil)
	if v.ReplaceAll(d) {
		quantize.SetIn(0, v)
	}
}

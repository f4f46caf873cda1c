package quant

import (
	"fmt"

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
// with its axis.
const (
	MinOpset        = 10
	PerChannelOpset = 13
)

// inserter writes one plan into the graph.
type inserter struct {
	c      *pass.Context
	p      *plan
	g      *graph.Graph
	params map[*graph.Value]activation   // chosen scale of a float value
	pairs  map[*graph.Value]*graph.Value // float value to its dequantized form
	weight map[weightKey]*quantWeight    // shared weights are quantized once
	scales map[float32]*graph.Value      // scalars that several nodes share
	zeros  map[uint8]*graph.Value

	weightZeros map[string]*graph.Value
}

// activation is the uint8 parameters of a float value.
type activation struct {
	scale float32
	zero  uint8
}

type weightKey struct {
	v    *graph.Value
	axis int
}

func insert(c *pass.Context, m *graph.Model) error {
	opset := m.Opset("")
	if opset < MinOpset {
		return fmt.Errorf("the model imports opset %d; QuantizeLinear needs %d: raise it when exporting", opset, MinOpset)
	}
	s := c.Settings.Quant
	if opset < PerChannelOpset && !s.PerTensor {
		s.PerTensor = true
		c.Warn("opset %d has no per-channel scales: weights get one scale each", opset)
	}
	p := newPlan(m, s, c.Shapes(), c.Kept)
	in := &inserter{c: c, p: p, g: m.Graph, params: map[*graph.Value]activation{},
		pairs: map[*graph.Value]*graph.Value{}, weight: map[weightKey]*quantWeight{}, scales: map[float32]*graph.Value{}, zeros: map[uint8]*graph.Value{},
		weightZeros: map[string]*graph.Value{}}
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
	return nil
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
	scale, zero := activationFormat.Params(r)
	in.params[v] = activation{scale: scale, zero: uint8(zero)}
	return nil
}

// activationFormat is uint8 with any zero point.
var activationFormat = calibrate.Format{Bits: 8}

// mergeConcats gives the inputs of a Concat the scale of its result.
func (in *inserter) mergeConcats() {
	for _, n := range in.p.order {
		q := in.p.nodes[n]
		if q.kind != op.QuantMerge {
			continue
		}
		for _, i := range q.act {
			in.params[n.In(i)] = in.params[q.result]
		}
	}
}

// pair is the dequantized form of float value v, made on first use.
func (in *inserter) pair(v *graph.Value) *graph.Value {
	if d, ok := in.pairs[v]; ok {
		return d
	}
	a := in.params[v]
	at := in.after(v)
	params := []*graph.Value{in.scale(a.scale), in.zero(a.zero)}
	q := in.node1(at, "QuantizeLinear", "q", append([]*graph.Value{v}, params...))
	d := in.node1(at, "DequantizeLinear", "d", append([]*graph.Value{q}, params...))
	in.pairs[v] = d
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
	if in.scales[x] == nil {
		in.scales[x] = in.g.AddInitializer("s", &graph.Data{Tensor: tensor.Scalar(x)})
	}
	return in.scales[x]
}

func (in *inserter) zero(z uint8) *graph.Value {
	if in.zeros[z] == nil {
		in.zeros[z] = in.g.AddInitializer("z", &graph.Data{Tensor: tensor.Scalar(z)})
	}
	return in.zeros[z]
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
		n.SetIn(i, in.pair(n.In(i)))
	}
	detail := "activations uint8"
	if q.weight > 0 {
		detail += ", " + in.weights(n, q)
	}
	switch {
	case q.float:
		detail += ", result float"
	case q.result != n.Out(0):
		detail += ", " + q.result.Def().Op + " fused"
	}
	if !q.float {
		in.pair(q.result)
	}
	in.c.Changed(n, "%s", detail)
}

// joinOutputs makes the remaining readers of quantized results, the graph's
// outputs among them, read the dequantized form, so that no operator computes
// its result twice.
func (in *inserter) joinOutputs() {
	for _, n := range in.p.order {
		q := in.p.nodes[n]
		d, ok := in.pairs[q.result]
		if q.float || !ok {
			continue
		}
		quantize := d.Def().In(0).Def()
		v := q.result
		for i := len(v.Uses()) - 1; i >= 0; i-- {
			u := v.Uses()[i]
			if u.Node != nil && u.Node != quantize {
				u.Node.SetIn(u.Index, d)
			}
		}
		if v.IsOutput() {
			in.renameOutput(v, d, quantize)
		}
	}
}

// renameOutput makes d the graph output that v was, under v's name.
func (in *inserter) renameOutput(v, d *graph.Value, quantize *graph.Node) {
	quantize.SetIn(0, nil)
	if v.ReplaceAll(d) {
		quantize.SetIn(0, v)
	}
}

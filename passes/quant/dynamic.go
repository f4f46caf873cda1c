package quant

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// Dynamic computes MatMul, Gemm and Conv in integers with activation ranges found
// at run time: DynamicQuantizeLinear, MatMulInteger or ConvInteger, scaled back
// to float32. It needs no samples.
var Dynamic = pass.Pass{
	Name:   "quantize-dynamic",
	Doc:    "compute MatMul, Gemm and Conv in integers, with activation ranges found at run time",
	Effect: pass.Lossy,
	Run:    dynamic,
}

// dynamicOpset is the first opset with DynamicQuantizeLinear.
const dynamicOpset = 11

func dynamic(c *pass.Context, m *graph.Model) error {
	if m.Opset("") < dynamicOpset {
		return fmt.Errorf("opset %d has no DynamicQuantizeLinear; it came with %d", m.Opset(""), dynamicOpset)
	}
	profile, err := FindProfile(c.Settings.Quant.Profile)
	if err != nil {
		return err
	}
	p := &plan{m: m, shapes: c.Shapes(), s: c.Settings.Quant, profile: profile}
	d := &dynamizer{c: c, g: m.Graph, quantized: map[*graph.Value]*graph.Node{}, weights: map[*graph.Value][2]*graph.Value{}}
	for n := range m.Graph.Nodes() {
		if !n.Is("MatMul", "Gemm", "Conv") {
			continue
		}
		r, err := op.Resolve(n, m.Opset)
		if err != nil {
			continue
		}
		q, reason := p.integer(n, r.Quant)
		switch {
		case skipped(n, p.s):
			c.Kept(n, "skipped on request")
		case q == nil:
			c.Kept(n, "%s", reason)
		case q.weight != 1 || n.In(1).Const().Len() < MinWeight:
			c.Kept(n, "its weight is not constant, or small")
		case n.Is("MatMul") && n.In(1).Const().Rank() != 2:
			c.Kept(n, "its weight is a stack of matrices")
		case !c.Allow():
			return nil
		default:
			d.node(n, q)
		}
	}
	return nil
}

type dynamizer struct {
	c         *pass.Context
	g         *graph.Graph
	quantized map[*graph.Value]*graph.Node     // activation to its DynamicQuantizeLinear
	weights   map[*graph.Value][2]*graph.Value // weight to its integers and scales
}

// node replaces Y = X*W + B by Cast(Xq*Wq) * (x_scale*w_scale) + B.
func (d *dynamizer) node(n *graph.Node, q *quantNode) {
	x := d.input(n.In(0), n)
	w := d.weight(n, q)
	in := []*graph.Value{x.Out(0), w[0], x.Out(2)}
	product := "MatMulInteger"
	var attrs []*graph.Attr
	if n.Is("Conv") {
		product, attrs = "ConvInteger", n.Attrs
	}
	y := d.emit(n, product, in, attrs...)
	y = d.emit(n, "Cast", []*graph.Value{y}, graph.Int("to", int64(tensor.Float32)))
	y = d.emit(n, "Mul", []*graph.Value{y, d.emit(n, "Mul", []*graph.Value{x.Out(1), w[1]})})
	if b := n.In(2); b != nil && !n.Is("MatMul") {
		t := b.Const()
		if n.Is("Conv") {
			shape := make([]int, n.In(1).Const().Rank()-1)
			for i := range shape {
				shape[i] = 1
			}
			shape[0] = t.Len()
			b = d.g.AddInitializer(b.Name, &graph.Data{Tensor: t.Reshaped(shape...)})
		}
		y = d.emit(n, "Add", []*graph.Value{y, b})
	}
	n.Out(0).Supersede(y)
	d.c.Changed(n, "%s on activations quantized at run time, weight int8 per channel", product)
	d.g.Remove(n)
}

// input is the DynamicQuantizeLinear of v, one for all its readers.
func (d *dynamizer) input(v *graph.Value, at *graph.Node) *graph.Node {
	if n := d.quantized[v]; n != nil {
		return n
	}
	n := d.g.NewNode("DynamicQuantizeLinear", []*graph.Value{v}, []string{d.g.Fresh("q"), d.g.Fresh("s"), d.g.Fresh("z")})
	d.g.InsertBefore(at, n)
	d.quantized[v] = n
	return n
}

// weight is the integers of n's weight, as MatMulInteger or ConvInteger wants
// them, and its scales, shaped to multiply the result.
func (d *dynamizer) weight(n *graph.Node, q *quantNode) [2]*graph.Value {
	v := n.In(1)
	if w, ok := d.weights[v]; ok {
		return w
	}
	t, axis := v.Const(), q.axis
	if n.Is("Gemm") && axis == 0 { // W' = W transposed
		t = transposed(t)
		axis = 1
	}
	limit := weightLimit(d.c.Settings.Quant)
	scale := weightScales(t, axis, limit)
	channels, inner := channelsOf(t, axis)
	values := make([]int8, t.Len())
	for i, x := range t.Float32s() {
		r := math.RoundToEven(float64(x / scale[i/inner%channels]))
		values[i] = int8(min(max(r, -float64(limit)), float64(limit)))
	}
	shape := []int{len(scale)}
	if n.Is("Conv") {
		for range t.Rank() - 2 {
			shape = append(shape, 1)
		}
	}
	w := [2]*graph.Value{d.g.AddInitializer(v.Name+"_q", &graph.Data{Tensor: tensor.Of(slices.Clone(t.Shape), values)}),
		d.g.AddInitializer("s", &graph.Data{Tensor: tensor.Of(shape, scale)})}
	d.weights[v] = w
	return w
}

func transposed(t *tensor.Tensor) *tensor.Tensor {
	rows, cols := t.Shape[0], t.Shape[1]
	v, out := t.Float32s(), make([]float32, t.Len())
	for i := range rows {
		for j := range cols {
			out[j*rows+i] = v[i*cols+j]
		}
	}
	return tensor.Of([]int{cols, rows}, out)
}

func (d *dynamizer) emit(at *graph.Node, op string, in []*graph.Value, attrs ...*graph.Attr) *graph.Value {
	n := d.g.NewNode(op, in, []string{d.g.Fresh("d")}, attrs...)
	d.g.InsertBefore(at, n)
	return n.Out(0)
}

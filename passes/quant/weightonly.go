package quant

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// Weights stores the float32 weights that no integer operator reads in 8 or 4
// bits: those of recurrent layers, embeddings, subgraphs, and of layers that
// stay float. They are dequantized by Cast and Mul, which runtimes fold when they
// load the model, so that it is as fast as before; a Gather reads integers, and
// only what it gathered is dequantized.
var Weights = pass.Pass{
	Name:   "quantize-weights",
	Doc:    "store weights that stay float, of LSTM, GRU, Gather and in subgraphs too, in 8 or 4 bits",
	Effect: pass.Lossy,
	Run:    quantizeWeights,
}

// MinWeight is the least number of elements worth the nodes that dequantize them.
const MinWeight = 512

func quantizeWeights(c *pass.Context, m *graph.Model) error {
	s := c.Settings.Quant
	if s.WeightBits == 4 && m.Opset("") < Bits16Opset {
		return fmt.Errorf("4-bit weights need opset %d; the model imports %d", Bits16Opset, m.Opset(""))
	}
	if m.Opset("") < 7 { // Mul does not broadcast
		c.Warn("opset %d: weights are left in float32", m.Opset(""))
		return nil
	}
	var graphs []*graph.Graph
	graphs = append(graphs, m.Graph)
	for n := range m.Graph.All() {
		for g := range n.Subgraphs() {
			graphs = append(graphs, g)
		}
	}
	for _, g := range graphs {
		var stored []*graph.Value
		for v := range g.Initializers() {
			stored = append(stored, v)
		}
		for _, v := range stored {
			t := v.Const()
			if t == nil || t.Type != tensor.Float32 || t.Len() < MinWeight || len(v.Uses()) == 0 {
				continue
			}
			axis, gathered, reason := weightUses(v, s)
			if reason != "" {
				if n := v.Uses()[0].Node; n != nil {
					c.Kept(n, "%s stays float32: %s", v.Name, reason)
				}
				continue
			}
			if !c.Allow() {
				return nil
			}
			if why := half(v, s); why != "" {
				storeHalf(c, g, v, why)
			} else {
				storeInteger(c, g, v, axis, gathered)
			}
		}
	}
	return nil
}

// weightUses is the channel axis of a weight, -1 if its readers do not agree on
// one, and whether Gather nodes read it; a reason if it is no weight.
func weightUses(v *graph.Value, s pass.QuantSettings) (axis int, gathered bool, reason string) {
	for i, u := range v.Uses() {
		if u.Node == nil {
			return 0, false, "it is an output"
		}
		a, ok := channelAxis(u.Node, u.Index, v.Const())
		switch {
		case skipped(u.Node, s):
			return 0, false, fmt.Sprintf("%s is skipped on request", u.Node.Title())
		case !ok:
			return 0, false, fmt.Sprintf("%s does not read it as a weight", u.Node.Title())
		case u.Node.Is("Gather"):
			gathered = true
			if !v.Const().Type.IsFloat() || u.Node.Graph() != v.Graph() {
				return 0, false, "a subgraph gathers from it"
			}
		}
		if i == 0 {
			axis = a
		} else if axis != a {
			axis = -1
		}
	}
	return axis, gathered, ""
}

// channelAxis is the axis of the weight t in slot i of n along which scales
// differ, -1 for one scale; false if it is no weight.
func channelAxis(n *graph.Node, i int, t *tensor.Tensor) (int, bool) {
	rank := t.Rank()
	switch {
	case n.Is("Conv") && i == 1:
		return 0, true
	case n.Is("ConvTranspose") && i == 1:
		if n.Int("group", 1) > 1 {
			return -1, true
		}
		return 1, true
	case n.Is("Gemm") && i == 1 && rank == 2:
		return gemmAxis(n), true
	case n.Is("MatMul") && rank >= 2 && i == 1:
		return rank - 1, true
	case n.Is("MatMul") && rank >= 2:
		return rank - 2, true
	case n.Is("LSTM", "GRU", "RNN") && (i == 1 || i == 2) && rank == 3:
		return 1, true
	case n.Is("Gather") && i == 0 && rank >= 2 && n.Int("axis", 0) == 0:
		return 0, true
	}
	return 0, false
}

// half says why the weight v is stored in float16, "" if in integers.
func half(v *graph.Value, s pass.QuantSettings) string {
	for _, u := range v.Uses() {
		switch {
		case slices.Contains(s.Half, Title(u.Node)):
			return "its layer is too sensitive for 8 bits"
		case u.Node.Is("Conv") && u.Node.Int("group", 1) > 1 && v.Const().Shape[1] == 1:
			return "depthwise: a scale for so few weights saves little and costs much accuracy"
		}
	}
	return ""
}

// storeHalf replaces v by float16 and a Cast, which runtimes fold.
func storeHalf(c *pass.Context, g *graph.Graph, v *graph.Value, why string) {
	t := v.Const()
	for _, x := range t.Float32s() {
		if x > 65504 || x < -65504 {
			return
		}
	}
	h := g.AddInitializer(v.Name+"_h", &graph.Data{Tensor: t.Convert(tensor.Float16, nil)})
	n := g.NewNode("Cast", []*graph.Value{h}, []string{g.Fresh("d")}, graph.Int("to", int64(tensor.Float32)))
	g.InsertBefore(first(g), n)
	v.ReplaceNodeUses(n.Out(0))
	c.ChangedValue(v, "stored as float16: %s", why)
}

func first(g *graph.Graph) *graph.Node {
	for n := range g.Nodes() {
		return n
	}
	return nil
}

// storeInteger replaces v by integers and scales.
func storeInteger(c *pass.Context, g *graph.Graph, v *graph.Value, axis int, gathered bool) {
	t, s := v.Const(), c.Settings.Quant
	limit := weightLimit(s)
	scale := weightScales(t, axis, limit)
	channels, inner := channelsOf(t, axis)
	w := t.Float32s()
	q := tensor.BuildInts(weightType(s), t.Shape, func(from int, v []int64) {
		for k := range v {
			r := math.RoundToEven(float64(w[from+k] / scale[(from+k)/inner%channels]))
			v[k] = int64(min(max(r, -float64(limit)), float64(limit)))
		}
	})
	shape := make([]int, t.Rank())
	for d := range shape {
		shape[d] = 1
	}
	if axis >= 0 {
		shape[axis] = channels
	} else {
		shape = nil
	}
	integers := g.AddInitializer(v.Name+"_q", &graph.Data{Tensor: q})
	scales := g.AddInitializer("s", &graph.Data{Tensor: tensor.Of(shape, scale)})
	how := "one scale"
	if axis >= 0 {
		how = fmt.Sprintf("%d scales along axis %d", channels, axis)
	}
	if gathered {
		for len(v.Uses()) > 0 {
			u := v.Uses()[0]
			if !u.Node.Is("Gather") {
				u.Node.SetIn(u.Index, dequantizeBefore(g, u.Node, integers, scales, 0))
				continue
			}
			gatherIntegers(u.Node, integers, scales, axis)
		}
	} else {
		through := tensor.Undefined
		for _, u := range v.Uses() {
			if u.Node.Is("LSTM", "GRU", "RNN") {
				through = tensor.Int32 // OpenVINO folds that, and wants a constant
			}
		}
		v.ReplaceNodeUses(dequantizeBefore(g, first(g), integers, scales, through))
	}
	c.ChangedValue(v, "stored as %v, %s", weightType(s), how)
}

// dequantizeBefore is integers * scales in float32 before node at, cast through
// another type if that is given.
func dequantizeBefore(g *graph.Graph, at *graph.Node, integers, scales *graph.Value, through tensor.DType) *graph.Value {
	emit := func(op string, in []*graph.Value, attrs ...*graph.Attr) *graph.Value {
		n := g.NewNode(op, in, []string{g.Fresh("d")}, attrs...)
		g.InsertBefore(at, n)
		return n.Out(0)
	}
	x := integers
	if through != 0 {
		x = emit("Cast", []*graph.Value{x}, graph.Int("to", int64(through)))
	}
	x = emit("Cast", []*graph.Value{x}, graph.Int("to", int64(tensor.Float32)))
	return emit("Mul", []*graph.Value{x, scales})
}

// gatherIntegers makes n gather integers, and scales if there is one for each
// row, and dequantizes the result.
func gatherIntegers(n *graph.Node, integers, scales *graph.Value, axis int) {
	g, y := n.Graph(), n.Out(0)
	pick := func(from *graph.Value) *graph.Value {
		x := g.NewNode("Gather", []*graph.Value{from, n.In(1)}, []string{g.Fresh("g")})
		g.InsertBefore(n, x)
		return x.Out(0)
	}
	s := scales
	if axis == 0 {
		s = pick(scales)
	}
	y.Supersede(dequantizeBefore(g, n, pick(integers), s, 0))
	g.Remove(n)
}

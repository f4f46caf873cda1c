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

// Half computes in float16 or bfloat16. Inputs and outputs of the model keep
// their types; operators that have no such form, and subgraphs, stay in float32
// between Casts.
var Half = pass.Pass{
	Name:   "half-precision",
	Doc:    "compute in float16 or bfloat16; inputs and outputs keep their types",
	Effect: pass.Lossy,
	Run:    runHalf,
}

// float32Only is operators that lose too much in 16 bits, or that runtimes lack there.
var float32Only = []string{"Resize", "Upsample", "NonMaxSuppression", "RoiAlign", "TopK", "CumSum", "Range", "QuantizeLinear", "DequantizeLinear",
	"DynamicQuantizeLinear", "If", "Loop", "Scan", "ReduceSumSquare", "ReduceL2", "LRN", "DFT", "STFT"}

// halver converts one graph. A value is low when it is computed in 16 bits.
type halver struct {
	c      *pass.Context
	m      *graph.Model
	g      *graph.Graph
	to     tensor.DType
	float  map[*graph.Value]bool         // values of type float32
	slots  map[*graph.Node][]bool        // input slots of converted nodes that become low
	low    map[*graph.Value]bool         // results of converted nodes
	narrow map[*graph.Value]*graph.Value // 16-bit forms of float32 values
}

func runHalf(c *pass.Context, m *graph.Model) error {
	h := &halver{c: c, m: m, g: m.Graph, to: tensor.Float16, float: map[*graph.Value]bool{}, slots: map[*graph.Node][]bool{},
		low: map[*graph.Value]bool{}, narrow: map[*graph.Value]*graph.Value{}}
	switch c.Settings.Quant.Half16 {
	case "", "float16":
	case "bfloat16":
		h.to = tensor.BFloat16
	default:
		return fmt.Errorf("half precision %q: want float16 or bfloat16", c.Settings.Quant.Half16)
	}
	s := c.Shapes()
	for v := range m.Graph.Values() {
		h.float[v] = v.Const() != nil && v.Const().Type == tensor.Float32 || s.Type(v).Elem == tensor.Float32 && s.Type(v).Kind == graph.TensorKind
	}
	for n := range m.Graph.Nodes() {
		slots, reason := h.convertible(n)
		switch {
		case slots == nil:
			if reason != "" {
				c.Kept(n, "%s", reason)
			}
		case !c.Allow():
			return nil
		default:
			h.slots[n] = slots
			for _, v := range n.Outputs() {
				if v != nil && h.float[v] {
					h.low[v] = true
				}
			}
		}
	}
	h.rewrite()
	return nil
}

// convertible is which inputs of n become 16-bit, nil with a reason if n stays.
func (h *halver) convertible(n *graph.Node) ([]bool, string) {
	r, err := op.Resolve(n, h.m.Opset)
	if err != nil {
		return nil, "unknown operator: left as it is"
	}
	slots := make([]bool, len(n.Inputs()))
	converted := map[string]bool{}
	for i, v := range n.Inputs() {
		p := r.Schema.InParam(i)
		if v == nil || p == nil || !h.float[v] {
			continue
		}
		slots[i] = slices.ContainsFunc(p.Allowed, func(t graph.Type) bool { return t.Kind == graph.TensorKind && t.Elem == h.to })
		if slots[i] {
			converted[p.Type] = true
		}
	}
	if n.Is("Cast") && n.Int("to", 0) == int64(tensor.Float32) {
		return make([]bool, len(slots)), ""
	}
	if len(converted) == 0 {
		return nil, ""
	}
	if n.Is(float32Only...) {
		return nil, fmt.Sprintf("%s stays in float32", n.Op)
	}
	for i, v := range n.Outputs() {
		if p := r.Schema.OutParam(i); v != nil && h.float[v] && (p == nil || !converted[p.Type]) {
			return nil, fmt.Sprintf("%s has no %v result", n.Op, h.to)
		}
	}
	return slots, ""
}

func (h *halver) rewrite() {
	for n := range h.g.Nodes() {
		slots, ok := h.slots[n]
		if !ok {
			continue
		}
		if n.Is("Cast") && h.low[n.Out(0)] {
			n.SetAttr(graph.Int("to", int64(h.to)))
		}
		for i, v := range n.Inputs() {
			if v != nil && slots[i] && !h.low[v] {
				n.SetIn(i, h.narrowed(v))
			}
		}
		h.c.Changed(n, "computes in %v", h.to)
	}
	var low []*graph.Value
	for v := range h.g.Values() {
		if h.low[v] {
			low = append(low, v)
		}
	}
	for _, v := range low {
		h.widenReaders(v)
		v.Type = graph.Type{}
	}
}

// narrowed is v in 16 bits: constants are converted.
func (h *halver) narrowed(v *graph.Value) *graph.Value {
	if x := h.narrow[v]; x != nil {
		return x
	}
	if t := v.Const(); t != nil {
		var limit func([]float64)
		if h.to == tensor.Float16 {
			limit = finite16
		}
		h.narrow[v] = h.g.AddInitializer(v.Name, &graph.Data{Tensor: t.Convert(h.to, limit)})
		return h.narrow[v]
	}
	at := first(h.g)
	if d := v.Def(); d != nil {
		at = d.Next()
	}
	h.narrow[v] = h.cast(v, at, h.to)
	return h.narrow[v]
}

// finite16 brings finite values into the range of float16: masks of -1e9 stay
// finite.
func finite16(v []float64) {
	for i, x := range v {
		if !math.IsInf(x, 0) {
			v[i] = min(max(x, -65504), 65504)
		}
	}
}

func (h *halver) cast(v *graph.Value, at *graph.Node, to tensor.DType) *graph.Value {
	n := h.g.NewNode("Cast", []*graph.Value{v}, []string{h.g.Fresh("h")}, graph.Int("to", int64(to)))
	h.g.InsertBefore(at, n)
	return n.Out(0)
}

// widenReaders gives readers of a low value that did not convert its float32
// form: nodes, subgraphs, and the outputs of the graph, which keep their name.
func (h *halver) widenReaders(v *graph.Value) {
	var low, high []graph.Use
	for _, u := range v.Uses() {
		slots := h.slots[u.Node]
		if u.Node != nil && u.Index < len(slots) && slots[u.Index] {
			low = append(low, u)
		} else {
			high = append(high, u)
		}
	}
	if len(high) == 0 {
		return
	}
	n := h.g.NewNode("Cast", []*graph.Value{nil}, []string{h.g.Fresh("f")}, graph.Int("to", int64(tensor.Float32)))
	h.g.InsertBefore(v.Def().Next(), n)
	if !v.ReplaceAll(n.Out(0)) {
		return
	}
	n.SetIn(0, v)
	for _, u := range low {
		u.Node.SetIn(u.Index, v)
	}
}

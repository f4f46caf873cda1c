package graphtest

import (
	"fmt"
	"slices"
	"strings"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
)

// forms is the sizes of the constants that operators want beside their first
// input, whose own sizes are named first: a letter for each, M and K new ones.
var forms = map[string][]string{
	"Conv": {"NCHW MC11 M", "NCHW MC33 M", "NCHW MC22", "NCH MC2 M", "NCHW C122 C"}, "ConvTranspose": {"NCHW CM22 M", "NCHW CM33"},
	"Gemm": {"AB BM M", "AB BM 1"}, "MatMul": {"AB BM", "ABC CM", "NCHW WM", "A AM"}, "BatchNormalization": {"NCHW C C C C", "NC C C C C"},
	"InstanceNormalization": {"NCHW C C", "NCH C C"}, "LayerNormalization": {"ABC C C", "AB B B", "NCHW W"}, "PRelu": {"NCHW C11", "AB B"},
	"QuantizeLinear": {"* 0 0", "*"}, "DequantizeLinear": {"* 0 0", "*"}, "Add": {"NCHW C11", "NCHW 0", "AB B", "ABC C"}, "Mul": {"NCHW C11", "NCHW 0", "AB B"},
	"GRU": {"SBI 1HI 1HH"}, "GroupNormalization": {"NCHW C C"},
}

// arguments draws the inputs of a node: values that are there and constants.
func (b *builder) arguments(r op.Resolved) ([]value, bool) {
	types, form := map[string]tensor.DType{}, []string(nil)
	if list := forms[r.Name]; len(list) > 0 && b.IntN(8) > 0 {
		form = strings.Fields(list[b.IntN(len(list))])
	}
	var in []value
	for _, p := range r.Schema.In {
		n := 1
		switch {
		case p.Optional && form != nil && len(in) >= len(form), p.Optional && form == nil && b.IntN(2) == 0:
			in = append(in, value{})
			continue
		case p.Variadic:
			n = p.Min + b.IntN(3)
		}
		for range n {
			x, ok := b.argument(r.Name, p, types, in, form)
			if !ok {
				return nil, false
			}
			in = append(in, x)
		}
	}
	for len(in) > 0 && in[len(in)-1].x == nil {
		in = in[:len(in)-1]
	}
	return in, len(in) > 0 || len(r.Schema.In) == 0 || r.Schema.In[0].Optional
}

func (b *builder) argument(name string, p op.Param, types map[string]tensor.DType, in []value, form []string) (value, bool) {
	bound, tied := types[p.Type]
	suits := func(t tensor.DType) bool {
		if tied && !p.Heterogeneous {
			return t == bound
		}
		return slices.ContainsFunc(p.Allowed, func(a graph.Type) bool { return a.Kind == graph.TensorKind && a.Elem == t })
	}
	var fit []value
	for _, v := range b.values {
		if suits(v.x.Type) && (form == nil || len(in) > 0 || form[0] == "*" || v.x.Rank() == len(form[0])) {
			fit = append(fit, v)
		}
	}
	constant := len(in) > 0 && (form != nil && len(in) < len(form) || b.IntN(3) == 0)
	if len(fit) > 0 && !constant {
		x := fit[max(0, len(fit)-1-b.IntN(4))]
		types[p.Type] = x.x.Type
		return x, true
	}
	if len(in) == 0 && b.IntN(8) > 0 {
		return value{}, false
	}
	t := bound
	if !tied {
		var list []tensor.DType
		for _, a := range p.Allowed {
			if a.Kind == graph.TensorKind && !a.Elem.IsComplex() {
				list = append(list, a.Elem)
			}
		}
		if len(list) == 0 {
			return value{}, false
		}
		if t = pick(b, list...); slices.Contains(list, tensor.Float32) && b.IntN(3) > 0 {
			t = tensor.Float32
		}
	}
	types[p.Type] = t
	return b.constant(name, t, in, form), true
}

// constant draws a new constant that fits the inputs before it.
func (b *builder) constant(name string, t tensor.DType, in []value, form []string) value {
	var first []int
	if len(in) > 0 && in[0].x != nil {
		first = in[0].x.Shape
	}
	var shape []int
	switch {
	case form != nil && len(in) < len(form) && (form[0] == "*" || len(form[0]) == len(first)):
		shape = b.formed(form, len(in), first)
	case t == tensor.Int64 && len(in) > 0 && b.IntN(8) > 0:
		return value{x: b.numbers(first)}
	default:
		shape = pick(b, first, nil, []int{1}, []int{len(first)}, b.shape())
		if len(first) > 0 && b.IntN(3) == 0 {
			shape = first[len(first)-1:]
		}
	}
	x := b.filled(t, shape)
	if strings.HasSuffix(name, "antizeLinear") && len(in) == 1 || name == "BatchNormalization" && len(in) == 4 {
		v := x.Floats()
		for i := range v {
			v[i] = []float64{0.5, 0.25, 1, 0.0625}[b.rand.IntN(4)]
		}
		x = tensor.FromFloats(t, shape, v)
	}
	return value{x: x}
}

// formed is the shape of input i in a form.
func (b *builder) formed(form []string, i int, first []int) []int {
	sizes := map[byte]int{'M': pick(b, 2, 4, 8, 3), 'H': pick(b, 2, 3)}
	for k := range first {
		if form[0] != "*" {
			sizes[form[0][k]] = first[k]
		}
	}
	if form[i] == "0" {
		return nil
	}
	shape := make([]int, len(form[i]))
	for k := range shape {
		c := form[i][k]
		if shape[k] = sizes[c]; c >= '0' && c <= '9' {
			shape[k] = int(c - '0')
		}
	}
	return shape
}

// numbers is a vector as shapes, axes, indices, starts and sizes are.
func (b *builder) numbers(first []int) *tensor.Tensor {
	rank := len(first)
	v := make([]int64, pick(b, 1, rank, 1, 2, 2*rank))
	for i := range v {
		v[i] = int64(b.IntN(5) - 1)
	}
	switch b.IntN(4) {
	case 0: // the shape itself, or with its last axes joined
		v = v[:0]
		for _, n := range first {
			v = append(v, int64(n))
		}
		if rank > 1 && b.IntN(2) == 0 {
			v = append(v[:rank-2], -1)
		}
	case 1:
		return tensor.Of(nil, []int64{int64(b.IntN(3))})
	}
	return tensor.Vector(v...)
}

func (b *builder) outputs(s *op.Schema) []string {
	var outs []string
	for i, p := range s.Out {
		n := 1
		switch {
		case p.Variadic:
			n = max(p.Min, 1) + b.IntN(2)
		case p.Optional && b.IntN(3) > 0:
			return outs
		}
		for k := range n {
			outs = append(outs, fmt.Sprintf("y%d_%d", i, k))
		}
	}
	return outs
}

var words = []string{"nearest", "linear", "constant", "reflect", "edge", "SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET", "add", "mul", "max", "sum", "mean", "none",
	"LEFT", "RIGHT", "tanh", "ij,jk->ik", "...->..."}

// attributes draws those of a node.
func (b *builder) attributes(r op.Resolved, in []value) []*graph.Attr {
	rank, channels := 0, 1
	if len(in) > 0 && in[0].x != nil {
		if rank = in[0].x.Rank(); rank > 1 {
			channels = in[0].x.Shape[1]
		}
	}
	var attrs []*graph.Attr
	for _, a := range r.Schema.Attrs {
		grouped := a.Name == "group" && len(in) > 1 && in[1].x != nil && in[1].x.Rank() == rank && rank > 1 && in[1].x.Shape[1] > 0
		if !a.Required && b.IntN(3) > 0 && !grouped {
			continue
		}
		switch x := (&graph.Attr{Name: a.Name, Kind: a.Kind}); {
		case a.Name == "perm":
			for _, k := range b.rand.Perm(rank) {
				x.Ints = append(x.Ints, int64(k))
			}
			attrs = append(attrs, x)
		case a.Name == "axis" && rank > 0:
			attrs = append(attrs, graph.Int("axis", int64(b.IntN(2*rank)-rank)))
		case a.Name == "to":
			attrs = append(attrs, graph.Int("to", int64(pick(b, tensor.Float32, tensor.Int64, tensor.Int32, tensor.Bool, tensor.Float16, tensor.Float64, tensor.Uint8))))
		case grouped:
			attrs = append(attrs, graph.Int("group", int64(channels/in[1].x.Shape[1])))
		default:
			if x := b.attribute(a, rank); x != nil {
				attrs = append(attrs, x)
			}
		}
	}
	return attrs
}

func (b *builder) attribute(a op.AttrSpec, rank int) *graph.Attr {
	switch a.Kind {
	case graph.AttrInt:
		return graph.Int(a.Name, int64(b.IntN(5)-1))
	case graph.AttrFloat:
		return graph.Float(a.Name, float32(b.IntN(5))/2)
	case graph.AttrString:
		return graph.Str(a.Name, pick(b, words...))
	case graph.AttrTensor:
		return graph.TensorAttr(a.Name, b.filled(tensor.Float32, []int{1}))
	case graph.AttrInts:
		x := &graph.Attr{Name: a.Name, Kind: a.Kind}
		for range max(0, pick(b, 1, 2, rank-2, rank-2, 2*(rank-2), rank)) {
			x.Ints = append(x.Ints, int64(1+b.IntN(3)-b.IntN(2)))
		}
		return x
	}
	return nil
}

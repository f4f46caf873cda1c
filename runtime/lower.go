package runtime

import (
	"errors"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
)

// errFallback is a fast path's word that it is not made for these inputs.
var errFallback = errors.New("no fast path for these inputs")

var errLayout = errors.New("a value has not the rank that its type says")

// Lowering is one fast path: it recognizes a node, possibly with nodes before
// it, and runs them in one step. The reference evaluation stays the oracle.
type Lowering struct {
	Name, Doc string
	// Match looks at the last node of what it would cover.
	Match func(l *lowerer, n *graph.Node) *lowered
}

// Lowerings is every fast path, in the order they are tried.
var Lowerings = []Lowering{
	{"integer-conv", "DequantizeLinear - Conv - [Relu, Clip] - QuantizeLinear in integers", matchIntegerConv},
	{"integer-conv-transpose", "DequantizeLinear - ConvTranspose - [Relu, Clip] - QuantizeLinear in integers", matchIntegerConvTranspose},
	{"integer-matmul", "DequantizeLinear - Gemm or MatMul with constant weights - [Relu, Clip] - QuantizeLinear in integers", matchIntegerMatMul},
	{"integer-binary", "DequantizeLinear - Add or Mul - [Relu, Clip] - QuantizeLinear on bytes", matchIntegerBinary},
	{"integer-table", "element-wise operators between one DequantizeLinear and a QuantizeLinear as a table", matchIntegerTable},
	{"integer-concat", "DequantizeLinear - Concat - QuantizeLinear on bytes", matchIntegerConcat},
	{"integer-mean", "DequantizeLinear - average pool - QuantizeLinear in integers", matchIntegerMean},
	{"integer-move", "DequantizeLinear - MaxPool, Reshape, Transpose, ... - QuantizeLinear on bytes", matchIntegerMove},
	{"integer-product", "DequantizeLinear - MatMul of two activations - [QuantizeLinear] in integers", matchIntegerProduct},
	{"integer-operator", "QLinearConv, QLinearMatMul, ConvInteger, MatMulInteger with constant weights", matchIntegerOperator},
	{"dynamic-quantize", "DynamicQuantizeLinear", matchDynamicQuantize},
	{"integer-conv-float", "DequantizeLinear - Conv in integers, with a float result", matchIntegerConvFloat},
	{"integer-matmul-float", "DequantizeLinear - Gemm or MatMul - [Add of a row] in integers, with a float result", matchIntegerMatMulFloat},
	{"attention", "float32 softmax(scale*(Q K^T) + mask) V, with the transposes around it", matchAttention},
	{"conv", "float32 Conv of one or two spatial axes, with scaling, BatchNormalization, residual and activation after it", matchConv},
	{"conv-volume", "float32 Conv of three spatial axes", matchConvVolume},
	{"conv-transpose", "float32 ConvTranspose of two spatial axes with constant weights, with scaling and activation after it", matchConvTranspose},
	{"gemm", "float32 Gemm and MatMul, with bias, residual and activation after it", matchGemm},
	{"nbits", "MatMulNBits with constant weights, as float32", matchNBits},
	{"pool", "float32 MaxPool and AveragePool", matchPool},
	{"global-pool", "float32 GlobalAveragePool and ReduceMean over the spatial axes", matchGlobalPool},
	{"softmax", "float32 Softmax and LogSoftmax over the last axes or one inside", matchSoftmax},
	{"layer-norm", "float32 LayerNormalization and RMSNormalization, the first also spelled by nine nodes", matchLayerNorm},
	{"batch-norm", "float32 BatchNormalization that no convolution takes over", matchBatchNorm},
	{"instance-norm", "float32 InstanceNormalization", matchInstanceNorm},
	{"reduce", "float32 ReduceSum, ReduceMean, ReduceMax, ReduceMin, ReduceL2 over the last axes", matchReduce},
	{"recurrent", "float32 LSTM and GRU", matchRecurrent},
	{"view", "Reshape, Flatten, Squeeze, Unsqueeze, Identity: the same elements in another shape", matchView},
	{"expand", "Expand", matchExpand},
	{"cast", "Cast of integers and Bool to float32 or float16, and between these", matchCast},
	{"transpose", "Transpose; none where it is a change of layout", matchTranspose},
	{"concat", "Concat in either layout", matchConcat},
	{"split", "Split in either layout", matchSplit},
	{"slice", "Slice with constant bounds in either layout", matchSlice},
	{"pad", "Pad with a constant in either layout", matchPad},
	{"gather", "Gather of whole rows", matchGather},
	{"resize", "float32 Resize in either layout", matchResize},
	{"binary", "float32 Add, Sub, Mul, Div, with a function after it", matchBinary},
	{"square", "float32 Pow with the constant 2", matchSquare},
	{"einsum", "float32 Einsum of two operands that is a matrix product", matchEinsum},
	{"function", "float32 functions of one variable, also spelled by several nodes: SiLU, HardSwish, Gelu", matchFunction},
	{"quantize", "float32 QuantizeLinear and DequantizeLinear", matchQuantize},
}

// lowered is a step that a fast path makes: it reads in and computes out.
type lowered struct {
	in, out []*graph.Value
	run     stepFunc
	// nodes is what the step covers, in order; nil is the matched node alone.
	nodes []*graph.Node
	// inLast[i] and outLast are the ranks of inputs and outputs that the step
	// takes and gives channels last; 0 is as they are.
	inLast  []int
	outLast int
	// place, if set, is called when the layouts of what comes before are
	// chosen, to set inLast and outLast.
	place func(b *builder)
	// prepare, if set, is called once when it is clear that the step stays,
	// to pack weights.
	prepare func() error
	path    string // the name of the Lowering
}

// stepFunc computes one step. One that finds inputs it is not made for
// returns errFallback, and the nodes are evaluated instead.
type stepFunc func(f *frame, in []tensor.Value) ([]tensor.Value, error)

// lowerer is what a match function may look at.
type lowerer struct {
	s      *Session
	graph  *graph.Graph
	opset  func(string) int64
	folded map[*graph.Value]*tensor.Tensor // results of exact; nil is none
	// resolved is the operators of the graph's nodes.
	resolved map[*graph.Node]op.Resolved
}

// resolve is the operator of n, as op.Resolve finds it.
func (l *lowerer) resolve(n *graph.Node) (op.Resolved, error) {
	if r, ok := l.resolved[n]; ok {
		return r, nil
	}
	return op.Resolve(n, l.opset)
}

// hidden reports that v, computed inside a fused step, is needed nowhere else.
func (l *lowerer) hidden(v *graph.Value) bool { return l.hiddenIn(v, 1) }

// hiddenIn is hidden for a value that the fused step itself reads uses times.
func (l *lowerer) hiddenIn(v *graph.Value, uses int) bool {
	return v != nil && l.roundsLater(v) && v.Def() != nil && len(v.Uses()) == uses && !v.IsOutput() && !l.s.watches(v) && v.Graph() == l.graph &&
		v.Uses()[0].Node.Graph() == l.graph
}

// watches reports that the session's observer wants v.
func (s *Session) watches(v *graph.Value) bool {
	return v != nil && s.opts.Observe != nil && (s.opts.Watch == nil || s.opts.Watch[v])
}

// lower finds the fast path of n, nil if there is none.
func (l *lowerer) lower(n *graph.Node) *lowered {
	if l.s.opts.Reference || graph.CanonicalDomain(n.Domain) != "" && !isNBits(n) || l.s.model.Function(n.Domain, n.Op, n.Overload) != nil ||
		n.Out(0) == nil || n.In(0) == nil {
		return nil
	}
	half := slices.ContainsFunc(n.Inputs(), l.wide) || slices.ContainsFunc(n.Outputs(), l.wide)
	for i := range Lowerings {
		rounds, ok := halfPaths[Lowerings[i].Name]
		if half && !ok {
			continue
		}
		if f := Lowerings[i].Match(l, n); f != nil {
			f.path = Lowerings[i].Name
			if half && rounds {
				l.round(f)
			}
			return f
		}
	}
	return nil
}

// attrs is the attribute reader of n at the opset in force.
func (l *lowerer) attrs(n *graph.Node) (*op.Attrs, bool) {
	r, err := l.resolve(n)
	if err != nil {
		return nil, false
	}
	return &op.Attrs{Node: n, Since: r.Since, Schema: r.Schema}, true
}

// types is what inference knows of the model.
func (s *Session) types() *shape.Info {
	if s.info == nil {
		s.info = shape.Infer(s.model)
	}
	return s.info
}

// typeOf is what inference knows of v, of which float16 is held as float32.
func (l *lowerer) typeOf(v *graph.Value) graph.Type {
	t := l.s.types().Type(v)
	if l.wide(v) {
		t.Elem = tensor.Float32
	}
	return t
}

// float32Rank is the rank of v, -1 if it is not known to be a float32 tensor
// of a known rank.
func (l *lowerer) float32Rank(v *graph.Value) int {
	if c := v.Const(); c != nil {
		if c.Type != tensor.Float32 && !l.wide(v) {
			return -1
		}
		return c.Rank()
	}
	t := l.typeOf(v)
	if t.Kind != graph.TensorKind || t.Elem != tensor.Float32 || !t.Ranked {
		return -1
	}
	return len(t.Shape)
}

// tensorsOnly reports that n, evaluated by its definition, keeps no hold of
// its inputs but in output tensors.
func (l *lowerer) tensorsOnly(n *graph.Node) bool {
	for range n.Subgraphs() {
		return false
	}
	for _, v := range n.Outputs() {
		if t := l.typeOf(v); v != nil && t.Kind != graph.TensorKind {
			return false
		}
	}
	return true
}

// A constant that is computed at compile time has at most foldGrowth times the
// bytes of what it is computed from and maxFolded more: enough for the decoders
// of encoded weights, which unpack up to eight values from one, in float64.
const (
	foldGrowth = 16
	maxFolded  = 1 << 20
)

// constant is the value of v, as it is held, if it follows from initializers
// alone, nil otherwise, or when fast paths are off.
func (l *lowerer) constant(v *graph.Value) *tensor.Tensor {
	c := l.exact(v)
	if c == nil {
		return nil
	}
	return l.held(v, c)
}

// exact is constant, of the type that v has in the model.
func (l *lowerer) exact(v *graph.Value) *tensor.Tensor {
	if v == nil {
		return nil
	}
	if c := v.Const(); c != nil || v.Def() == nil || v.Graph() != l.graph || l.s.opts.Reference {
		return c
	}
	if t, ok := l.folded[v]; ok {
		return t
	}
	l.folded[v] = nil
	l.fold(v.Def())
	return l.folded[v]
}

// fixed is constant, or the default of an input. What is made of it holds for
// as long as a run's tensor is this very one.
func (l *lowerer) fixed(v *graph.Value) *tensor.Tensor {
	if v != nil && v.Data != nil && v.Data.Tensor != nil && !l.wide(v) {
		return v.Data.Tensor
	}
	return l.constant(v)
}

func (l *lowerer) fold(n *graph.Node) {
	r, err := l.resolve(n)
	if err != nil || r.Eval == nil || r.Flags&(op.Random|op.Control) != 0 || l.s.model.Function(n.Domain, n.Op, n.Overload) != nil {
		return
	}
	for range n.Subgraphs() {
		return
	}
	in, size := make([]tensor.Value, len(n.Inputs())), 0
	for i, v := range n.Inputs() {
		if v == nil {
			continue
		}
		c := l.exact(v)
		if c == nil {
			return
		}
		in[i], size = c, size+len(c.Bytes())
	}
	limit := min(foldGrowth*size+maxFolded, l.s.maxBytes())
	out, err := r.Run(n, &op.Env{MaxBytes: limit, MaxSteps: 1}, in)
	if err != nil {
		return // the error belongs to the run
	}
	for i, v := range n.Outputs() {
		if t, ok := out[i].(*tensor.Tensor); ok && v != nil {
			l.folded[v] = t
		}
	}
}

func (s *Session) maxBytes() int {
	if s.opts.MaxBytes == 0 {
		return op.DefaultMaxBytes
	}
	return s.opts.MaxBytes
}

// float32In is the inputs as float32 tensors; false if one is something else.
func float32In(in []tensor.Value) ([]*tensor.Tensor, bool) {
	out := make([]*tensor.Tensor, len(in))
	for i, v := range in {
		if v == nil {
			continue
		}
		t, ok := v.(*tensor.Tensor)
		if !ok || t.Type != tensor.Float32 {
			return nil, false
		}
		out[i] = t
	}
	return out, true
}

package fuse

import (
	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
	"onnxopt/passes/rewrite"
)

// Activations puts one operator in place of the spellings of activation
// functions that exporters write for opsets without them.
var Activations = pass.Pass{
	Name:   "fuse-activations",
	Doc:    "Gelu, HardSwish, HardSigmoid, Mish, Swish, Softplus, LogSoftmax from their spellings, where the opset has them",
	Group:  "simplify",
	Effect: pass.Close,
	Run: func(c *pass.Context, m *graph.Model) error {
		return rewrite.RunRules(c, m, activationRules)
	},
}

// unary makes an operator of the match's x.
func unary(op string, attrs ...*graph.Attr) func(*rewrite.Editor, *rewrite.Match) *graph.Value {
	return func(e *rewrite.Editor, m *rewrite.Match) *graph.Value {
		return e.Add(m.Root, op, []*graph.Value{m.Value("x")}, rewrite.CloneAttrs(attrs)...)
	}
}

// keepsShape declines a match whose result is broadcast to another shape than
// x, or that is not of floats.
func keepsShape(e *rewrite.Editor, m *rewrite.Match) string {
	x, y := e.Type(m.Value("x")), e.Type(m.Root.Out(0))
	if !x.Elem.IsFloat() {
		return "it is not of floats"
	}
	if !x.Ranked || !y.Ranked || len(x.Shape) != len(y.Shape) {
		return "a constant may broadcast it"
	}
	return ""
}

// erfc: 0.5*x*erfc(-x/sqrt(2)), see repair.

var activationRules = []rewrite.Rule{
	{
		// Hendrycks, Gimpel, "Gaussian Error Linear Units": x*Phi(x).
		Name: "Gelu", Opset: 20, Check: keepsShape, Apply: unary("Gelu"),
		Patterns: []string{
			`p (x) => (y) <float r = {1.4142135623730951}, float one = {1.0}, float half = {0.5}>
				{ a = Div(x, r) b = Erf(a) c = Add(b, one) d = Mul(x, c) y = Mul(d, half) }`,
			`p (x) => (y) <float r = {0.7071067811865476}, float one = {1.0}, float half = {0.5}>
				{ a = Mul(x, r) b = Erf(a) c = Add(b, one) d = Mul(x, c) y = Mul(d, half) }`,
			`p (x) => (y) <float r = {1.4142135623730951}, float one = {1.0}, float half = {0.5}>
				{ a = Div(x, r) b = Erf(a) c = Add(b, one) d = Mul(x, half) y = Mul(d, c) }`,
			`p (x) => (y) <float r = {0.7071067811865476}, float one = {1.0}, float half = {0.5}>
				{ a = Mul(x, r) b = Erf(a) c = Add(b, one) d = Mul(x, half) y = Mul(d, c) }`,
			`p (x) => (y) <float r = {1.4142135623730951}, float one = {1.0}, float half = {0.5}>
				{ a = Div(x, r) b = Erf(a) c = Add(b, one) d = Mul(c, half) y = Mul(x, d) }`,
			`p (x) => (y) <float r = {0.7071067811865476}, float one = {1.0}, float half = {0.5}>
				{ a = Mul(x, r) b = Erf(a) c = Add(b, one) d = Mul(c, half) y = Mul(x, d) }`,
			`p (x) => (y) <float r = {-0.7071067811865476}, float one = {1.0}, float half = {0.5}>
				{ a = Mul(x, r) b = Erf(a) c = Sub(one, b) d = Mul(x, half) y = Mul(d, c) }`,
			`p (x) => (y) <float r = {0.7071067811865476}, float one = {1.0}, float half = {0.5}>
				{ n = Neg(x) a = Mul(n, r) b = Erf(a) c = Sub(one, b) d = Mul(x, half) y = Mul(d, c) }`,
		},
	},
	{
		// 0.5*x*(1 + tanh(sqrt(2/pi)*(x + 0.044715*x^3))).
		Name: "Gelu (tanh)", Opset: 20, Check: keepsShape, Apply: unary("Gelu", graph.Str("approximate", "tanh")),
		Patterns: tanhPatterns(),
	},
	{
		Name: "HardSwish", Opset: 14, Check: keepsShape, Apply: unary("HardSwish"),
		Patterns: []string{
			`p (x) => (y) <float three = {3.0}, float zero = {0.0}, float six = {6.0}>
				{ a = Add(x, three) b = Clip(a, zero, six) c = Mul(x, b) y = Div(c, six) }`,
			`p (x) => (y) <float three = {3.0}, float zero = {0.0}, float six = {6.0}>
				{ a = Add(x, three) b = Clip(a, zero, six) c = Div(b, six) y = Mul(x, c) }`,
			`p (x) => (y) <float three = {3.0}, float zero = {0.0}, float six = {6.0}, float sixth = {0.16666666666666666}>
				{ a = Add(x, three) b = Clip(a, zero, six) c = Mul(b, sixth) y = Mul(x, c) }`,
			`p (x) => (y) <float three = {3.0}, float zero = {0.0}, float six = {6.0}, float sixth = {0.16666666666666666}>
				{ a = Add(x, three) b = Clip(a, zero, six) c = Mul(x, b) y = Mul(c, sixth) }`,
			`p (x) => (y) { a = HardSigmoid<alpha = 0.16666667, beta = 0.5>(x) y = Mul(x, a) }`,
		},
	},
	{
		Name: "HardSigmoid", Opset: 6, Check: keepsShape,
		Apply: unary("HardSigmoid", graph.Float("alpha", 1.0/6), graph.Float("beta", 0.5)),
		Patterns: []string{
			`p (x) => (y) <float three = {3.0}, float zero = {0.0}, float six = {6.0}>
				{ a = Add(x, three) b = Clip(a, zero, six) y = Div(b, six) }`,
			`p (x) => (y) <float three = {3.0}, float zero = {0.0}, float six = {6.0}, float sixth = {0.16666666666666666}>
				{ a = Add(x, three) b = Clip(a, zero, six) y = Mul(b, sixth) }`,
		},
	},
	{
		Name: "Mish", Opset: 18, Check: keepsShape, Apply: unary("Mish"),
		Patterns: []string{`p (x) => (y) { a = Softplus(x) b = Tanh(a) y = Mul(x, b) }`},
	},
	{
		Name: "Swish", Opset: 24, Check: keepsShape, Apply: unary("Swish"),
		Patterns: []string{`p (x) => (y) { a = Sigmoid(x) y = Mul(x, a) }`},
	},
	{
		Name: "Softplus", Opset: 1, Check: keepsShape, Apply: unary("Softplus"),
		Patterns: []string{
			`p (x) => (y) <float one = {1.0}> { a = Exp(x) b = Add(a, one) y = Log(b) }`,
		},
	},
	{
		Name: "LogSoftmax", Opset: 13, Check: keepsShape,
		Patterns: []string{`p (x) => (y) { a = Softmax(x) y = Log(a) }`},
		Apply: func(e *rewrite.Editor, m *rewrite.Match) *graph.Value {
			return e.Add(m.Root, "LogSoftmax", []*graph.Value{m.Value("x")}, graph.Int("axis", m.Node("a").Int("axis", -1)))
		},
	},
	{
		Name: "Softmax", Opset: 13, Check: expOverSum,
		Patterns: []string{
			`p (x, axes) => (y) { a = Exp(x) s = ReduceSum<keepdims = 1>(a, axes) y = Div(a, s) }`,
		},
		Apply: func(e *rewrite.Editor, m *rewrite.Match) *graph.Value {
			axes, _ := e.Axes(m.Node("s"), 1, e.Rank(m.Value("x")))
			return e.Add(m.Root, "Softmax", []*graph.Value{m.Value("x")}, graph.Int("axis", int64(axes[0])))
		},
	},
	{
		Name: "Reciprocal", Opset: 1,
		Patterns: []string{`p (x, k) => (y) { a = Reciprocal(x) y = Mul(k, a) }`},
		Apply: func(e *rewrite.Editor, m *rewrite.Match) *graph.Value {
			return e.Add(m.Root, "Div", []*graph.Value{m.Value("k"), m.Value("x")})
		},
	},
	{
		Name: "Sub", Opset: 7,
		Patterns: []string{`p (x, k) => (y) { a = Neg(x) y = Add(k, a) }`},
		Apply: func(e *rewrite.Editor, m *rewrite.Match) *graph.Value {
			return e.Add(m.Root, "Sub", []*graph.Value{m.Value("k"), m.Value("x")})
		},
	},
	{
		Name: "Add", Opset: 7,
		Patterns: []string{`p (x, k) => (y) { a = Neg(x) y = Sub(k, a) }`},
		Apply: func(e *rewrite.Editor, m *rewrite.Match) *graph.Value {
			return e.Add(m.Root, "Add", []*graph.Value{m.Value("k"), m.Value("x")})
		},
	},
}

// expOverSum declines a sum over several axes, which no Softmax is.
func expOverSum(e *rewrite.Editor, m *rewrite.Match) string {
	axes, ok := e.Axes(m.Node("s"), 1, e.Rank(m.Value("x")))
	if !ok || len(axes) != 1 {
		return "the sum is not over one axis"
	}
	return keepsShape(e, m)
}

// tanhPatterns combines the spellings of the cube and of the halves.
func tanhPatterns() []string {
	const consts = `p (x) => (y) <float k = {0.044715}, float s = {0.7978845608028654}, float one = {1.0}, float half = {0.5}, float three = {3.0}, float two = {2.0}> {`
	cubes := []string{
		` c = Pow(x, three)`,
		` q = Mul(x, x) c = Mul(q, x)`,
		` q = Pow(x, two) c = Mul(q, x)`,
	}
	inner := []string{
		` d = Mul(c, k) e = Add(x, d) f = Mul(e, s) g = Tanh(f) h = Add(g, one)`,
	}
	ends := []string{
		` i = Mul(x, half) y = Mul(i, h) }`,
		` i = Mul(x, h) y = Mul(i, half) }`,
		` i = Mul(h, half) y = Mul(x, i) }`,
	}
	var out []string
	for _, c := range cubes {
		for _, i := range inner {
			for _, e := range ends {
				out = append(out, consts+c+i+e)
			}
		}
	}
	// x*(1 + 0.044715*x*x) in place of x + 0.044715*x^3.
	for _, e := range ends {
		out = append(out, consts+` q = Mul(x, x) d = Mul(q, k) d1 = Add(d, one) e = Mul(x, d1) f = Mul(e, s) g = Tanh(f) h = Add(g, one)`+e,
			consts+` q = Mul(x, k) d = Mul(x, q) d1 = Add(d, one) w = Mul(x, s) f = Mul(w, d1) g = Tanh(f) h = Add(g, one)`+e)
	}
	return out
}

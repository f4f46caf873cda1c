package fuse

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
	"onnxopt/passes/rewrite"
)

// Norms puts LayerNormalization and RMSNormalization in place of their
// spellings.
var Norms = pass.Pass{
	Name:   "fuse-normalization",
	Doc:    "LayerNormalization (opset 17) and RMSNormalization (opset 23) from their spellings",
	Group:  "simplify",
	Effect: pass.Close,
	Run: func(c *pass.Context, m *graph.Model) error {
		return rewrite.RunRules(c, m, normRules)
	},
}

// The parts of y = (x-mean)/sqrt(var+eps)*gamma+beta (Ba et al., "Layer
// Normalization") that exporters vary.
var (
	centred = []string{
		`m = ReduceMean(x, opt_a1) d = Sub(x, m)`,
	}
	squared = []string{
		`q = Pow(d, two)`,
		`q = Mul(d, d)`,
	}
	normalized = []string{
		`v = ReduceMean(q, opt_a2) w = Add(v, eps) s = Sqrt(w) n = Div(d, s)`,
		`v = ReduceMean(q, opt_a2) w = Add(v, eps) s = Pow(w, half) n = Div(d, s)`,
		`v = ReduceMean(q, opt_a2) w = Add(v, eps) s = Sqrt(w) t = Reciprocal(s) n = Mul(d, t)`,
		`v = ReduceMean(q, opt_a2) w = Add(v, eps) s = Pow(w, minus) n = Mul(d, s)`,
	}
)

const (
	normHead = `p (x, opt_a1, opt_a2, eps, gamma, beta) => (y) <float two = {2.0}, float half = {0.5}, float minus = {-0.5}> {`
	rmsHead  = `p (x, opt_a2, eps, gamma) => (y) <float two = {2.0}, float half = {0.5}, float minus = {-0.5}> {`
)

var normRules = []rewrite.Rule{
	{Name: "LayerNormalization", Opset: 17, Check: lastAxes, Apply: layerNorm,
		Patterns: spellings(normHead, centred, squared, normalized, []string{` g = Mul(n, gamma) y = Add(g, beta) }`})},
	{Name: "LayerNormalization", Opset: 17, Check: lastAxes, Apply: layerNorm,
		Patterns: spellings(normHead, centred, squared, normalized, []string{` y = Mul(n, gamma) }`})},
	{Name: "LayerNormalization", Opset: 17, Check: takesBeta, Apply: addBeta,
		Patterns: []string{`p (x, gamma, beta) => (y) { n = LayerNormalization(x, gamma) y = Add(n, beta) }`}},
	{Name: "RMSNormalization", Opset: 23, Check: lastAxes, Apply: rmsNorm,
		Patterns: spellings(rmsHead, []string{`q = Pow(x, two)`, `q = Mul(x, x)`}, []string{""}, rms(), []string{` y = Mul(n, gamma) }`})},
}

// rms is normalized without centring.
func rms() []string {
	return []string{
		`v = ReduceMean(q, opt_a2) w = Add(v, eps) s = Sqrt(w) n = Div(x, s)`,
		`v = ReduceMean(q, opt_a2) w = Add(v, eps) s = Sqrt(w) t = Reciprocal(s) n = Mul(x, t)`,
		`v = ReduceMean(q, opt_a2) w = Add(v, eps) s = Pow(w, minus) n = Mul(x, s)`,
	}
}

// spellings is every combination of parts behind a head.
func spellings(head string, parts ...[]string) []string {
	out := []string{head}
	for _, p := range parts {
		var next []string
		for _, o := range out {
			for _, s := range p {
				next = append(next, o+" "+s)
			}
		}
		out = next
	}
	return out
}

// takesBeta declines an Add of what has not the shape of gamma.
func takesBeta(e *rewrite.Editor, m *rewrite.Match) string {
	gamma, beta := e.Shape.Const(m.Value("gamma")), e.Shape.Const(m.Value("beta"))
	if gamma == nil || beta == nil || beta.Type != gamma.Type || !slices.Equal(beta.Shape, gamma.Shape) || len(m.Node("n").Outputs()) > 1 {
		return "the addend is no constant of the shape of the scale"
	}
	return ""
}

func addBeta(e *rewrite.Editor, m *rewrite.Match) *graph.Value {
	return e.Add(m.Root, "LayerNormalization", []*graph.Value{m.Value("x"), m.Value("gamma"), m.Value("beta")}, rewrite.CloneAttrs(m.Node("n").Attrs)...)
}

// lastAxes declines what is not a normalization of trailing axes with a scale
// and shift of their shape.
func lastAxes(e *rewrite.Editor, m *rewrite.Match) string {
	axis, ok := normAxis(e, m)
	if !ok {
		return "the means are not over the same trailing axes"
	}
	eps, ok := rewrite.Uniform(e.Shape.Const(m.Value("eps")))
	if !ok || eps < 0 {
		return "epsilon is not a constant"
	}
	x := e.Type(m.Value("x"))
	want, ok := x.Static()
	for _, name := range []string{"gamma", "beta"} {
		v := m.Value(name)
		if v == nil {
			continue
		}
		t := e.Shape.Const(v)
		if t == nil {
			return name + " is not constant"
		}
		tail := x.Shape[axis:]
		if !ok && len(tail) == 1 {
			n, known := tail[0].Const()
			if !known || t.Rank() != 1 || t.Shape[0] != int(n) {
				return name + " has not the shape of the axes"
			}
		} else if !ok || !slices.Equal(t.Shape, want[axis:]) {
			return name + " has not the shape of the axes"
		}
		if t.Type != x.Elem {
			return name + " has another type"
		}
	}
	return ""
}

// normAxis is the first of the trailing axes that both means are over.
func normAxis(e *rewrite.Editor, m *rewrite.Match) (int, bool) {
	rank := e.Rank(m.Value("x"))
	first := -1
	for _, name := range []string{"m", "v"} {
		n := m.Node(name)
		if n == nil {
			continue
		}
		axes, ok := e.Axes(n, 1, rank)
		if !ok || len(axes) == 0 || n.Int("keepdims", 1) != 1 {
			return 0, false
		}
		slices.Sort(axes)
		for i, a := range axes {
			if a != rank-len(axes)+i {
				return 0, false
			}
		}
		if first >= 0 && axes[0] != first {
			return 0, false
		}
		first = axes[0]
	}
	return first, first >= 0
}

func normAttrs(e *rewrite.Editor, m *rewrite.Match) []*graph.Attr {
	axis, _ := normAxis(e, m)
	eps, _ := rewrite.Uniform(e.Shape.Const(m.Value("eps")))
	return []*graph.Attr{graph.Int("axis", int64(axis-e.Rank(m.Value("x")))), graph.Float("epsilon", float32(eps))}
}

func layerNorm(e *rewrite.Editor, m *rewrite.Match) *graph.Value {
	return e.Add(m.Root, "LayerNormalization", []*graph.Value{m.Value("x"), m.Value("gamma"), m.Value("beta")}, normAttrs(e, m)...)
}

func rmsNorm(e *rewrite.Editor, m *rewrite.Match) *graph.Value {
	return e.Add(m.Root, "RMSNormalization", []*graph.Value{m.Value("x"), m.Value("gamma")}, normAttrs(e, m)...)
}

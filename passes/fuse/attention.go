package fuse

import (
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/passes/pass"
	"onnxopt/passes/rewrite"
)

// Attention puts the operator of opset 23 in place of scaled dot-product
// attention, softmax(q*k^T*scale + mask)*v (Vaswani et al., "Attention is all
// you need"). Below that opset attention stays in the form that engines know.
var Attention = pass.Pass{
	Name:   "fuse-attention",
	Doc:    "Attention (opset 23) from MatMul, scale, mask, Softmax and MatMul, with the split and merge of its heads",
	Group:  "simplify",
	Effect: pass.Close,
	Run: func(c *pass.Context, m *graph.Model) error {
		return rewrite.RunRules(c, m, attentionRules)
	},
}

var attentionRules = []rewrite.Rule{
	{Name: "Attention", Opset: 23, Check: isAttention, Apply: attention, Patterns: attentionPatterns()},
	{Name: "Attention with heads", Opset: 23, Check: splitsHeads, Apply: attentionOfHeads, Patterns: []string{
		`p (q, k, v, opt_mask, s1, s2, s3, s4) => (y) {
			a = Reshape(q, s1) b = Transpose<perm = [0,2,1,3]>(a)
			c = Reshape(k, s2) d = Transpose<perm = [0,2,1,3]>(c)
			e = Reshape(v, s3) f = Transpose<perm = [0,2,1,3]>(e)
			o = Attention(b, d, f, opt_mask)
			t = Transpose<perm = [0,2,1,3]>(o) y = Reshape(t, s4) }`,
	}},
}

// attentionPatterns is the forms with and without scale and mask.
func attentionPatterns() []string {
	var out []string
	for _, scale := range []string{`u = Mul(t, scale)`, `u = Div(t, scale)`, `u = Identity(t)`} {
		for _, mask := range []string{`w = Add(u, mask)`, `w = Identity(u)`} {
			out = append(out, `p (q, kt, v, scale, mask) => (y) { t = MatMul(q, kt) `+scale+` `+mask+` p = Softmax(w) y = MatMul(p, v) }`)
		}
	}
	return out
}

// isAttention declines what is not of rank 4, or whose keys are not transposed.
func isAttention(e *rewrite.Editor, m *rewrite.Match) string {
	for _, name := range []string{"q", "kt", "v"} {
		if e.Rank(m.Value(name)) != 4 || !e.Type(m.Value(name)).Elem.IsFloat() {
			return "its operands are not of rank 4"
		}
	}
	if axis := m.Node("p").Int("axis", -1); axis != -1 && axis != 3 {
		return "the softmax is over another axis"
	}
	if _, ok := attentionScale(e, m); !ok {
		return "the scale is not a constant"
	}
	q, kt, v := e.Type(m.Value("q")).Shape, e.Type(m.Value("kt")).Shape, e.Type(m.Value("v")).Shape
	for i := range 2 { // batch and heads: nothing is broadcast
		if !q[i].Equal(kt[i]) || !q[i].Equal(v[i]) {
			return "batch or heads are broadcast"
		}
	}
	if mask := m.Value("mask"); mask != nil {
		if e.Type(mask).Elem != e.Type(m.Value("q")).Elem || e.Rank(mask) != 4 && e.Rank(mask) != 2 {
			return "the mask is no matrix for each head"
		}
		// An engine may want the mask's matrix whole.
		s := e.Type(mask).Shape
		if r := len(s); !s[r-2].Equal(q[2]) || !s[r-1].Equal(kt[3]) {
			return "the mask is broadcast"
		}
	}
	if keys(m) == nil {
		return "the keys are not transposed"
	}
	return ""
}

// keys is the Transpose that makes k^T.
func keys(m *rewrite.Match) *graph.Node {
	n := m.Value("kt").Def()
	if n == nil || !n.Is("Transpose") || n.Out(0).Only() == nil {
		return nil
	}
	if p := n.Ints("perm"); !slices.Equal(p, []int64{0, 1, 3, 2}) && !slices.Equal(p, []int64{0, 2, 3, 1}) {
		return nil
	}
	return n
}

func attentionScale(e *rewrite.Editor, m *rewrite.Match) (float32, bool) {
	v := m.Value("scale")
	if v == nil {
		return 1, true
	}
	x, ok := rewrite.Uniform(e.Shape.Const(v))
	if m.Node("u").Is("Div") {
		x = 1 / x
	}
	return float32(x), ok && x > 0 && !math.IsInf(x, 0) && e.Shape.Const(v).Rank() <= 4
}

func attention(e *rewrite.Editor, m *rewrite.Match) *graph.Value {
	scale, _ := attentionScale(e, m)
	q := m.Value("q")
	if a, ok := scaledQuery(e, q); ok { // (c*q)*k^T = c*(q*k^T)
		scale *= float32(a.scale.Floats()[0])
		q = a.x
	}
	n := keys(m)
	k := n.In(0)
	if n.Ints("perm")[1] == 2 {
		k = e.Add(m.Root, "Transpose", []*graph.Value{k}, graph.Ints("perm", 0, 2, 1, 3))
	}
	in := []*graph.Value{q, k, m.Value("v"), m.Value("mask")}
	return e.Add(m.Root, "Attention", in, graph.Float("scale", scale))
}

// scaledQuery is a factor of the query that can become part of the scale.
func scaledQuery(e *rewrite.Editor, q *graph.Value) (affine, bool) {
	if q.Def() == nil || q.Only() == nil || !q.Def().Is("Mul", "Div") {
		return affine{}, false
	}
	a, ok := affineAt(q.Def())
	return a, ok && a.scale.Len() == 1 && a.scale.Floats()[0] > 0 && e.Rank(a.x) == 4
}

// splitsHeads declines reshapes that do more than split and merge the heads.
func splitsHeads(e *rewrite.Editor, m *rewrite.Match) string {
	heads := e.Type(m.Value("a")).Shape
	for _, pair := range [][2]string{{"q", "a"}, {"k", "c"}, {"v", "e"}, {"y", "t"}} {
		whole, split := e.Type(m.Value(pair[0])).Shape, e.Type(m.Value(pair[1])).Shape
		if len(whole) != 3 || len(split) != 4 {
			return "it is not of rank 3"
		}
		if !whole[0].Equal(split[0]) || !whole[1].Equal(split[1]) || !split[2].Equal(heads[2]) || !whole[2].Equal(split[2].Mul(split[3])) {
			return "a Reshape does more than split heads"
		}
	}
	if _, ok := heads[2].Const(); !ok {
		return "the number of heads varies"
	}
	if len(m.Node("o").Inputs()) > 4 || len(m.Node("o").Outputs()) > 1 {
		return "it has a cache"
	}
	return ""
}

func attentionOfHeads(e *rewrite.Editor, m *rewrite.Match) *graph.Value {
	heads, _ := e.Type(m.Value("a")).Shape[2].Const()
	attrs := append(rewrite.CloneAttrs(m.Node("o").Attrs), graph.Int("q_num_heads", heads), graph.Int("kv_num_heads", heads))
	return e.Add(m.Root, "Attention", []*graph.Value{m.Value("q"), m.Value("k"), m.Value("v"), m.Value("opt_mask")}, attrs...)
}

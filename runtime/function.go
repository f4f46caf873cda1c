package runtime

import (
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/runtime/kernel"
)

// unary is a function of x, spelled by one node or several.
type unary struct {
	kernel.Function
	x     *graph.Value
	uses  int           // how often the nodes read x
	nodes []*graph.Node // in order
}

var functions = map[string]kernel.Unary{
	"Relu": kernel.Relu, "Sigmoid": kernel.Sigmoid, "Tanh": kernel.Tanh, "Erf": kernel.Erf, "Exp": kernel.Exp, "Sqrt": kernel.Sqrt,
	"Abs": kernel.Abs, "Neg": kernel.Neg, "Reciprocal": kernel.Reciprocal, "HardSwish": kernel.HardSwish,
}

// function recognizes the float32 function that n ends, nil if it is none.
func (l *lowerer) function(n *graph.Node) *unary {
	if l.float32Rank(n.In(0)) < 0 || len(n.Outputs()) != 1 {
		return nil
	}
	for _, match := range []func(*graph.Node) *unary{l.gelu, l.product, l.single, l.line} {
		if u := match(n); u != nil {
			return u
		}
	}
	return nil
}

func (l *lowerer) single(n *graph.Node) *unary {
	u := &unary{x: n.In(0), uses: 1, nodes: []*graph.Node{n}}
	if k, ok := functions[n.Op]; ok {
		u.Kind = k
		return u
	}
	attrs, ok := l.attrs(n)
	if !ok {
		return nil
	}
	switch n.Op {
	case "Clip":
		lo, hi, ok := l.bounds(n)
		if !ok {
			return nil
		}
		u.Function = kernel.Clip(lo, hi)
	case "HardSigmoid":
		u.Function = kernel.Function{Kind: kernel.Line, A: float32(attrs.Float("alpha")), B: float32(attrs.Float("beta")), Lo: 0, Hi: 1}
	case "LeakyRelu":
		u.Function = kernel.Function{Kind: kernel.Leaky, A: float32(attrs.Float("alpha"))}
	case "Gelu":
		u.Kind = kernel.Gelu
		if attrs.Str("approximate") == "tanh" {
			u.Kind = kernel.GeluTanh
		}
	case "Swish":
		if attrs.Float("alpha") != 1 {
			return nil
		}
		u.Kind = kernel.SiLU
	default:
		return nil
	}
	return u
}

// bounds is those of a Clip, constant.
func (l *lowerer) bounds(n *graph.Node) (lo, hi float32, ok bool) {
	lo, hi = float32(math.Inf(-1)), float32(math.Inf(1))
	for i, p := range []*float32{&lo, &hi} {
		if v := n.In(i + 1); v != nil {
			c := l.constant(v)
			if c == nil || c.Len() != 1 || c.Type != tensor.Float32 {
				return 0, 0, false
			}
			*p = c.Float32s()[0]
		}
	}
	return n.Float("min", lo), n.Float("max", hi), true
}

// scalar is a constant of one element that does not raise the rank of what it
// is combined with.
func (l *lowerer) scalar(v *graph.Value, rank int) (float32, bool) {
	c := l.constant(v)
	if c == nil || c.Type != tensor.Float32 || c.Len() != 1 || c.Rank() > rank {
		return 0, false
	}
	return c.Float32s()[0], true
}

// operand splits a binary node into a variable and a scalar constant.
func (l *lowerer) operand(n *graph.Node, ops ...string) (x *graph.Value, k float32, ok bool) {
	if n == nil || !n.Is(ops...) || l.opset("") < 7 || n.Graph() != l.graph {
		return nil, 0, false
	}
	for i := range 2 {
		if i == 1 && n.Is("Sub", "Div", "Pow") {
			break
		}
		rank := l.float32Rank(n.In(i))
		if k, ok := l.scalar(n.In(1-i), rank); ok && rank >= 0 {
			return n.In(i), k, true
		}
	}
	return nil, 0, false
}

// line recognizes x+k, x-k, x*k.
func (l *lowerer) line(n *graph.Node) *unary {
	x, k, ok := l.operand(n, "Add", "Sub", "Mul")
	if !ok {
		return nil
	}
	inf := float32(math.Inf(1))
	f := kernel.Function{Kind: kernel.Line, A: 1, Lo: -inf, Hi: inf}
	switch n.Op {
	case "Add":
		f.B = k
	case "Sub":
		f.B = -k
	default:
		f.A = k
	}
	return &unary{f, x, 1, []*graph.Node{n}}
}

// product recognizes x*sigmoid(x), and x*hardsigmoid(x) in the forms that
// exporters write: with HardSigmoid, or clip(x+3, 0, 6)/6 in any order.
func (l *lowerer) product(n *graph.Node) *unary {
	if n.Is("Div") { // x*clip(x+3, 0, 6) / 6
		if y, k, ok := l.operand(n, "Div"); ok && k == 6 && l.hidden(y) && y.Def().Is("Mul") {
			if u := l.gated(y.Def(), 6); u != nil {
				u.nodes = append(u.nodes, n)
				return u
			}
		}
		return nil
	}
	if !n.Is("Mul") {
		return nil
	}
	if y, k, ok := l.operand(n, "Mul"); ok {
		if near32(k, 1.0/6) && l.hidden(y) && y.Def().Is("Mul") {
			if u := l.gated(y.Def(), 6); u != nil {
				u.nodes = append(u.nodes, n)
				return u
			}
		}
		return nil
	}
	return l.gated(n, 1)
}

// gated recognizes x*g(x), g a sigmoid or top times a hard sigmoid.
func (l *lowerer) gated(n *graph.Node, top float32) *unary {
	for i := range 2 {
		x, g := n.In(i), n.In(1-i)
		if !l.hidden(g) {
			continue
		}
		d := g.Def()
		if d.Is("Sigmoid") && d.In(0) == x && top == 1 {
			return &unary{kernel.Function{Kind: kernel.SiLU}, x, 2, []*graph.Node{d, n}}
		}
		if attrs, ok := l.attrs(d); ok && d.Is("HardSigmoid") && d.In(0) == x && top == 1 &&
			near32(float32(attrs.Float("alpha")), 1.0/6) && attrs.Float("beta") == 0.5 {
			return &unary{kernel.Function{Kind: kernel.HardSwish}, x, 2, []*graph.Node{d, n}}
		}
		nodes := []*graph.Node{n}
		if y, k, ok := l.operand(d, "Div", "Mul"); ok && top == 1 && (d.Op == "Div" && k == 6 || d.Op == "Mul" && near32(k, 1.0/6)) && l.hidden(y) {
			nodes, d = append(nodes, d), y.Def()
		} else if top == 1 {
			continue
		}
		lo, hi, ok := float32(0), float32(0), false
		if d.Is("Clip") {
			lo, hi, ok = l.bounds(d)
		}
		if !ok || lo != 0 || hi != 6 || !l.hidden(d.In(0)) {
			continue
		}
		if y, k, ok := l.operand(d.In(0).Def(), "Add"); ok && k == 3 && y == x {
			nodes = append(nodes, d, d.In(0).Def())
			slices.Reverse(nodes)
			return &unary{kernel.Function{Kind: kernel.HardSwish}, x, 2, nodes}
		}
	}
	return nil
}

// gelu recognizes x/2 * (1 + erf(x/sqrt 2)) in any order of its factors.
func (l *lowerer) gelu(n *graph.Node) *unary {
	if !n.Is("Mul", "Div") {
		return nil
	}
	u := &unary{Function: kernel.Function{Kind: kernel.Gelu}, uses: 2}
	half, nodes := false, []*graph.Node{n}
	scaled := func(v *graph.Value) *graph.Value { // v is y/2
		d := v.Def()
		if d == nil || !l.hidden(v) {
			return nil
		}
		if y, k, ok := l.operand(d, "Mul", "Div"); ok && (d.Op == "Mul" && k == 0.5 || d.Op == "Div" && k == 2) {
			nodes = append(nodes, d)
			return y
		}
		return nil
	}
	m := n
	if y, k, ok := l.operand(n, "Mul", "Div"); ok { // the factor 1/2 last
		if !(n.Op == "Mul" && k == 0.5 || n.Op == "Div" && k == 2) || !l.hidden(y) || !y.Def().Is("Mul") {
			return nil
		}
		half, m = true, y.Def()
		nodes = append(nodes, m)
	}
	if !m.Is("Mul") {
		return nil
	}
	for i := range 2 {
		x, e := m.In(i), m.In(1-i)
		if !l.hidden(e) {
			continue
		}
		keep := len(nodes)
		isHalf := half
		if !isHalf {
			if y := scaled(e); y != nil && l.hidden(y) {
				e, isHalf = y, true
			} else if y := scaled(x); y != nil {
				x, isHalf = y, true
			}
		}
		if one, k, ok := l.operand(e.Def(), "Add"); isHalf && ok && k == 1 && l.hidden(one) && one.Def().Is("Erf") && l.hidden(one.Def().In(0)) {
			arg := one.Def().In(0).Def()
			if y, k, ok := l.operand(arg, "Mul", "Div"); ok && y == x &&
				(arg.Op == "Div" && near32(k, math.Sqrt2) || arg.Op == "Mul" && near32(k, math.Sqrt2/2)) {
				u.x = x
				u.nodes = append(nodes, e.Def(), one.Def(), arg)
				slices.Reverse(u.nodes)
				return u
			}
		}
		nodes = nodes[:keep]
	}
	return nil
}

func near32(a float32, b float64) bool { return math.Abs(float64(a)-b) <= 1e-5*b }

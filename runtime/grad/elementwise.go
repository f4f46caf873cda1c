package grad

import (
	"fmt"
	"math"

	"onnxopt/onnx/op"
	"onnxopt/runtime/kernel"
)

// curve is a function of one variable and its derivative; y is f(x).
type curve struct {
	f  func(x float64) float64
	df func(x, y float64) float64
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// curves are the unary operators. The derivative at a kink is that of the
// side of larger x, except at a maximum or minimum, where it is 0.
var curves = map[string]func(a *op.Attrs) curve{
	"Abs": plain(math.Abs, func(x, _ float64) float64 {
		switch {
		case x > 0:
			return 1
		case x < 0:
			return -1
		}
		return 0
	}),
	"Neg":        plain(func(x float64) float64 { return -x }, func(_, _ float64) float64 { return -1 }),
	"Reciprocal": plain(func(x float64) float64 { return 1 / x }, func(_, y float64) float64 { return -y * y }),
	"Sqrt":       plain(math.Sqrt, func(_, y float64) float64 { return 0.5 / y }),
	"Exp":        plain(math.Exp, func(_, y float64) float64 { return y }),
	"Log":        plain(math.Log, func(x, _ float64) float64 { return 1 / x }),
	"Erf":        plain(math.Erf, func(x, _ float64) float64 { return 2 / math.SqrtPi * math.Exp(-x*x) }),
	"Sin":        plain(math.Sin, func(x, _ float64) float64 { return math.Cos(x) }),
	"Cos":        plain(math.Cos, func(x, _ float64) float64 { return -math.Sin(x) }),
	"Tanh":       plain(math.Tanh, func(_, y float64) float64 { return 1 - y*y }),
	"Sigmoid":    plain(logistic, func(_, y float64) float64 { return y * (1 - y) }),
	"Softplus":   plain(softplus, func(x, _ float64) float64 { return logistic(x) }),
	"Softsign": plain(func(x float64) float64 { return x / (1 + math.Abs(x)) }, func(x, _ float64) float64 {
		return 1 / ((1 + math.Abs(x)) * (1 + math.Abs(x)))
	}),
	"Mish": plain(func(x float64) float64 { return x * math.Tanh(softplus(x)) }, func(x, _ float64) float64 {
		t := math.Tanh(softplus(x))
		return t + x*(1-t*t)*logistic(x)
	}),
	"HardSwish": plain(func(x float64) float64 { return x * min(max(x/6+0.5, 0), 1) }, func(x, _ float64) float64 {
		switch {
		case x <= -3:
			return 0
		case x >= 3:
			return 1
		}
		return x/3 + 0.5
	}),
	"Gelu": gelu,
	"LeakyRelu": func(a *op.Attrs) curve {
		alpha := a.Float("alpha")
		return split(func(x float64) float64 { return x }, one, func(x float64) float64 { return alpha * x }, func(_, _ float64) float64 { return alpha })
	},
	"Elu": func(a *op.Attrs) curve {
		alpha := a.Float("alpha")
		return split(func(x float64) float64 { return x }, one,
			func(x float64) float64 { return alpha * math.Expm1(x) }, func(_, y float64) float64 { return y + alpha })
	},
	"Selu": func(a *op.Attrs) curve {
		alpha, gamma := a.Float("alpha"), a.Float("gamma")
		return split(func(x float64) float64 { return gamma * x }, func(_, _ float64) float64 { return gamma },
			func(x float64) float64 { return gamma * alpha * math.Expm1(x) }, func(_, y float64) float64 { return y + gamma*alpha })
	},
	"Celu": func(a *op.Attrs) curve {
		alpha := a.Float("alpha")
		return split(func(x float64) float64 { return x }, one,
			func(x float64) float64 { return alpha * math.Expm1(x/alpha) }, func(x, _ float64) float64 { return math.Exp(x / alpha) })
	},
	"HardSigmoid": func(a *op.Attrs) curve {
		alpha, beta := a.Float("alpha"), a.Float("beta")
		return curve{func(x float64) float64 { return min(max(alpha*x+beta, 0), 1) }, func(_, y float64) float64 {
			if y > 0 && y < 1 {
				return alpha
			}
			return 0
		}}
	},
	"Swish": func(a *op.Attrs) curve {
		alpha := a.Float("alpha")
		return curve{func(x float64) float64 { return x * logistic(alpha*x) }, func(x, y float64) float64 {
			return logistic(alpha*x) + alpha*y*(1-logistic(alpha*x))
		}}
	},
}

func plain(f func(float64) float64, df func(x, y float64) float64) func(*op.Attrs) curve {
	return func(*op.Attrs) curve { return curve{f, df} }
}

func one(_, _ float64) float64 { return 1 }

// split is a curve of two branches that meet at 0.
func split(pos func(float64) float64, dpos func(x, y float64) float64, neg func(float64) float64, dneg func(x, y float64) float64) curve {
	return curve{
		func(x float64) float64 {
			if x < 0 {
				return neg(x)
			}
			return pos(x)
		},
		func(x, y float64) float64 {
			if x < 0 {
				return dneg(x, y)
			}
			return dpos(x, y)
		},
	}
}

func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// gelu is x*Phi(x), or its approximation by tanh.
func gelu(a *op.Attrs) curve {
	if a.Str("approximate") != "tanh" {
		phi := func(x float64) float64 { return 0.5 * math.Erfc(-x/math.Sqrt2) }
		return curve{func(x float64) float64 { return x * phi(x) }, func(x, _ float64) float64 {
			return phi(x) + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
		}}
	}
	const c, k = 0.7978845608028654, 0.044715 // sqrt(2/pi)
	return curve{func(x float64) float64 { return 0.5 * x * (1 + math.Tanh(c*(x+k*x*x*x))) }, func(x, _ float64) float64 {
		t := math.Tanh(c * (x + k*x*x*x))
		return 0.5*(1+t) + 0.5*x*(1-t*t)*c*(1+3*k*x*x)
	}}
}

// vectors are the unary operators that have a kernel.
var vectors = map[string]kernel.Unary{
	"Exp": kernel.Exp, "Sigmoid": kernel.Sigmoid, "Tanh": kernel.Tanh, "Erf": kernel.Erf, "Gelu": kernel.Gelu,
	"HardSwish": kernel.HardSwish, "Sqrt": kernel.Sqrt, "Abs": kernel.Abs, "Neg": kernel.Neg, "Reciprocal": kernel.Reciprocal,
}

func unaryRule(n *node) (func(), func(), error) {
	c := curves[n.Node.Op](&n.Attrs)
	x, y := n.in[0], n.out[0]
	over := func(lo, hi int) {
		for i, v := range x.v[lo:hi] {
			y.v[lo+i] = float32(c.f(float64(v)))
		}
	}
	if kind, ok := vectors[n.Node.Op]; ok && n.Str("approximate") != "tanh" {
		f := kernel.Function{Kind: kind}
		over = func(lo, hi int) { f.Apply(y.v[lo:hi], x.v[lo:hi]) }
	}
	forward := func() { n.pool.split(len(x.v), 1, 20, over) }
	back := func(lo, hi int) {
		g := x.g
		for i := lo; i < hi; i++ {
			g[i] += y.g[i] * float32(c.df(float64(x.v[i]), float64(y.v[i])))
		}
	}
	if n.Node.Op == "Erf" && n.g(0) != nil {
		back = erfBack(x, y)
	}
	backward := func() { n.pool.split(len(x.v), 1, 20, back) }
	return forward, backward, nil
}

// erfBack adds 2/sqrt(pi)*exp(-x^2)*dy.
func erfBack(x, y *array) func(lo, hi int) {
	slope := make([]float32, len(x.v))
	return func(lo, hi int) {
		d := slope[lo:hi]
		for i, v := range x.v[lo:hi] {
			d[i] = -v * v
		}
		kernel.Function{Kind: kernel.Exp}.Apply(d, d)
		kernel.Mul.Apply(d, d, y.g[lo:hi])
		g := x.g[lo:hi]
		for i, v := range d {
			g[i] += (2 / math.SqrtPi) * v
		}
	}
}

func reluRule(n *node) (func(), func(), error) {
	x, y := n.in[0], n.out[0]
	forward := func() { kernel.Function{Kind: kernel.Relu}.Apply(y.v, x.v) }
	g, write := n.sink(0)
	backward := func() {
		if write {
			kernel.ReluBack(g, y.v, y.g)
			return
		}
		yv, yg := y.v[:len(g)], y.g[:len(g)]
		for i, v := range yv {
			if v > 0 {
				g[i] += yg[i]
			}
		}
	}
	return forward, backward, nil
}

func clipRule(n *node) (func(), func(), error) {
	lo, hi := float32(math.Inf(-1)), float32(math.Inf(1))
	if n.Since < 11 {
		lo, hi = float32(n.Float("min")), float32(n.Float("max"))
	} else {
		for i, p := range []*float32{&lo, &hi} {
			t, err := n.constant(i + 1)
			if err != nil {
				return nil, nil, err
			}
			if t != nil {
				*p = t.Float32s()[0]
			}
		}
	}
	x, y := n.in[0], n.out[0]
	forward := func() { kernel.Clip(lo, hi).Apply(y.v, x.v) }
	g, write := n.sink(0)
	backward := func() {
		if write {
			kernel.ClipBack(g, x.v, y.g, lo, hi)
			return
		}
		for i, v := range x.v {
			if v > lo && v < hi {
				g[i] += y.g[i]
			}
		}
	}
	return forward, backward, nil
}

// pairing is a function of two variables with both derivatives.
type pairing struct {
	f      func(a, b float32) float32
	da, db func(a, b, y float32) float32
}

func pow(a, b float32) float32 { return float32(math.Pow(float64(a), float64(b))) }

var pairings = map[string]pairing{
	"Add": {func(a, b float32) float32 { return a + b },
		func(_, _, _ float32) float32 { return 1 }, func(_, _, _ float32) float32 { return 1 }},
	"Sub": {func(a, b float32) float32 { return a - b },
		func(_, _, _ float32) float32 { return 1 }, func(_, _, _ float32) float32 { return -1 }},
	"Mul": {func(a, b float32) float32 { return a * b },
		func(_, b, _ float32) float32 { return b }, func(a, _, _ float32) float32 { return a }},
	"Div": {func(a, b float32) float32 { return a / b },
		func(_, b, _ float32) float32 { return 1 / b }, func(_, b, y float32) float32 { return -y / b }},
	"Pow": {pow, func(a, b, _ float32) float32 { return b * pow(a, b-1) }, func(a, _, y float32) float32 {
		if a <= 0 { // the limit, or undefined
			return 0
		}
		return y * float32(math.Log(float64(a)))
	}},
	"PRelu": {func(a, b float32) float32 {
		if a < 0 {
			return a * b
		}
		return a
	}, func(a, b, _ float32) float32 {
		if a < 0 {
			return b
		}
		return 1
	}, func(a, _, _ float32) float32 { return min(a, 0) }},
}

// broadcast visits the elements of an output with the matching elements of
// operands a and b.
type broadcast struct {
	n, na, nb int
	same      bool    // shapes are equal
	period    int     // b repeats every so many elements while a is full; 0: use the index
	ia, ib    []int32 // sources by output element
}

func newBroadcast(shape, a, b []int) broadcast {
	p := broadcast{n: count(shape), na: count(a), nb: count(b)}
	switch {
	case p.na == p.n && p.nb == p.n:
		p.same = true
	case p.na == p.n && repeats(b, shape):
		p.period = max(p.nb, 1)
	default:
		p.ia, p.ib = make([]int32, p.n), make([]int32, p.n)
		op.EachBroadcast(shape, [][]int{a, b}, func(o int, at []int) { p.ia[o], p.ib[o] = int32(at[0]), int32(at[1]) })
	}
	return p
}

// repeats reports that small, broadcast to big, is its own elements over and
// over.
func repeats(small, big []int) bool {
	for len(small) > 0 && small[0] == 1 {
		small = small[1:]
	}
	for i := range small {
		if small[i] != big[len(big)-len(small)+i] {
			return false
		}
	}
	return true
}

// at is the elements of a and b for output element i.
func (p *broadcast) at(i int) (int, int) {
	switch {
	case p.same:
		return i, i
	case p.period > 0:
		return i, i % p.period
	}
	return int(p.ia[i]), int(p.ib[i])
}

func binaryRule(n *node) (func(), func(), error) {
	f := pairings[n.Node.Op]
	a, b, y := n.in[0], n.in[1], n.out[0]
	p := newBroadcast(y.shape, a.shape, b.shape)
	ga, gb := n.g(0), n.g(1)
	if n.Node.Op == "Add" {
		return func() { p.sum(y.v, a.v, b.v) }, func() { p.sumBack(y.g, ga, gb) }, nil
	}
	if n.Since < 7 && !p.same {
		return nil, nil, fmt.Errorf("broadcasting of opset %d is not differentiated", n.Since)
	}
	if n.Node.Op == "Mul" && p.same {
		forward, backward := productRule(a, b, y, ga, gb)
		return forward, backward, nil
	}
	if p.period == 1 && gb == nil && (n.Node.Op == "Mul" || n.Node.Op == "Div") {
		forward, backward := scaleRule(n.Node.Op, a, b, y, ga)
		return forward, backward, nil
	}
	forward := func() {
		for i := range y.v {
			j, k := p.at(i)
			y.v[i] = f.f(a.v[j], b.v[k])
		}
	}
	backward := func() {
		for i, g := range y.g {
			j, k := p.at(i)
			if ga != nil {
				ga[j] += g * f.da(a.v[j], b.v[k], y.v[i])
			}
			if gb != nil {
				gb[k] += g * f.db(a.v[j], b.v[k], y.v[i])
			}
		}
	}
	return forward, backward, nil
}

// productRule is y = a*b of equal shapes.
func productRule(a, b, y *array, ga, gb []float32) (func(), func()) {
	scratch := make([]float32, len(y.v))
	return func() { kernel.Mul.Apply(y.v, a.v, b.v) }, func() {
		if ga != nil {
			kernel.Mul.Apply(scratch, y.g, b.v)
			addTo(ga, scratch)
		}
		if gb != nil {
			kernel.Mul.Apply(scratch, y.g, a.v)
			addTo(gb, scratch)
		}
	}
}

// scaleRule is a*b or a/b with a number b that wants no gradient.
func scaleRule(op string, a, b, y *array, ga []float32) (func(), func()) {
	each := func(f func(k float32)) func() { return func() { f(b.v[0]) } }
	if op == "Mul" {
		return each(func(k float32) {
				for i, v := range a.v {
					y.v[i] = v * k
				}
			}), each(func(k float32) {
				for i, g := range y.g {
					ga[i] += g * k
				}
			})
	}
	return each(func(k float32) {
			for i, v := range a.v {
				y.v[i] = v / k
			}
		}), each(func(k float32) {
			for i, g := range y.g {
				ga[i] += g / k
			}
		})
}

// sum is y = a + b.
func (p *broadcast) sum(y, a, b []float32) {
	switch {
	case p.same:
		kernel.Add.Apply(y, a, b)
	case p.period >= 8:
		for i := 0; i < len(y); i += p.period {
			kernel.Add.Apply(y[i:i+p.period], a[i:i+p.period], b)
		}
	case p.period > 0:
		for i := 0; i < len(y); i += p.period {
			row, src := y[i:i+p.period], a[i:i+p.period]
			for j, v := range b[:len(row)] {
				row[j] = src[j] + v
			}
		}
	default:
		for i := range y {
			y[i] = a[p.ia[i]] + b[p.ib[i]]
		}
	}
}

// sumBack adds g to the gradients of both operands.
func (p *broadcast) sumBack(g, ga, gb []float32) {
	if ga != nil && p.na == p.n {
		addTo(ga, g)
		ga = nil
	}
	if gb != nil && p.same {
		addTo(gb, g)
		gb = nil
	}
	if gb != nil && p.period > 0 {
		for i := 0; i < len(g); i += p.period {
			addTo(gb[:p.period], g[i:])
		}
		gb = nil
	}
	if ga == nil && gb == nil {
		return
	}
	for i, v := range g {
		j, k := p.at(i)
		if ga != nil {
			ga[j] += v
		}
		if gb != nil {
			gb[k] += v
		}
	}
}

// variadicRule is Sum, Mean, Max and Min of any number of operands. Where
// operands tie, the first gets the gradient.
func variadicRule(n *node) (func(), func(), error) {
	y := n.out[0]
	index := make([]broadcast, len(n.in))
	for k, a := range n.in {
		index[k] = newBroadcast(y.shape, y.shape, a.shape)
	}
	extreme := n.Node.Op == "Max" || n.Node.Op == "Min"
	less := n.Node.Op == "Min"
	scale := float32(1)
	if n.Node.Op == "Mean" {
		scale = 1 / float32(len(n.in))
	}
	var winner []int32
	if extreme {
		winner = make([]int32, len(y.v))
	}
	forward := func() {
		for i := range y.v {
			_, j := index[0].at(i)
			v, w := n.in[0].v[j], 0
			for k := 1; k < len(n.in); k++ {
				_, j := index[k].at(i)
				x := n.in[k].v[j]
				switch {
				case !extreme:
					v += x
				case x != v && (x < v) == less:
					v, w = x, k
				}
			}
			y.v[i] = v * scale
			if extreme {
				winner[i] = int32(w)
			}
		}
	}
	backward := func() {
		for k := range n.in {
			dst := n.g(k)
			if dst == nil {
				continue
			}
			for i, v := range y.g {
				if !extreme || winner[i] == int32(k) {
					_, j := index[k].at(i)
					dst[j] += v * scale
				}
			}
		}
	}
	return forward, backward, nil
}

func whereRule(n *node) (func(), func(), error) {
	y := n.out[0]
	ic := newBroadcast(y.shape, y.shape, n.in[0].shape)
	p := newBroadcast(y.shape, n.in[1].shape, n.in[2].shape)
	forward := func() {
		cond := n.in[0].value().Bytes()
		for i := range y.v {
			_, c := ic.at(i)
			if j, k := p.at(i); cond[c] != 0 {
				y.v[i] = n.in[1].v[j]
			} else {
				y.v[i] = n.in[2].v[k]
			}
		}
	}
	ga, gb := n.g(1), n.g(2)
	backward := func() {
		cond := n.in[0].value().Bytes()
		for i, g := range y.g {
			_, c := ic.at(i)
			switch j, k := p.at(i); {
			case cond[c] != 0 && ga != nil:
				ga[j] += g
			case cond[c] == 0 && gb != nil:
				gb[k] += g
			}
		}
	}
	return forward, backward, nil
}

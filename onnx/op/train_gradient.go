package op

import (
	"fmt"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

var opTrainGradient = &Def{
	Name:   "Gradient",
	Domain: "ai.onnx.preview.training",
	Versions: []Version{
		{Since: 1, Schema: `Inputs+~:T1 -> Outputs+~:T2 | xs:strings! y:string! zs:strings | T1: all; T2: fp`},
	},
	Infer: func(f *Infer) error {
		for i := range min(len(f.Out), len(f.In)) {
			f.SetType(i, f.Type(i))
		}
		return nil
	},
	Eval: evalGradient,
}

// partials gives, for the operators that Gradient differentiates, the
// derivative of each input i times the output's: dy/dx_i * g, elementwise over
// the broadcast shape.
var partials = map[string]func(x []float64, i int) float64{
	"Identity": func(_ []float64, _ int) float64 { return 1 },
	"Neg":      func(_ []float64, _ int) float64 { return -1 },
	"Add":      func(_ []float64, _ int) float64 { return 1 },
	"Sub":      func(_ []float64, i int) float64 { return 1 - 2*float64(i) },
	"Mul":      func(x []float64, i int) float64 { return x[1-i] },
	"Div": func(x []float64, i int) float64 {
		if i == 0 {
			return 1 / x[1]
		}
		return -x[0] / (x[1] * x[1])
	},
}

// evalGradient computes the sum of y again from the given xs and zs, and its
// derivatives in reverse order.
func evalGradient(e *Eval) error {
	names := append(append([]string{}, e.Strings("xs")...), e.Strings("zs")...)
	if len(names) != len(e.In) {
		return fmt.Errorf("%d inputs for %d names", len(e.In), len(names))
	}
	w := &differentiation{e: e, values: map[*graph.Value]*tensor.Tensor{}, slopes: map[*graph.Value][]float64{}}
	g := e.Node.Graph()
	for i, name := range names {
		v := g.Find(name)
		if v == nil {
			return fmt.Errorf("no value %q in the graph", name)
		}
		w.values[v] = e.Tensor(i)
	}
	y := g.Find(e.Str("y"))
	if y == nil {
		return fmt.Errorf("no value %q in the graph", e.Str("y"))
	}
	t, err := w.forward(y, 0)
	if err != nil {
		return err
	}
	w.slopes[y] = make([]float64, t.Len())
	for i := range w.slopes[y] {
		w.slopes[y][i] = 1
	}
	for i := len(w.order) - 1; i >= 0; i-- {
		if err := w.backward(w.order[i]); err != nil {
			return err
		}
	}
	for i, name := range e.Strings("xs") {
		x := e.Tensor(i)
		d := w.slopes[g.Find(name)]
		if d == nil {
			d = make([]float64, x.Len())
		}
		e.Set(i, tensor.FromFloats(x.Type, x.Shape, d))
	}
	return nil
}

// differentiation is one reverse-mode pass over the nodes that lead to y.
type differentiation struct {
	e      *Eval
	values map[*graph.Value]*tensor.Tensor
	slopes map[*graph.Value][]float64 // of y by a value
	order  []*graph.Node
}

func (w *differentiation) forward(v *graph.Value, depth int) (*tensor.Tensor, error) {
	if t := w.values[v]; t != nil {
		return t, nil
	}
	if t := v.Const(); t != nil {
		w.values[v] = t
		return t, nil
	}
	n := v.Def()
	if n == nil || depth > 10000 {
		return nil, fmt.Errorf("value %s is neither given nor computed", v.Name)
	}
	in := make([]tensor.Value, len(n.Inputs()))
	for i, x := range n.Inputs() {
		if x == nil {
			continue
		}
		t, err := w.forward(x, depth+1)
		if err != nil {
			return nil, err
		}
		in[i] = t
	}
	out, err := w.e.Env.Node(n, in)
	if err != nil {
		return nil, err
	}
	t, ok := out[v.Slot()].(*tensor.Tensor)
	if !ok {
		return nil, fmt.Errorf("value %s is %T, want a tensor", v.Name, out[v.Slot()])
	}
	w.values[v] = t
	w.order = append(w.order, n)
	return t, nil
}

// backward adds what n passes on to the slopes of its inputs.
func (w *differentiation) backward(n *graph.Node) error {
	slope := w.slopes[n.Out(0)]
	if slope == nil {
		return nil
	}
	f, ok := partials[n.Op]
	if !ok || !n.Is(n.Op) {
		return fmt.Errorf("node %s: no derivative of operator %s", n.Title(), qualified(n.Domain, n.Op))
	}
	out := w.values[n.Out(0)]
	var shapes [][]int
	var values [][]float64
	for _, x := range n.Inputs() {
		shapes, values = append(shapes, w.values[x].Shape), append(values, w.values[x].Floats())
		if w.slopes[x] == nil {
			w.slopes[x] = make([]float64, w.values[x].Len())
		}
	}
	x := make([]float64, len(values))
	EachBroadcast(out.Shape, shapes, func(o int, at []int) {
		for i := range x {
			x[i] = values[i][at[i]]
		}
		for i, v := range n.Inputs() {
			w.slopes[v][at[i]] += f(x, i) * slope[o]
		}
	})
	return nil
}

package graphtest

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/op"
	"onnxopt/onnx/tensor"
)

// loop is a Loop or Scan that is being made.
type loop struct {
	b       *builder
	body    *graph.Graph
	state   []value // carried values before the first iteration
	scanned []value // inputs of a Scan that its body reads row by row
	reverse bool    // from the last row on
	trips   int
	cond    bool // the body's first output tells whether to go on
}

// repeated adds a Loop or Scan whose body reads what is there, if all its
// iterations are valid.
func (b *builder) repeated() {
	n := len(b.values)
	l := &loop{b: b, body: b.top.NewSubgraph("body"), trips: 1 + b.IntN(4)}
	var rows []value
	for _, x := range b.values {
		if x.x.Rank() > 0 && x.x.Type != tensor.String && tame(x.x) {
			rows = append(rows, x)
		}
	}
	if b.IntN(2) == 0 && len(rows) > 0 {
		l.scanned, l.reverse = []value{pick(b, rows...)}, b.IntN(2) == 0
		l.trips = l.scanned[0].x.Shape[0]
	}
	for range 1 + b.IntN(2) {
		if x := b.values[b.IntN(n)]; x.x.Type != tensor.String {
			l.state = append(l.state, x)
		}
	}
	b.graph, b.inside = l.body, true
	l.inputs()
	for range 1 + b.IntN(4) {
		b.node()
	}
	l.outputs(b.values[n:])
	b.graph, b.inside, b.values = b.top, false, b.values[:n]
	results, ok := l.run()
	if !ok || len(results) == 0 {
		n := b.top.NewNode("Loop", nil, nil, graph.GraphAttr("body", l.body))
		b.top.InsertBefore(nil, n)
		b.top.Remove(n) // and what the body reads
		return
	}
	l.add(results)
}

// inputs makes the inputs of the body, with their values in the first iteration.
func (l *loop) inputs() {
	add := func(x *tensor.Tensor) {
		t := graph.TypeOf(x)
		if l.b.IntN(2) == 0 {
			t = graph.Unranked(x.Type)
		}
		l.b.keep(l.body.AddInput(l.body.Fresh("b"), t), x, false)
	}
	if l.scanned == nil {
		add(tensor.FromInts(tensor.Int64, nil, []int64{0}))
		add(tensor.FromBools(nil, []bool{true}))
	}
	for _, x := range l.state {
		add(x.x)
	}
	for _, x := range l.scanned {
		add(l.row(x.x, 0))
	}
}

// outputs makes the outputs of the body: whether to go on, the next carried
// values, and up to two more of the values that were made.
func (l *loop) outputs(made []value) {
	in := l.body.Inputs()
	if l.scanned == nil {
		l.cond = true
		next := l.body.Add(nil, "Identity", "v", []*graph.Value{in[1]})
		if l.b.IntN(2) == 0 {
			last := l.body.AddInitializer("c", &graph.Data{Tensor: tensor.FromInts(tensor.Int64, nil, []int64{int64(l.b.IntN(3))})})
			next = l.body.Add(nil, "Less", "v", []*graph.Value{in[0], last})
		}
		l.body.AddOutput(next)
		in = in[2:]
	}
	made = slices.DeleteFunc(slices.Clone(made), func(x value) bool { return x.v.Def() == nil || x.x.Type == tensor.String })
	for i, x := range l.state {
		k := slices.IndexFunc(made, func(y value) bool { return y.x.Type == x.x.Type && slices.Equal(y.x.Shape, x.x.Shape) })
		switch {
		case k >= 0:
			l.body.AddOutput(made[k].v)
			made = slices.Delete(made, k, k+1)
		case x.x.Type == tensor.Float32:
			l.body.AddOutput(l.body.Add(nil, "Tanh", "v", []*graph.Value{in[i]}))
		default:
			l.body.AddOutput(l.body.Add(nil, "Identity", "v", []*graph.Value{in[i]}))
		}
	}
	for range min(len(made), 2) {
		l.body.AddOutput(made[len(made)-1].v)
		made = made[:len(made)-1]
	}
}

// row is row i of x, in the order of the iterations.
func (l *loop) row(x *tensor.Tensor, i int) *tensor.Tensor {
	if l.reverse {
		i = l.trips - 1 - i
	}
	n := x.Len() / l.trips
	return tensor.FromFloats(x.Type, x.Shape[1:], x.Floats()[i*n:(i+1)*n])
}

// run is the results: the carried values, then one tensor for all iterations of
// each further output of the body. False if an iteration is not valid.
func (l *loop) run() ([]*tensor.Tensor, bool) {
	var state []*tensor.Tensor
	for _, x := range l.state {
		state = append(state, x.x)
	}
	var all [][]*tensor.Tensor
	for i := range l.trips {
		var in []*tensor.Tensor
		if l.cond {
			in = []*tensor.Tensor{tensor.FromInts(tensor.Int64, nil, []int64{int64(i)}), tensor.FromBools(nil, []bool{true})}
		}
		in = append(in, state...)
		for _, x := range l.scanned {
			in = append(in, l.row(x.x, i))
		}
		out, ok := l.iteration(in)
		if !ok {
			return nil, false
		}
		on := true
		if l.cond {
			on, out = out[0].Bools()[0], out[1:]
		}
		for k, x := range out {
			if k < len(state) && !slices.Equal(x.Shape, state[k].Shape) || len(all) > 0 && !slices.Equal(x.Shape, all[0][k].Shape) {
				return nil, false
			}
		}
		state, all = out[:len(state)], append(all, out)
		if !on {
			break
		}
	}
	results := slices.Clone(state)
	for k := len(state); k < len(all[0]); k++ {
		var v []float64
		for _, out := range all {
			v = append(v, out[k].Floats()...)
		}
		results = append(results, tensor.FromFloats(all[0][k].Type, append([]int{len(all)}, all[0][k].Shape...), v))
	}
	return results, true
}

// iteration evaluates the body once, node by node.
func (l *loop) iteration(in []*tensor.Tensor) ([]*tensor.Tensor, bool) {
	here := map[*graph.Value]tensor.Value{}
	for i, v := range l.body.Inputs() {
		here[v] = in[i]
	}
	read := func(v *graph.Value) tensor.Value {
		switch {
		case v == nil:
			return nil
		case v.Const() != nil:
			return v.Const()
		case v.Graph() == l.body:
			return here[v]
		}
		return l.b.all[v]
	}
	for n := range l.body.Nodes() {
		r, ok := l.b.resolve(op.Find("", n.Op))
		if !ok {
			return nil, false
		}
		var values []tensor.Value
		for _, v := range n.Inputs() {
			values = append(values, read(v))
		}
		got, err := r.Run(n, &op.Env{MaxBytes: 1 << 14}, values)
		if err != nil || !telling(n.Op, values, got) {
			return nil, false
		}
		for i, v := range n.Outputs() {
			if v != nil {
				here[v] = got[i]
			}
		}
	}
	var out []*tensor.Tensor
	for _, v := range l.body.Outputs() {
		x, ok := read(v).(*tensor.Tensor)
		if !ok || !tame(x) {
			return nil, false
		}
		out = append(out, x)
	}
	return out, true
}

// add adds the node.
func (l *loop) add(results []*tensor.Tensor) {
	b := l.b
	var in []*graph.Value
	for _, x := range slices.Concat(l.state, l.scanned) {
		in = append(in, x.v)
	}
	var outs []string
	for range results {
		outs = append(outs, b.top.Fresh("v"))
	}
	name, attrs := "Scan", []*graph.Attr{graph.GraphAttr("body", l.body)}
	if l.cond {
		name = "Loop"
		trips := tensor.FromInts(tensor.Int64, nil, []int64{int64(l.trips)})
		m := b.top.AddInitializer("m", &graph.Data{Tensor: trips})
		if b.IntN(3) == 0 {
			m = b.top.AddInput(b.top.Fresh("trips"), graph.TypeOf(trips))
			b.all[m] = trips
		}
		in = append([]*graph.Value{m, nil}, in...)
		if b.IntN(2) == 0 {
			in[1] = b.top.AddInitializer("k", &graph.Data{Tensor: tensor.FromBools(nil, []bool{true})})
		}
	} else {
		attrs = append(attrs, graph.Int("num_scan_inputs", int64(len(l.scanned))))
		if l.reverse {
			attrs = append(attrs, graph.Ints("scan_input_directions", 1))
		}
	}
	n := b.top.NewNode(name, in, outs, attrs...)
	b.top.InsertBefore(nil, n)
	for i, x := range results {
		b.keep(n.Out(i), x, false)
	}
}

package grad

import (
	"fmt"

	"strings"

	"onnxopt/onnx/op"
)

// recurrence is LSTM, GRU or RNN by back-propagation through time, with the
// default activations. Sequences are kept with the time axis first.
type recurrence struct {
	n                      *node
	gates                  int
	seq, batch, in, hidden int
	batchFirst             bool
	cell                   cell
	x, gx                  []float32 // [seq, batch, in]
	dirs                   []*direction
}

// direction is one direction with its weights and what a forward pass leaves
// for the backward pass. Rows of gate arrays are [gates*hidden].
type direction struct {
	*recurrence
	reverse           bool
	w, r, b           []float32 // b holds the input's and the state's biases
	gw, gr, gb        []float32
	act               []float32 // gates after activation, [seq, batch]
	aux               []float32 // [seq, batch, hidden]: what the cell keeps
	h, c              []float32 // states, [seq+1, batch, hidden]
	dact              []float32 // gradient of gates before activation, by W*x
	dstate            []float32 // the same by R*h, where that differs
	hr                []float32 // R*h of one step
	dh, dc, carry     []float32
	input, inputW     *product
	inputX, state     *product
	stateR, stateH    *product
	partial, partialR *product // of GRU's hidden gate
	partialH          *product
	reset, resetGrad  []float32
}

// cell is one step of a direction: forward fills act, aux and the next state,
// backward reads dh and dc and fills dact, dstate and carry, the gradient that
// goes straight to the previous state.
type cell interface {
	forward(d *direction, s int, active func(b int) bool)
	backward(d *direction, s int, active func(b int) bool)
}

func lstmRule(n *node) (func(), func(), error) {
	if n.has(7) || n.Int("input_forget") != 0 {
		return nil, nil, fmt.Errorf("peepholes and coupled gates are not differentiated")
	}
	return newRecurrence(n, 4, lstmCell{}, "Sigmoid", "Tanh", "Tanh")
}

func gruRule(n *node) (func(), func(), error) {
	return newRecurrence(n, 3, gruCell{n.Int("linear_before_reset") != 0}, "Sigmoid", "Tanh")
}

func rnnRule(n *node) (func(), func(), error) { return newRecurrence(n, 1, rnnCell{}, "Tanh") }

func newRecurrence(n *node, gates int, c cell, activations ...string) (func(), func(), error) {
	dirs := 1
	if n.Str("direction") == "bidirectional" {
		dirs = 2
	}
	if a := n.Node.Attr("activations"); a != nil {
		for i, s := range a.Strings {
			if !strings.EqualFold(s, activations[i%len(activations)]) {
				return nil, nil, fmt.Errorf("activation %s is not differentiated", s)
			}
		}
	}
	if n.Has("clip") {
		return nil, nil, fmt.Errorf("clip is not differentiated")
	}
	xs := n.in[0].shape
	q := &recurrence{n: n, gates: gates, cell: c, seq: xs[0], batch: xs[1], in: xs[2], hidden: n.in[2].shape[2], batchFirst: n.Int("layout") != 0}
	if q.batchFirst {
		q.seq, q.batch = q.batch, q.seq
	}
	q.x = make([]float32, len(n.in[0].v))
	if n.g(0) != nil {
		q.gx = make([]float32, len(q.x))
	}
	for k := range dirs {
		q.dirs = append(q.dirs, q.direction(k, dirs, k == 1 || n.Str("direction") == "reverse"))
	}
	return q.forward, q.backward, nil
}

func (q *recurrence) direction(k, dirs int, reverse bool) *direction {
	part := func(v []float32) []float32 {
		if v == nil {
			return nil
		}
		return v[len(v)/dirs*k : len(v)/dirs*(k+1)]
	}
	n, rows, cells := q.n, q.gates*q.hidden, q.batch*q.hidden
	d := &direction{recurrence: q, reverse: reverse}
	d.w, d.r = part(n.in[1].v), part(n.in[2].v)
	d.gw, d.gr, d.gb = part(n.g(1)), part(n.g(2)), part(n.g(3))
	if d.b = make([]float32, 2*rows); n.has(3) {
		d.b = part(n.in[3].v)
	}
	d.act, d.dact = make([]float32, q.seq*q.batch*rows), make([]float32, q.seq*q.batch*rows)
	d.dstate = d.dact
	if q.gates == 3 {
		d.dstate = make([]float32, len(d.dact))
		d.reset, d.resetGrad = make([]float32, cells), make([]float32, cells)
		d.partial = newProduct(n.pool, q.batch, q.hidden, q.hidden, false, true, 1)
		d.partialH = newProduct(n.pool, q.batch, q.hidden, q.hidden, false, false, 1)
		d.partialR = newProduct(n.pool, q.hidden, q.hidden, q.batch, true, false, 1)
	}
	d.aux = make([]float32, q.seq*cells)
	d.h, d.c = make([]float32, (q.seq+1)*cells), make([]float32, (q.seq+1)*cells)
	d.hr = make([]float32, q.batch*rows)
	d.dh, d.dc, d.carry = make([]float32, cells), make([]float32, cells), make([]float32, cells)
	all := q.seq * q.batch
	d.input = newProduct(n.pool, all, rows, q.in, false, true, 1)
	d.inputW = newProduct(n.pool, rows, q.in, all, true, false, 1)
	d.inputX = newProduct(n.pool, all, q.in, rows, false, false, 1)
	d.state = newProduct(n.pool, q.batch, rows, q.hidden, false, true, 1)
	d.stateR = newProduct(n.pool, rows, q.hidden, q.batch, true, false, 1)
	d.stateH = newProduct(n.pool, q.batch, q.hidden, rows, false, false, 1)
	return d
}

// timeFirst copies between [batch, seq, n] of the model and [seq, batch, n].
func (q *recurrence) timeFirst(dst, src []float32, size int, back bool) {
	if !q.batchFirst {
		copy(dst, src)
		return
	}
	for t := range q.seq {
		for b := range q.batch {
			i, j := (t*q.batch+b)*size, (b*q.seq+t)*size
			if back {
				i, j = j, i
			}
			copy(dst[i:i+size], src[j:])
		}
	}
}

// y is where output element row (t, direction k, b) begins; state that of a
// state's row.
func (q *recurrence) yRow(t, k, b int) int {
	if q.batchFirst {
		return ((b*q.seq+t)*len(q.dirs) + k) * q.hidden
	}
	return ((t*len(q.dirs)+k)*q.batch + b) * q.hidden
}

func (q *recurrence) stateRow(k, b int) int {
	if q.batchFirst {
		return (b*len(q.dirs) + k) * q.hidden
	}
	return (k*q.batch + b) * q.hidden
}

// time is the time of step s; active says which sequences reach it.
func (d *direction) time(s int) int {
	if d.reverse {
		return d.seq - 1 - s
	}
	return s
}

func (d *direction) active(t int) func(b int) bool {
	if !d.n.has(4) {
		return func(int) bool { return true }
	}
	lens := d.n.in[4].value().Ints()
	return func(b int) bool { return t < int(lens[b]) }
}

func (q *recurrence) forward() {
	n := q.n
	q.timeFirst(q.x, n.in[0].v, q.in, false)
	for k, d := range q.dirs {
		cells, rows := q.batch*q.hidden, q.gates*q.hidden
		for i, state := range [][]float32{d.h, d.c} {
			clear(state[:cells])
			if n.has(5 + i) {
				for b := range q.batch {
					copy(state[b*q.hidden:(b+1)*q.hidden], n.in[5+i].v[q.stateRow(k, b):])
				}
			}
		}
		d.input.run(d.act, q.x, d.w, true)
		for i := range d.act {
			d.act[i] += d.b[i%rows]
		}
		for s := range q.seq {
			t := d.time(s)
			active := d.active(t)
			d.state.run(d.hr, d.h[s*cells:], d.r, true)
			for i := range d.hr {
				d.hr[i] += d.b[rows+i%rows]
			}
			q.cell.forward(d, s, active)
			next := d.h[(s+1)*cells:]
			for b := range q.batch {
				row := next[b*q.hidden : (b+1)*q.hidden]
				if !active(b) {
					at := s*cells + b*q.hidden
					copy(row, d.h[at:at+q.hidden])
					copy(d.c[at+cells:at+cells+q.hidden], d.c[at:])
				}
				if y := n.out[0]; y != nil {
					out := y.v[q.yRow(t, k, b) : q.yRow(t, k, b)+q.hidden]
					if clear(out); active(b) {
						copy(out, row)
					}
				}
			}
		}
		for i, state := range [][]float32{d.h, d.c} {
			if i+1 < len(n.out) && n.out[i+1] != nil {
				for b := range q.batch {
					at := q.stateRow(k, b)
					copy(n.out[i+1].v[at:at+q.hidden], state[q.seq*cells+b*q.hidden:])
				}
			}
		}
	}
}

func (q *recurrence) backward() {
	n := q.n
	clear(q.gx)
	for k, d := range q.dirs {
		d.backward(k)
		if d.gw != nil {
			d.inputW.run(d.gw, d.dact, q.x, false)
		}
		if q.gx != nil {
			d.inputX.run(q.gx, d.dact, d.w, false)
		}
		if rows := q.gates * q.hidden; d.gb != nil {
			for i, g := range d.dact {
				d.gb[i%rows] += g
			}
			for i, g := range d.dstate {
				d.gb[rows+i%rows] += g
			}
		}
		for i, state := range [][]float32{d.dh, d.dc} {
			if g := n.g(5 + i); g != nil {
				for b := range q.batch {
					addTo(g[q.stateRow(k, b):q.stateRow(k, b)+q.hidden], state[b*q.hidden:])
				}
			}
		}
	}
	if q.gx != nil {
		scratch := q.x
		q.timeFirst(scratch, q.gx, q.in, true)
		addTo(n.in[0].g, scratch)
	}
}

// backward steps back through time, leaving dact, dstate and the gradients of
// the initial states in dh and dc.
func (d *direction) backward(k int) {
	n, cells, rows := d.n, d.batch*d.hidden, d.gates*d.hidden
	for i, state := range [][]float32{d.dh, d.dc} {
		clear(state)
		if i+1 < len(n.out) && n.out[i+1] != nil && n.out[i+1].g != nil {
			for b := range d.batch {
				copy(state[b*d.hidden:(b+1)*d.hidden], n.out[i+1].g[d.stateRow(k, b):])
			}
		}
	}
	for s := d.seq - 1; s >= 0; s-- {
		t := d.time(s)
		active := d.active(t)
		for b := range d.batch {
			if y := n.out[0]; y != nil && y.g != nil && active(b) {
				addTo(d.dh[b*d.hidden:(b+1)*d.hidden], y.g[d.yRow(t, k, b):])
			}
			if !active(b) {
				at := (t*d.batch + b) * rows
				clear(d.dact[at : at+rows])
				clear(d.dstate[at : at+rows])
			}
		}
		d.cell.backward(d, s, active)
		copy(d.dh, d.carry)
		gates := d.dstate[t*d.batch*rows : (t+1)*d.batch*rows]
		if d.partial != nil && d.resets() { // the hidden gate saw reset.h, done by the cell
			gates = d.withoutHidden(gates)
		}
		if d.gr != nil {
			d.stateR.run(d.gr, gates, d.h[s*cells:], false)
		}
		d.stateH.run(d.dh, gates, d.r, false)
	}
}

func (d *direction) resets() bool { return !d.cell.(gruCell).linear }

// withoutHidden is rows of gate gradients with those of the hidden gate zero.
func (d *direction) withoutHidden(gates []float32) []float32 {
	rows := d.gates * d.hidden
	copy(d.hr, gates)
	for b := range d.batch {
		clear(d.hr[b*rows+2*d.hidden : (b+1)*rows])
	}
	return d.hr
}

// row is the gates of step s and sequence b in act, dact or dstate.
func (d *direction) row(v []float32, s, b int) []float32 {
	rows := d.gates * d.hidden
	at := (d.time(s)*d.batch + b) * rows
	return v[at : at+rows]
}

// at is where the states of step s and sequence b begin.
func (d *direction) at(s, b int) int { return (s*d.batch + b) * d.hidden }

var sigmoid32, tanh32 = half(curves["Sigmoid"]), half(curves["Tanh"])

func half(c func(*op.Attrs) curve) func(float32) float32 {
	f := c(nil).f
	return func(x float32) float32 { return float32(f(float64(x))) }
}

// lstmCell has the gates i, o, f, g: c' = f.c + i.g, h' = o.tanh(c').
type lstmCell struct{}

func (lstmCell) forward(d *direction, s int, active func(int) bool) {
	n := d.hidden
	for b := range d.batch {
		if !active(b) {
			continue
		}
		a, hr := d.row(d.act, s, b), d.hr[b*4*n:(b+1)*4*n]
		for j := range a {
			if a[j] += hr[j]; j < 3*n {
				a[j] = sigmoid32(a[j])
			} else {
				a[j] = tanh32(a[j])
			}
		}
		at, next := d.at(s, b), d.at(s+1, b)
		for j := range n {
			c := a[2*n+j]*d.c[at+j] + a[j]*a[3*n+j]
			d.c[next+j] = c
			d.aux[at+j] = tanh32(c)
			d.h[next+j] = a[n+j] * d.aux[at+j]
		}
	}
}

func (lstmCell) backward(d *direction, s int, active func(int) bool) {
	n := d.hidden
	copy(d.carry, d.dh)
	for b := range d.batch {
		if !active(b) {
			continue
		}
		a, g, at := d.row(d.act, s, b), d.row(d.dact, s, b), d.at(s, b)
		for j := range n {
			k := b*n + j
			i, o, f, u, th := a[j], a[n+j], a[2*n+j], a[3*n+j], d.aux[at+j]
			dc := d.dc[k] + d.dh[k]*o*(1-th*th)
			g[j] = dc * u * i * (1 - i)
			g[n+j] = d.dh[k] * th * o * (1 - o)
			g[2*n+j] = dc * d.c[at+j] * f * (1 - f)
			g[3*n+j] = dc * i * (1 - u*u)
			d.dc[k], d.carry[k] = dc*f, 0
		}
	}
}

// rnnCell is h' = tanh(W*x + R*h + b).
type rnnCell struct{}

func (rnnCell) forward(d *direction, s int, active func(int) bool) {
	for b := range d.batch {
		if !active(b) {
			continue
		}
		a := d.row(d.act, s, b)
		for j := range a {
			a[j] = tanh32(a[j] + d.hr[b*d.hidden+j])
		}
		copy(d.h[d.at(s+1, b):d.at(s+1, b)+d.hidden], a)
	}
}

func (rnnCell) backward(d *direction, s int, active func(int) bool) {
	copy(d.carry, d.dh)
	for b := range d.batch {
		if !active(b) {
			continue
		}
		a, g := d.row(d.act, s, b), d.row(d.dact, s, b)
		for j := range a {
			k := b*d.hidden + j
			g[j] = d.dh[k] * (1 - a[j]*a[j])
			d.carry[k] = 0
		}
	}
}

// gruCell has the gates z, r, n: h' = (1-z).n + z.h. The hidden gate reads
// R*(r.h), or r.(R*h + b) if linear.
type gruCell struct{ linear bool }

func (c gruCell) forward(d *direction, s int, active func(int) bool) {
	n := d.hidden
	rows := 3 * n
	for b := range d.batch {
		a, hr := d.row(d.act, s, b), d.hr[b*rows:(b+1)*rows]
		if !active(b) {
			clear(d.reset[b*n : (b+1)*n])
			continue
		}
		at := d.at(s, b)
		for j := range 2 * n {
			a[j] = sigmoid32(a[j] + hr[j])
		}
		for j := range n {
			d.reset[b*n+j] = a[n+j] * d.h[at+j]
		}
	}
	if !c.linear {
		d.partial.run(d.resetGrad, d.reset, d.r[2*n*n:], true)
	}
	for b := range d.batch {
		if !active(b) {
			continue
		}
		a, at, next := d.row(d.act, s, b), d.at(s, b), d.at(s+1, b)
		for j := range n {
			if hn := d.hr[b*rows+2*n+j]; c.linear {
				d.aux[at+j] = hn
				a[2*n+j] += a[n+j] * hn
			} else {
				a[2*n+j] += d.resetGrad[b*n+j] + d.b[rows+2*n+j]
			}
			u := tanh32(a[2*n+j])
			a[2*n+j] = u
			d.h[next+j] = (1-a[j])*u + a[j]*d.h[at+j]
		}
	}
}

func (c gruCell) backward(d *direction, s int, active func(int) bool) {
	n := d.hidden
	copy(d.carry, d.dh)
	clear(d.resetGrad)
	for b := range d.batch {
		if !active(b) {
			continue
		}
		a, g, gs, at := d.row(d.act, s, b), d.row(d.dact, s, b), d.row(d.dstate, s, b), d.at(s, b)
		for j := range n {
			dh := d.dh[b*n+j]
			z, r, u, h := a[j], a[n+j], a[2*n+j], d.h[at+j]
			g[2*n+j] = dh * (1 - z) * (1 - u*u)
			g[j] = dh * (h - u) * z * (1 - z)
			gs[j] = g[j]
			d.carry[b*n+j] = dh * z
			gs[2*n+j] = g[2*n+j]
			if c.linear {
				g[n+j] = g[2*n+j] * d.aux[at+j] * r * (1 - r)
				gs[n+j], gs[2*n+j] = g[n+j], g[2*n+j]*r
			}
			d.reset[b*n+j] = g[2*n+j]
		}
	}
	if c.linear {
		return
	}
	for b := range d.batch {
		if !active(b) {
			clear(d.reset[b*n : (b+1)*n])
		}
	}
	d.partialH.run(d.resetGrad, d.reset, d.r[2*n*n:], true) // gradient of r.h
	if d.gr != nil {
		rh := d.hr[:d.batch*n]
		for b := range d.batch {
			a, at := d.row(d.act, s, b), d.at(s, b)
			for j := range n {
				rh[b*n+j] = a[n+j] * d.h[at+j]
			}
		}
		d.partialR.run(d.gr[2*n*n:], d.reset, rh, false)
	}
	for b := range d.batch {
		if !active(b) {
			continue
		}
		a, g, gs, at := d.row(d.act, s, b), d.row(d.dact, s, b), d.row(d.dstate, s, b), d.at(s, b)
		for j := range n {
			r, dr := a[n+j], d.resetGrad[b*n+j]
			g[n+j] = dr * d.h[at+j] * r * (1 - r)
			gs[n+j] = g[n+j]
			d.carry[b*n+j] += dr * r
		}
	}
}

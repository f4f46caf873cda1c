package pack

import (
	"bytes"
	"encoding/binary"
)

// guesses predicts the next string or number from what the model held so far.
type guesses struct {
	now [2]candidate

	op       uint32 // the operator of the node before
	reads    [][]byte
	defined  map[string]bool
	inputs   [][]byte // of the node at hand
	outputs  [][]byte
	name     []byte
	output   []byte   // first output of the node before
	produced [][]byte // all outputs of nodes
	valued   int      // of these, how many value infos were seen
	dims     [3][]uint64
}

// candidate is a guessed string; it holds as long as its start was right.
type candidate struct {
	s     []byte
	at    int // -1 once it was wrong
	level int
}

func (c *candidate) next() (symbol, level int) {
	switch {
	case c.at < 0 || c.at > len(c.s) || c.s == nil:
		return -1, 0
	case c.at == len(c.s):
		return 0, c.level + 3
	}
	return int(c.s[c.at]), c.level + min(c.at, 3)
}

// seen tells the candidates what the next symbol was.
func (g *guesses) seen(b byte) {
	for i := range g.now {
		c := &g.now[i]
		if sym, _ := c.next(); sym == int(b) && c.at >= 0 {
			c.at++
		} else {
			c.at = -1
		}
	}
}

// start chooses the candidates for a string.
func (g *guesses) start(of message, num int) {
	g.now = [2]candidate{}
	a, b := g.candidates(of, num)
	kind := 0
	switch {
	case of == nodeMsg && num == nodeInput:
		kind = 4
	case of == nodeMsg:
		kind = 8
	}
	g.now[0], g.now[1] = candidate{s: a, level: kind}, candidate{s: b, level: kind}
}

func (g *guesses) candidates(of message, num int) (a, b []byte) {
	switch {
	case of == nodeMsg && num == nodeInput:
		if len(g.inputs) == 0 {
			return g.output, g.before(2)
		}
		return g.inputs[len(g.inputs)-1], g.before(1)
	case of == nodeMsg && num == nodeOutput:
		if len(g.inputs) > 1 {
			a = modulePath(g.inputs[1])
		}
		if len(g.inputs) > 0 {
			b = g.inputs[0]
		}
		return a, b
	case of == nodeMsg && num == nodeName:
		if len(g.outputs) > 0 {
			a = bytes.TrimSuffix(g.outputs[0], []byte("_output_0"))
		}
		if len(g.inputs) > 1 {
			b = modulePath(g.inputs[1])
		}
		return a, b
	case of == nodeMsg && num == nodeOp:
		return opInName(g.name), nil
	case of == tensorMsg && num == tensorName, of == valueMsg && g.valued == 0:
		return g.undefined(), g.output
	case of == valueMsg && num == valueName:
		if g.valued < len(g.produced) {
			return g.produced[g.valued], g.output
		}
		return g.output, nil
	}
	return nil, nil
}

// before is the output of the n-th node before the one before, nil if there
// is none.
func (g *guesses) before(n int) []byte {
	if i := len(g.produced) - n; i >= 0 && i < len(g.produced) {
		return g.produced[i]
	}
	return nil
}

// modulePath is /block/conv/ for block.conv.weight, as PyTorch names nodes.
func modulePath(weight []byte) []byte {
	i := bytes.LastIndexByte(weight, '.')
	if i < 0 {
		return nil
	}
	p := append([]byte("/"), weight[:i]...)
	for j, c := range p {
		if c == '.' {
			p[j] = '/'
		}
	}
	return append(p, '/')
}

// opInName is Conv for /block/conv/Conv_1.
func opInName(name []byte) []byte {
	name = name[bytes.LastIndexByte(name, '/')+1:]
	if i := bytes.IndexByte(name, '_'); i >= 0 {
		name = name[:i]
	}
	return name
}

// undefined is the first string that a node read and nothing defined yet.
func (g *guesses) undefined() []byte {
	for len(g.reads) > 0 && g.defined[string(g.reads[0])] {
		g.reads = g.reads[1:]
	}
	if len(g.reads) == 0 {
		return nil
	}
	return g.reads[0]
}

// text records a string that was coded.
func (g *guesses) text(of message, num int, s []byte) {
	if g.defined == nil {
		g.defined = map[string]bool{"": true}
	}
	switch {
	case of == nodeMsg && num == nodeInput:
		g.inputs = append(g.inputs, s)
		g.reads = append(g.reads, s)
	case of == nodeMsg && num == nodeOutput:
		g.outputs = append(g.outputs, s)
		g.produced = append(g.produced, s)
		g.defined[string(s)] = true
	case of == nodeMsg && num == nodeName:
		g.name = s
	case of == nodeMsg && num == nodeOp:
		g.op = hashOf(s)
	case of == tensorMsg && num == tensorName:
		g.defined[string(s)] = true
	case of == valueMsg && num == valueName:
		g.defined[string(s)] = true
		g.valued++
	}
}

// message records the end of a message.
func (g *guesses) message(of message) {
	switch of {
	case nodeMsg:
		if len(g.outputs) > 0 {
			g.output = g.outputs[0]
		}
		g.inputs, g.outputs, g.name = nil, nil, nil
	case graphMsg:
		*g = guesses{op: g.op}
	}
}

// number chooses the candidates for a number: a size of a tensor is often one
// of those before.
func (g *guesses) number(x *item, of message, before []item) {
	g.now = [2]candidate{}
	if of != tensorMsg || x.num != tensorDims {
		return
	}
	_ = before
	if len(before) == 0 {
		g.dims = [3][]uint64{nil, g.dims[0], g.dims[1]}
	} else if p := before[len(before)-1]; p.num == tensorDims {
		g.dims[0] = append(g.dims[0], p.v)
	}
	k := len(g.dims[0])
	one := func(d []uint64, i int) []byte {
		if i >= len(d) {
			return nil
		}
		v := binary.AppendUvarint(nil, d[i])
		return v
	}
	if k == 0 {
		g.now[0] = candidate{s: one(g.dims[1], 0), level: 12}
	} else {
		g.now[0] = candidate{s: one(g.dims[2], 0), level: 12}
		g.now[1] = candidate{s: one(g.dims[1], k), level: 12}
	}
}

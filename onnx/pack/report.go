package pack

import (
	"errors"
	"math"
)

// Report is what each part of a model costs in a container.
type Report struct {
	Model     int      `json:"model_bytes"`
	Container int      `json:"container_bytes"`
	Header    int      `json:"header_bytes"`
	Structure float64  `json:"structure_bytes"` // everything but tensors
	Tensors   []Tensor `json:"tensors"`
}

// Tensor is the code of one tensor's data. Entropies are empirical, of order
// zero: what the best code would take that knows the share of each value
// beforehand, but no contexts. Bits are for each element: positions over all
// of them, values over those that are not zero.
type Tensor struct {
	Name            string  `json:"name"`
	Dims            []int   `json:"dims"`
	Method          string  `json:"method"`
	Bytes           float64 `json:"bytes"`
	Elements        int     `json:"elements,omitempty"`
	Weights         int     `json:"weights,omitempty"` // that are not zero
	Values          int     `json:"values,omitempty"`  // different ones
	PositionBits    float64 `json:"position_bits,omitempty"`
	PositionEntropy float64 `json:"position_entropy,omitempty"`
	ValueBits       float64 `json:"value_bits,omitempty"`
	ValueEntropy    float64 `json:"value_entropy,omitempty"`
}

var methodNames = [numMethods]string{"bytes", "floats", "codebook", "grid", "int8", "uint8"}

// Measure packs a model and says what each part takes.
func Measure(model []byte) (*Report, error) {
	packed, err := Pack(model)
	if err != nil {
		return nil, err
	}
	h, err := readHeader(packed)
	if err != nil {
		return nil, err
	}
	r := &Report{Model: len(model), Container: len(packed), Header: len(packed) - len(h.code)}
	if h.mode != modelMode {
		return r, nil
	}
	items, err := parse(model, modelMsg, 0)
	s, err2 := primed()
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	s.c = newMeter()
	s.message(items, modelMsg, 0)
	r.Structure = bytesOf(s.c.bits)
	t := newTensors(newMeter())
	r.tensors(t, items, "")
	return r, nil
}

// tensors measures the blobs below a message in the order of the container.
func (r *Report) tensors(t *tensors, items []item, name string) {
	for i := range items {
		x := &items[i]
		if x.form == group {
			r.tensors(t, x.sub, nameOf(x))
		}
		if x.form != blob {
			continue
		}
		out := Tensor{Name: name, Dims: x.tensor.dims}
		from := t.c.bits
		t.stats = &out
		_ = t.blob(x, nil)
		out.Bytes = bytesOf(t.c.bits - from)
		r.Tensors = append(r.Tensors, out)
	}
}

func nameOf(x *item) string {
	for _, y := range x.sub {
		if x.of == tensorMsg && y.num == tensorName {
			return string(y.b)
		}
	}
	return ""
}

func bytesOf(bits uint64) float64 { return float64(bits) / (8 << 16) }

// measurePositions notes what the flags took since the meter stood at from.
func (t *tensors) measurePositions(flags []uint8, from uint64) {
	if t.stats == nil {
		return
	}
	var n [2]int
	for _, f := range flags {
		n[f]++
	}
	t.stats.PositionBits = 8 * bytesOf(t.c.bits-from) / float64(len(flags))
	t.stats.PositionEntropy = entropy(n[:])
}

func (t *tensors) measureValues(v []signed, from uint64) {
	if t.stats == nil {
		return
	}
	counts := map[signed]int{}
	weights := 0
	for _, x := range v {
		if x != 0 {
			counts[x]++
			weights++
		}
	}
	var n []int
	for _, k := range counts {
		n = append(n, k)
	}
	t.stats.Elements, t.stats.Weights, t.stats.Values = len(v), weights, len(n)
	t.stats.ValueBits = 8 * bytesOf(t.c.bits-from) / float64(max(1, weights))
	t.stats.ValueEntropy = entropy(n)
}

// entropy is the bits for each event of these counts.
func entropy(counts []int) float64 {
	total, h := 0, 0.0
	for _, n := range counts {
		total += n
	}
	for _, n := range counts {
		if n > 0 {
			p := float64(n) / float64(total)
			h -= p * math.Log2(p)
		}
	}
	return h
}

package samples

import (
	"fmt"
	"math"
	"slices"

	"onnxopt/onnx/tensor"
)

// binding is how an array holds the values of an input.
type binding int

const (
	// rows: a sample is a row of the input's first axis.
	rows binding = iota
	// whole: a sample is a value of the input's full shape.
	whole
	// shared: one value is that of all samples.
	shared
)

// reading is one way to read an array as samples of an input.
type reading struct {
	as      binding
	samples int
	shape   []int // of one sample: without the batch axis for rows
}

// readings are the ways in which an array of the shape can hold samples, the
// likeliest first.
func readings(in Input, shape []int) []reading {
	var out []reading
	want := in.Shape
	if want == nil { // any rank
		if len(shape) == 0 {
			return []reading{{shared, 1, shape}}
		}
		return []reading{{rows, shape[0], shape[1:]}}
	}
	if r := len(want); r > 0 {
		rest := want[1:]
		switch {
		case len(shape) == r && matches(rest, shape[1:]):
			out = append(out, reading{rows, shape[0], shape[1:]})
		case len(shape) == r+1 && matches(rest, shape[2:]) && (shape[1] == want[0] || want[0] < 0 && shape[1] == 1):
			// The header's element count is checked: no overflow.
			out = append(out, reading{rows, shape[0] * shape[1], shape[2:]})
		case len(shape) == r-1 && matches(rest, shape):
			out = append(out, reading{rows, 1, shape})
		}
	}
	if len(shape) == len(want)+1 && matches(want, shape[1:]) {
		out = append(out, reading{whole, shape[0], shape[1:]})
	}
	if matches(want, shape) {
		out = append(out, reading{shared, 1, shape})
	}
	return out
}

// bound is an array with its reading; array is nil for an absent input.
type bound struct {
	*array
	reading
	in Input
}

// arraySource is samples from arrays, one for each input.
type arraySource struct {
	in, out []bound
	size    int // rows of the fixed batch axis, or 0
}

// bindArrays makes the set's source from arrays, keyed by input and output
// names. The number of samples is that of the first input whose batch axis
// is free or 1, else of the first input.
func (s *Set) bindArrays(arrays map[string]*array, opt *Options) error {
	src := &arraySource{}
	options := make([][]reading, len(s.inputs))
	primary := -1
	for i, in := range s.inputs {
		b := bound{array: arrays[in.Name], in: in}
		src.in = append(src.in, b)
		if b.array == nil {
			continue // openNPZ has checked that it may be
		}
		if err := checkType(b.elem, in.Type, opt.Cast); err != nil {
			return fmt.Errorf("%s: model input %q: %w", b.title, in.Name, err)
		}
		options[i] = readings(in, b.array.shape)
		if len(options[i]) == 0 {
			return fmt.Errorf("%s: shape %v, model input %q wants %s", b.title, b.array.shape, in.Name, wantShape(in.Shape))
		}
		if primary < 0 || freeAt(in, options[i]) && !freeAt(s.inputs[primary], options[primary]) {
			primary = i
		}
	}
	if primary < 0 {
		return fmt.Errorf("%s: no model input is in it", s.path)
	}
	s.n = options[primary][0].samples
	for i := range src.in {
		if src.in[i].array == nil {
			continue
		}
		if err := s.choose(&src.in[i], options[i], primary); err != nil {
			return err
		}
		if err := src.in[i].limit(opt.maxBytes()); err != nil {
			return err
		}
	}
	src.size = s.size
	s.source = src
	return s.bindOutputs(src, arrays, opt)
}

// freeAt reports that samples are rows of a batch axis that is free or 1.
func freeAt(in Input, r []reading) bool {
	return r[0].as == rows && (in.Shape == nil || in.Shape[0] == -1 || in.Shape[0] == 1)
}

// choose takes the reading that has as many samples as the set.
func (s *Set) choose(b *bound, options []reading, primary int) error {
	at := slices.IndexFunc(options, func(r reading) bool { return r.as != shared && r.samples == s.n })
	if at < 0 {
		at = slices.IndexFunc(options, func(r reading) bool { return r.as == shared })
	}
	if at < 0 || options[at].as == shared && len(b.in.Shape) > 0 && b.in.Shape[0] < 0 {
		return fmt.Errorf("%s: %d samples for model input %q, %d for %q",
			b.title, options[0].samples, b.in.Name, s.n, s.inputs[primary].Name)
	}
	b.reading = options[at]
	switch {
	case b.as == whole:
		return s.setBatchSize(1, b.in)
	case b.as == rows && len(b.in.Shape) > 0 && b.in.Shape[0] > 0:
		return s.setBatchSize(b.in.Shape[0], b.in)
	}
	return nil
}

// limit checks the size of one sample.
func (b *bound) limit(maxBytes int) error {
	size, err := b.elem.bytes(b.reading.shape)
	if err == nil && size > int64(maxBytes) {
		err = fmt.Errorf("one sample of shape %v has %d bytes, the limit is %d", b.reading.shape, size, maxBytes)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", b.title, err)
	}
	return nil
}

// bindOutputs binds the arrays that have names of outputs. Their type is not
// that of the model necessarily.
func (s *Set) bindOutputs(src *arraySource, arrays map[string]*array, opt *Options) error {
	for _, out := range opt.Outputs {
		b := bound{array: arrays[out.Name], in: out}
		b.in.Type = tensor.Undefined
		if b.array != nil {
			options := readings(out, b.array.shape)
			at := slices.IndexFunc(options, func(r reading) bool { return r.samples == s.n || r.as == shared })
			if at < 0 {
				return fmt.Errorf("%s: shape %v, model output %q of %d samples wants %s",
					b.title, b.array.shape, out.Name, s.n, wantShape(out.Shape))
			}
			b.reading = options[at]
			if err := b.limit(opt.maxBytes()); err != nil {
				return err
			}
		}
		src.out = append(src.out, b)
	}
	return nil
}

func (a *arraySource) batch(from, to int) ([]tensor.Value, error) {
	return readAll(a.in, from, to, a.size)
}

func (a *arraySource) expected(from, to int) ([]tensor.Value, error) {
	return readAll(a.out, from, to, 0)
}

func (a *arraySource) name(int) string { return "" }

func readAll(list []bound, from, to, size int) ([]tensor.Value, error) {
	out := make([]tensor.Value, len(list))
	for i := range list {
		b := &list[i]
		if b.array == nil {
			continue
		}
		t, err := b.samples(from, to, size)
		if err != nil {
			return nil, fmt.Errorf("%s: samples %d to %d: %w", b.title, from, to-1, err)
		}
		out[i] = t
	}
	return out, nil
}

// samples reads samples from <= i < to, filled up to size if that is more.
func (b *bound) samples(from, to, size int) (*tensor.Tensor, error) {
	n, err := tensor.Count(b.reading.shape)
	if err != nil {
		return nil, err
	}
	var first int
	shape := b.reading.shape
	switch b.as {
	case rows:
		first, shape = from*n, append([]int{to - from}, shape...)
	case whole:
		first = from * n
		if to-from > 1 { // outputs only: inputs have a batch size of 1
			shape = append([]int{to - from}, shape...)
		}
	}
	t, err := b.read(first, shape)
	if err != nil {
		return nil, err
	}
	if t, err = convert(t, b.elem, b.in.Type); err != nil {
		return nil, err
	}
	if b.as == rows && size > to-from {
		return fillRows(t, size)
	}
	return t, nil
}

// fillRows repeats the last row of t up to size rows.
func fillRows(t *tensor.Tensor, size int) (*tensor.Tensor, error) {
	n := t.Len()
	row := n / t.Shape[0]
	shape := append([]int{size}, t.Shape[1:]...)
	if _, err := tensor.Count(shape); err != nil {
		return nil, err
	}
	return tensor.Gather(t, shape, math.MaxInt, func(i int) int {
		if i < n {
			return i
		}
		return n - row + i%row
	})
}

package op

import (
	"fmt"
	"slices"
	"strings"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opEinsum = &Def{
	Name: "Einsum",
	Versions: []Version{
		{Since: 12, Schema: `Inputs+:T -> Output:T | equation:string! | T: num`},
		{Since: 28, Schema: `Inputs+:T -> Output:T | equation:string! | T: num bfloat16`},
	},
	Infer: inferEinsum,
	Eval:  evalEinsum,
}

// einsumTerms splits an equation, without spaces, into the labels of the
// inputs and of the output. An ellipsis becomes labels of its own: runes from
// ellipsisBase on, aligned at the right.
func einsumTerms(equation string, ranks []int) (in [][]rune, out []rune, err error) {
	equation = strings.ReplaceAll(equation, " ", "")
	left, right, explicit := strings.Cut(equation, "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(ranks) {
		return nil, nil, fmt.Errorf("equation %q for %d inputs", equation, len(ranks))
	}
	const ellipsisBase = 0x10000
	widest := 0
	for i, t := range terms {
		if strings.Contains(t, "...") {
			widest = max(widest, ranks[i]-(len(t)-3))
		}
	}
	expand := func(t string, width int) []rune {
		before, after, has := strings.Cut(t, "...")
		labels := []rune(before)
		if has {
			for k := widest - width; k < widest; k++ {
				labels = append(labels, rune(ellipsisBase+k))
			}
		}
		return append(labels, []rune(after)...)
	}
	count := map[rune]int{}
	for i, t := range terms {
		labels := expand(t, max(0, ranks[i]-(len(t)-3)))
		if len(labels) != ranks[i] {
			return nil, nil, fmt.Errorf("term %q for rank %d", t, ranks[i])
		}
		for _, l := range labels {
			count[l]++
		}
		in = append(in, labels)
	}
	if explicit {
		out = expand(right, widest)
		for i, l := range out {
			if count[l] == 0 || slices.Contains(out[:i], l) {
				return nil, nil, fmt.Errorf("output labels of %q are not distinct labels of inputs", equation)
			}
		}
		return in, out, nil
	}
	for l, n := range count {
		if n == 1 || l >= ellipsisBase {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b rune) int { // the ellipsis comes first
		if (a >= ellipsisBase) != (b >= ellipsisBase) {
			return int(b - a)
		}
		return int(a - b)
	})
	return in, out, nil
}

func inferEinsum(f *Infer) error {
	ranks := make([]int, len(f.In))
	for i := range f.In {
		s, ok := f.Shape(i)
		if !ok {
			return nil
		}
		ranks[i] = len(s)
	}
	in, out, err := einsumTerms(f.Str("equation"), ranks)
	if err != nil {
		return err
	}
	sizes := map[rune]dim.Dim{}
	for i, labels := range in {
		s, _ := f.Shape(i)
		for k, l := range labels {
			have, ok := sizes[l]
			if !ok {
				have = s[k]
			}
			if sizes[l], err = broadcastDim(have, s[k]); err != nil {
				return fmt.Errorf("equation %q: %w", f.Str("equation"), err)
			}
		}
	}
	dims := make([]dim.Dim, len(out))
	for i, l := range out {
		dims[i] = sizes[l]
	}
	f.Set(0, dims...)
	return nil
}

func evalEinsum(e *Eval) error {
	ts := e.Tensors(0)
	ranks := make([]int, len(ts))
	for i, t := range ts {
		ranks[i] = t.Rank()
	}
	in, out, err := einsumTerms(e.Str("equation"), ranks)
	if err != nil {
		return err
	}
	sizes, order := map[rune]int{}, slices.Clone(out)
	for i, labels := range in {
		for k, l := range labels {
			have, ok := sizes[l]
			if !ok && !slices.Contains(order, l) {
				order = append(order, l)
			}
			if ok && have != ts[i].Shape[k] && have != 1 && ts[i].Shape[k] != 1 {
				return fmt.Errorf("sizes %d and %d of one label", have, ts[i].Shape[k])
			}
			sizes[l] = max(have, ts[i].Shape[k])
			if ts[i].Shape[k] == 0 {
				sizes[l] = 0
			}
		}
	}
	all, shape := make([]int, len(order)), make([]int, len(out))
	for i, l := range order {
		all[i] = sizes[l]
		if i < len(out) {
			shape[i] = sizes[l]
		}
	}
	if err := e.Fits(tensor.Float64, shape); err != nil {
		return err
	}
	if _, err := tensor.Count(all); err != nil {
		return err
	}
	if ts[0].Type.IsFloat() {
		y := contract(ts, (*tensor.Tensor).Floats, in, order, all, volume(shape))
		e.Set(0, tensor.FromFloats(ts[0].Type, shape, y))
	} else {
		y := contract(ts, (*tensor.Tensor).Ints, in, order, all, volume(shape))
		e.Set(0, tensor.FromInts(ts[0].Type, shape, y))
	}
	return nil
}

// contract sums the products over all labels; the first labels of order are
// those of the output of n elements.
func contract[T number](ts []*tensor.Tensor, elems func(*tensor.Tensor) []T, in [][]rune, order []rune, all []int, n int) []T {
	strides, values := make([][]int, len(ts)), make([][]T, len(ts))
	for i, t := range ts {
		strides[i], values[i] = make([]int, len(order)), elems(t)
		own := tensor.Strides(t.Shape)
		for k, l := range in[i] {
			if t.Shape[k] != 1 {
				strides[i][slices.Index(order, l)] += own[k]
			}
		}
	}
	y, pos := make([]T, n), make([]int, len(all))
	if n == 0 {
		return y
	}
	inner := volume(all) / n
	for i := range volume(all) {
		unravel(i, all, pos)
		p := T(1)
		for k := range ts {
			at := 0
			for d, x := range pos {
				at += x * strides[k][d]
			}
			p *= values[k][at]
		}
		y[i/inner] += p
	}
	return y
}

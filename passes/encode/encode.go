// Package encode holds the passes that write weights in fewer bytes, in forms
// that runtimes decode with standard operators and fold when they load a model,
// so that it runs as before.
package encode

import (
	"math"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/pass"
)

// Weights replaces float initializers by the smallest exact form.
//
// Tensors of few values share one string of bits and its decoder, in the form
// that is shortest: an index into the codebook for every element, or the places
// of those that are not zero and an index for each. Tensors of multiples of a
// power of two become int8, those that float16 holds exactly float16.
//
// Only operators up to opset 13 are used, in types that onnxruntime, OpenVINO
// and OpenCV take.
var Weights = pass.Pass{
	Name:   "encode-weights",
	Doc:    "write weights of few values as bits, and multiples of a step as int8, decoded by operators that loaders fold",
	Effect: pass.Exact,
	Run:    weights,
}

// minOpset is the first opset whose Split, CumSum and Mod are as used here.
const minOpset = 13

// maxBits bounds the string of one decoder, which loaders expand to four bytes
// a bit. float32 counts ones exactly below 2^24.
const maxBits = 1 << 24

func weights(c *pass.Context, m *graph.Model) error {
	if v := m.Opset(""); v < minOpset {
		c.Warn("opset %d is below %d: weights are not encoded", v, minOpset)
		return nil
	}
	gathered(c, m)
	var few []*table
	var steps []*stepped
	var halves []*graph.Value
	for v := range m.Graph.Initializers() {
		t := v.Const()
		if t == nil || t.Type != tensor.Float32 || t.Len() < minElements || v.IsOutput() || captured(v, m.Graph) {
			continue
		}
		if s := multiples(v); s != nil && (t.Rank() < 2 || t.Len() < 64) {
			steps = append(steps, s)
		} else if x := newTable(v); x != nil {
			few = append(few, x)
		} else if s != nil {
			steps = append(steps, s)
		} else if half(t) != nil {
			halves = append(halves, v)
		}
	}
	e := &emitter{c: c, g: m.Graph}
	for n := range m.Graph.Nodes() {
		e.at = n
		break
	}
	for _, group := range groupTables(few) {
		e.tables(group)
	}
	e.steps(steps)
	for _, v := range halves {
		if !c.Allow() {
			break
		}
		t := half(v.Const())
		e.replace(v, e.add("Cast", e.constant(t, graph.Raw), graph.Int("to", floatType)), "float16, which holds its values exactly")
	}
	return nil
}

// minElements is the size below which a tensor stays as it is.
const minElements = 4

// captured reports that a subgraph reads v.
func captured(v *graph.Value, g *graph.Graph) bool {
	return slices.ContainsFunc(v.Uses(), func(u graph.Use) bool { return u.Node != nil && u.Node.Graph() != g })
}

// halfBytes is about what a Cast takes.
const halfBytes = 40

// half is t as float16 if that holds all its values and saves bytes, else nil.
func half(t *tensor.Tensor) *tensor.Tensor {
	if 2*t.Len() < halfBytes {
		return nil
	}
	h := tensor.FromFloats(tensor.Float16, t.Shape, t.Floats())
	if !tensor.FromFloats(tensor.Float32, t.Shape, h.Floats()).Equal(t) {
		return nil
	}
	return h
}

// table is a tensor of few values.
type table struct {
	v     *graph.Value
	book  []float32 // values other than zero
	index []int     // of each element, -1 for zero
	zeros int
}

// maxBook is the most values that a codebook may have.
const maxBook = 128

// newTable is v as a table, nil if it has too many values.
func newTable(v *graph.Value) *table {
	t := v.Const()
	x := &table{v: v, index: make([]int, t.Len())}
	place := map[float32]int{}
	for i, f := range t.Float32s() {
		if math.Float32bits(f) == 0 { // a negative zero is a value of its own
			x.index[i] = -1
			x.zeros++
			continue
		}
		k, ok := place[f]
		if !ok {
			k = len(place)
			if k == maxBook || f != f {
				return nil
			}
			place[f] = k
			x.book = append(x.book, f)
		}
		x.index[i] = k
	}
	if x.sort(); len(x.book) == 0 || 4*t.Len() < tableBytes(x)+perTable {
		return nil
	}
	return x
}

// sort puts the values in ascending order.
func (x *table) sort() {
	sorted := slices.Sorted(slices.Values(x.book))
	for i, k := range x.index {
		if k >= 0 {
			x.index[i], _ = slices.BinarySearch(sorted, x.book[k])
		}
	}
	x.book = sorted
}

// perTable is about what a tensor adds to a decoder besides bits and values,
// perDecoder what a decoder of its own takes.
const (
	perTable   = 80
	perDecoder = 650
)

func tableBytes(x *table) int { return tableBits(x)/8 + 4*len(x.book) }

// tableBits is the bits of x without blocks: a bit for each element and an
// index for those that are not zero, or an index for all.
func tableBits(x *table) int {
	n := len(x.index)
	if ones := n - x.zeros; ones < n/16 { // Elias-Fano
		return ones * (2 + bitsFor(n/max(ones, 1)) + bitsFor(len(x.book)))
	}
	return min(n+(n-x.zeros)*bitsFor(len(x.book)), n*bitsFor(len(x.book)+min(x.zeros, 1)))
}

// bitsFor is the width of an index below n, at least one.
func bitsFor(n int) int {
	w := 1
	for 1<<w < n {
		w++
	}
	return w
}

// groupTables puts tensors together that one decoder serves: those with
// indices of the same width, and others when the wider indices cost less than
// another decoder. Groups that save nothing are dropped.
func groupTables(all []*table) [][]*table {
	byWidth := map[int][]*table{}
	for _, x := range all {
		w := bitsFor(len(x.book))
		byWidth[w] = append(byWidth[w], x)
	}
	var groups [][]*table
	for w := 0; w <= bitsFor(maxBook); w++ {
		group := byWidth[w]
		if len(group) == 0 {
			continue
		}
		if wider := nextWidth(byWidth, w); wider > 0 && weightsIn(group)*(wider-w)/8 < perDecoder {
			byWidth[wider] = append(byWidth[wider], group...)
			continue
		}
		groups = append(groups, splitGroup(group)...)
	}
	return slices.DeleteFunc(groups, func(g []*table) bool {
		saved := -perDecoder
		for _, x := range g {
			saved += 4*len(x.index) - tableBytes(x) - perTable
		}
		return saved <= 0
	})
}

func nextWidth(byWidth map[int][]*table, w int) int {
	for k := w + 1; k <= bitsFor(maxBook); k++ {
		if len(byWidth[k]) > 0 {
			return k
		}
	}
	return 0
}

func weightsIn(group []*table) int {
	n := 0
	for _, x := range group {
		n += len(x.index) - x.zeros
	}
	return n
}

// splitGroup keeps decoders within maxBits; larger tensors are left out.
func splitGroup(group []*table) [][]*table {
	var out [][]*table
	size := maxBits
	for _, x := range group {
		n := tableBits(x)
		if n > maxBits {
			continue
		}
		if size+n > maxBits {
			out = append(out, nil)
			size = 0
		}
		out[len(out)-1] = append(out[len(out)-1], x)
		size += n
	}
	return out
}

// gathered turns Gather(codebook, indices), as clustering writes it, back into
// weights where bits take less.
func gathered(c *pass.Context, m *graph.Model) {
	for n := range m.Graph.Nodes() {
		if !n.Is("Gather") || n.In(0).Const() == nil || n.Int("axis", 0) != 0 || n.Out(0).IsOutput() {
			continue
		}
		book, index := n.In(0).Const(), n.In(1)
		if d := index.Def(); d != nil && d.Is("Cast") {
			index = d.In(0)
		}
		t := index.Const()
		if book.Type != tensor.Float32 || book.Rank() != 1 || book.Len() > maxBook || t == nil || !t.Type.IsInt() || !c.Allow() {
			continue
		}
		w := make([]float32, t.Len())
		for i, k := range t.Ints() {
			if k < 0 || int(k) >= book.Len() {
				return
			}
			w[i] = book.Float32s()[k]
		}
		v := m.Graph.AddInitializer(n.Out(0).Name, &graph.Data{Tensor: tensor.Of(t.Shape, w)})
		if x := newTable(v); x == nil || tableBytes(x) >= len(t.Bytes()) {
			m.Graph.RemoveInitializer(v)
			continue
		}
		n.Out(0).ReplaceNodeUses(v)
		c.Changed(n, "written out, to be encoded anew")
		m.Graph.Remove(n)
	}
}

// stepped is a tensor of multiples of a power of two.
type stepped struct {
	v    *graph.Value
	step float32
	k    []int // v = k*step
}

// multiples is v as multiples of the largest power of two that divides all its
// elements, nil if they do not fit 8 bits.
func multiples(v *graph.Value) *stepped {
	f := v.Const().Float32s()
	least := math.MaxInt
	for _, x := range f {
		if x == 0 && math.Signbit(float64(x)) {
			return nil
		}
		if x != 0 {
			frac, exp := math.Frexp(float64(x))
			m := int64(math.Abs(frac) * (1 << 24))
			for exp -= 24; m&1 == 0; m >>= 1 {
				exp++
			}
			least = min(least, exp)
		}
	}
	if least == math.MaxInt || least < -126 {
		return nil
	}
	s := &stepped{v: v, step: float32(math.Ldexp(1, least))}
	return s.scaled(s.step)
}

// scaled is s in multiples of another step that divides its own, nil if they
// do not fit 8 bits.
func (s *stepped) scaled(step float32) *stepped {
	out := &stepped{v: s.v, step: step}
	for _, x := range s.v.Const().Float32s() {
		k := float64(x) / float64(step)
		if k != math.Round(k) || k < -128 || k > 127 {
			return nil
		}
		out.k = append(out.k, int(k))
	}
	return out
}

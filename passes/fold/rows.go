package fold

import (
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// rows is a constant as Gather(table, index): attention masks of windows, for
// one, are hundreds of copies of a few patterns.
type rows struct {
	table, index *tensor.Tensor
	axis         int
}

// minRows is the smallest constant that is worth a Gather.
const minRows = 16 << 10

// distinctRows stores each row along the first axis that has several once; nil
// if that saves less than half.
func distinctRows(t *tensor.Tensor) *rows {
	axis := slices.IndexFunc(t.Shape, func(d int) bool { return d > 1 })
	if axis < 0 || len(t.Bytes()) < minRows {
		return nil
	}
	n, b := t.Shape[axis], t.Bytes()
	size := len(b) / n
	if size*n != len(b) {
		return nil // rows that share a byte
	}
	first := map[string]int64{}
	var table []byte
	index := make([]int64, n)
	for i := range n {
		row := string(b[i*size : (i+1)*size])
		k, ok := first[row]
		if !ok {
			k = int64(len(first))
			first[row] = k
			table = append(table, row...)
		}
		index[i] = k
	}
	shape := slices.Clone(t.Shape)
	shape[axis] = len(first)
	r := &rows{index: tensor.Vector(index...), axis: axis}
	var err error
	if r.table, err = tensor.FromBytes(t.Type, shape, table); err != nil || r.bytes() > len(b)/2 {
		return nil
	}
	return r
}

func (r *rows) bytes() int { return len(r.table.Bytes()) + len(r.index.Bytes()) + 2*nodeBytes }

// add makes the Gather before n.
func (r *rows) add(g *graph.Graph, n *graph.Node) *graph.Value {
	table := g.AddInitializer(foldedName, &graph.Data{Tensor: r.table})
	index := g.AddInitializer(foldedName, &graph.Data{Tensor: r.index})
	return g.Add(n, "Gather", foldedName, []*graph.Value{table, index}, graph.Int("axis", int64(r.axis)))
}

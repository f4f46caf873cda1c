package tensor

// Value is what an edge of a graph carries at run time: *Tensor, *Sequence,
// *Optional, *Map or *Sparse. A nil Value is an absent optional input.
type Value any

// Sequence is an ordered list of values of one type. Elem is the element type
// of its tensors, kept for empty sequences.
type Sequence struct {
	Elem  DType
	Items []Value
}

// Optional holds a value or none.
type Optional struct {
	Value Value // nil: none
}

// Map is an ai.onnx.ml map: Keys[i] (Int64 or String, rank 1) maps to
// Values[i] (rank 1).
type Map struct {
	Keys, Values *Tensor
}

// Sparse is a SparseTensorProto: Values of rank 1, and Indices either of shape
// [NNZ] with linear indices or [NNZ, rank].
type Sparse struct {
	Shape   []int
	Values  *Tensor
	Indices *Tensor
}

// Dense is the tensor that s stands for, of at most limit bytes.
func (s *Sparse) Dense(limit int) (*Tensor, error) {
	out, err := Make(s.Values.Type, s.Shape, limit)
	if err != nil {
		return nil, err
	}
	return out, s.scatter(out)
}

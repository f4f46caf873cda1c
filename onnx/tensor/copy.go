package tensor

// Copier is a function that copies element from of src to element to of dst,
// which New made and which has src's type. Bits are kept for every type.
func Copier(dst, src *Tensor) func(to, from int) {
	if src.Type == String {
		return func(to, from int) { dst.strings[to] = src.strings[from] }
	}
	b := src.Type.Bits()
	switch {
	case b == 32:
		d, s := View[uint32](dst), View[uint32](src)
		return func(to, from int) { d[to] = s[from] }
	case b == 64:
		d, s := View[uint64](dst), View[uint64](src)
		return func(to, from int) { d[to] = s[from] }
	case b == 8:
		return func(to, from int) { dst.data[to] = src.data[from] }
	case b > 8:
		w := b / 8
		return func(to, from int) { copy(dst.data[to*w:to*w+w], src.data[from*w:]) }
	}
	return func(to, from int) {
		for k := range b {
			f, t := from*b+k, to*b+k
			bit := src.data[f/8] >> (f % 8) & 1
			dst.data[t/8] = dst.data[t/8]&^(1<<(t%8)) | bit<<(t%8)
		}
	}
}

// Gather is the tensor of the shape whose element i is element index(i) of t.
// It may have at most limit bytes.
func Gather(t *Tensor, shape []int, limit int, index func(i int) int) (*Tensor, error) {
	out, err := Make(t.Type, shape, limit)
	if err != nil {
		return nil, err
	}
	put := Copier(out, t)
	for i := range out.Len() {
		put(i, index(i))
	}
	return out, nil
}

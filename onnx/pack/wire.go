package pack

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"slices"
)

// Wire types of protobuf.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// item is one field of a message.
type item struct {
	num  int
	wire uint8
	form form
	v    uint64 // a number
	b    []byte // a string, or the bytes of a blob
	size int    // of a blob
	sub  []item
	of   message // of sub
	// tensor describes the blob of a tensor's data.
	tensor layout
}

// form is how an item is coded.
type form uint8

const (
	number form = iota
	text        // a short string without zero bytes, in place
	group       // a message
	blob        // bytes after the structure
)

// layout is what the data of a tensor is made of.
type layout struct {
	dtype int
	dims  []int
}

// maxText is the length up to which strings are coded in place.
const maxText = 4096

// maxField bounds field numbers, maxDepth how deep messages nest.
const (
	maxField = 1 << 20
	maxDepth = 420
)

var errWire = errors.New("not canonical protobuf")

// parse splits a message into its fields, which alias b.
func parse(b []byte, of message, depth int) ([]item, error) {
	if depth > maxDepth {
		return nil, errWire
	}
	var out []item
	for len(b) > 0 {
		tag, n := uvarint(b)
		if n <= 0 || tag>>3 == 0 || tag>>3 > maxField {
			return nil, errWire
		}
		b = b[n:]
		x := item{num: int(tag >> 3), wire: uint8(tag & 7)}
		switch x.wire {
		case wireVarint:
			x.v, n = uvarint(b)
		case wireFixed32:
			if n = 4; len(b) >= n {
				x.v = uint64(binary.LittleEndian.Uint32(b))
			}
		case wireFixed64:
			if n = 8; len(b) >= n {
				x.v = binary.LittleEndian.Uint64(b)
			}
		case wireBytes:
			size, k := uvarint(b)
			if k <= 0 || size > uint64(len(b)-k) {
				return nil, errWire
			}
			n = k + int(size)
			if err := x.delimited(b[k:n], of, depth); err != nil {
				return nil, err
			}
		default:
			return nil, errWire
		}
		if n <= 0 || n > len(b) {
			return nil, errWire
		}
		b = b[n:]
		out = append(out, x)
	}
	if of == tensorMsg {
		lay := layoutOf(out)
		for i := range out {
			out[i].tensor = lay
		}
	}
	return out, nil
}

// delimited decides the form of a length-delimited field.
func (x *item) delimited(b []byte, of message, depth int) (err error) {
	sub := nested[of][x.num]
	switch {
	case sub != 0:
		x.form, x.of = group, sub
		x.sub, err = parse(b, sub, depth+1)
	case of == tensorMsg && isData(x.num) || len(b) > maxText || slices.Contains(b, 0):
		x.form, x.b, x.size = blob, b, len(b)
	default:
		x.form, x.b = text, b
	}
	return err
}

// isData reports the fields of a tensor that hold its elements.
func isData(num int) bool {
	switch num {
	case tensorFloats, tensorInt32s, tensorInt64s, tensorRaw, tensorDoubles, tensorUint:
		return true
	}
	return false
}

// layoutOf is the type and shape of a tensor, as far as its first fields give
// them.
func layoutOf(tensor []item) layout {
	var l layout
	for _, x := range tensor {
		switch {
		case x.num == tensorDims && x.form == number:
			l.dims = append(l.dims, int(min(x.v, 1<<40)))
		case x.num == tensorType && x.form == number:
			l.dtype = int(min(x.v, 255))
		}
	}
	return l
}

// rawSize is the bytes of the tensor's elements, -1 if unknown.
func (l layout) rawSize() int {
	if l.dtype >= len(elementBits) || elementBits[l.dtype] == 0 {
		return -1
	}
	n := uint64(1)
	for _, d := range l.dims {
		hi, lo := bits.Mul64(n, uint64(d))
		if n = lo; hi != 0 || n > 1<<40 {
			return -1
		}
	}
	return int((n*uint64(elementBits[l.dtype]) + 7) / 8)
}

// elementBits is the width of each TensorProto.DataType.
var elementBits = [...]int{0, 32, 8, 8, 16, 16, 32, 64, 0, 8, 16, 64, 32, 64, 64, 128, 16, 8, 8, 8, 8, 4, 4, 4, 8, 2, 2, 6, 6}

// uvarint is binary.Uvarint that refuses forms longer than needed.
func uvarint(b []byte) (uint64, int) {
	v, n := binary.Uvarint(b)
	if n > 1 && b[n-1] == 0 {
		return 0, -1
	}
	return v, n
}

// length is the bytes of a message as they are in the file.
func length(items []item) int {
	n := 0
	for i := range items {
		x := &items[i]
		n += uvarintLen(uint64(x.num) << 3)
		switch x.wire {
		case wireVarint:
			n += uvarintLen(x.v)
		case wireFixed32:
			n += 4
		case wireFixed64:
			n += 8
		default:
			if x.form == group {
				x.size = length(x.sub)
			} else if x.form == text {
				x.size = len(x.b)
			}
			n += uvarintLen(uint64(x.size)) + x.size
		}
	}
	return n
}

func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

// write calls emit with the bytes of a message in order, once length was
// called. Blobs come from data.
func write(items []item, emit func([]byte) error, data func(*item) error) error {
	var head [20]byte
	for i := range items {
		x := &items[i]
		h := binary.AppendUvarint(head[:0], uint64(x.num)<<3|uint64(x.wire))
		switch x.wire {
		case wireVarint:
			h = binary.AppendUvarint(h, x.v)
		case wireFixed32:
			h = binary.LittleEndian.AppendUint32(h, uint32(x.v))
		case wireFixed64:
			h = binary.LittleEndian.AppendUint64(h, x.v)
		default:
			h = binary.AppendUvarint(h, uint64(x.size))
		}
		err := emit(h)
		switch {
		case err != nil:
		case x.form == group:
			err = write(x.sub, emit, data)
		case x.form == text:
			err = emit(x.b)
		case x.form == blob:
			err = data(x)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

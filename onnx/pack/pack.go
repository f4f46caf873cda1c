// Package pack is the container .onnxz: a model file, losslessly compressed by
// context mixing and arithmetic coding, the last stage of Deep Compression (Han
// et al. 2016, arXiv 1510.00149) with an adaptive coder in the place of its
// Huffman codes.
//
// A container is the magic "ONZ", one byte of version (high half) and mode (low
// half), the size of the model as a varint, the CRC-32 (IEEE) of the model,
// little endian, and the code. Trailing zero bytes of the code may be missing
// or too many. In mode 2 the protobuf is coded in two parts: the structure,
// with every string and number, under a model that has first decoded a
// dictionary of common graphs, then the data of the tensors one by one. Mode 1
// codes any bytes, mode 0 stores them.
//
// The same input gives the same container on every machine.
package pack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// Extension is the customary end of a container's file name.
const Extension = ".onnxz"

const (
	magic   = "ONZ"
	version = 1
)

// mode is how the model is coded.
type mode uint8

const (
	storedMode mode = iota
	bytesMode
	modelMode
)

// MaxSize is the largest model, the limit of protobuf.
const MaxSize = 1<<31 - 1

// growth is how much larger than a container its contents may be: the model,
// and its part that is no tensor data. Pack adds zeros where it would be more,
// Unpack refuses it.
type growth struct{ size, ratio int }

var (
	modelGrowth     = growth{64 << 20, 4096}
	structureGrowth = growth{64 << 10, 512}
)

// least is the size of a container that may hold n bytes.
func (g growth) least(n int) int { return max(0, (n-g.size+g.ratio-1)/g.ratio) }

// Is reports that b starts as a container does.
func Is(b []byte) bool { return len(b) > len(magic) && string(b[:len(magic)]) == magic }

// Pack is the container of a model, or of any other bytes: at most a dozen
// bytes larger than what it holds. A model of 2 GB and more is an error.
func Pack(model []byte) ([]byte, error) {
	if len(model) > MaxSize {
		return nil, fmt.Errorf("%d bytes are more than a model can have", len(model))
	}
	m, least := modelMode, modelGrowth.least(len(model))
	code, structure := packModel(model)
	if code == nil {
		m, code = bytesMode, packBytes(model)
	}
	least = max(least, structureGrowth.least(structure))
	if max(len(code), least) >= len(model) {
		m, code, least = storedMode, model, 0
	}
	out := append([]byte(magic), version<<4|byte(m))
	out = binary.AppendUvarint(out, uint64(len(model)))
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(model))
	out = append(out, code...)
	return append(out, make([]byte, max(0, least-len(out)))...), nil
}

// packModel is the code of a canonical ONNX protobuf, nil for anything else,
// and the size of its structure.
func packModel(model []byte) (code []byte, structure int) {
	items, err := parse(model, modelMsg, 0)
	if err != nil || length(items) != len(model) {
		return nil, 0
	}
	s, err := primed()
	if err != nil {
		return nil, 0
	}
	c := newEncoder()
	s.c = c
	if s.message(items, modelMsg, 0); s.err != nil {
		return nil, 0
	}
	t := newTensors(c)
	_ = eachBlob(items, func(x *item) error { return t.blob(x, nil) })
	return c.finish(), structureSize(items)
}

func packBytes(b []byte) []byte {
	t := newTensors(newEncoder())
	_ = t.bytes(b, len(b), layout{}, nil)
	return t.c.finish()
}

// eachBlob visits the blobs in the order of the file.
func eachBlob(items []item, f func(*item) error) error {
	for i := range items {
		x := &items[i]
		var err error
		switch x.form {
		case blob:
			err = f(x)
		case group:
			err = eachBlob(x.sub, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var (
	errTruncated = errors.New("truncated container")
	errDamaged   = errors.New("damaged container")
)

// Size is the size of the model in a container, which its header tells.
func Size(packed []byte) (int, error) {
	h, err := readHeader(packed)
	return h.size, err
}

type header struct {
	mode mode
	size int
	sum  uint32
	code []byte
}

func readHeader(b []byte) (h header, err error) {
	if !Is(b) {
		return h, errors.New("not a container: it does not start with " + magic)
	}
	b = b[len(magic):]
	if v := b[0] >> 4; v != version {
		return h, fmt.Errorf("container version %d is not known here", v)
	}
	h.mode = mode(b[0] & 15)
	size, n := binary.Uvarint(b[1:])
	if n <= 0 || len(b) < 1+n+4 {
		return h, errTruncated
	}
	if size > MaxSize || h.mode > modelMode {
		return h, errDamaged
	}
	b = b[1+n:]
	h.size, h.sum, h.code = int(size), binary.LittleEndian.Uint32(b), b[4:]
	return h, nil
}

// Unpack is the model in a container. Sizes are checked before memory is
// taken: a container that holds more than limit bytes is an error, as is one
// that grows by a factor of thousands beyond 64 MB. A limit of 0 is 2 GB.
func Unpack(packed []byte, limit int) ([]byte, error) {
	var b bytes.Buffer
	if err := UnpackTo(&b, packed, limit); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// UnpackTo is Unpack that writes the model while it decodes: it holds the
// structure and one tensor at a time. On error a part may have been written.
func UnpackTo(w io.Writer, packed []byte, limit int) error {
	h, err := readHeader(packed)
	if err != nil {
		return err
	}
	if limit > 0 && h.size > limit || h.mode != storedMode && len(packed) < modelGrowth.least(h.size) {
		return fmt.Errorf("the container of %d bytes unpacks to %d, more than is allowed", len(packed), h.size)
	}
	o := &output{w: w, left: h.size}
	if err := h.decode(len(packed), o); err != nil {
		return err
	}
	if o.left != 0 || o.sum != h.sum {
		return errDamaged
	}
	return nil
}

// decode writes what the code of a container of so many bytes says.
func (h header) decode(packed int, o *output) error {
	switch h.mode {
	case storedMode:
		return o.emit(h.code)
	case bytesMode:
		return newTensors(newDecoder(h.code)).bytes(nil, h.size, layout{}, o.emit)
	default:
		return unpackModel(h, packed, o)
	}
}

// output is where the model goes: it must have the size of the header.
type output struct {
	w    io.Writer
	left int
	sum  uint32
}

func (o *output) emit(b []byte) error {
	if o.left -= len(b); o.left < 0 {
		return errDamaged
	}
	o.sum = crc32.Update(o.sum, crc32.IEEETable, b)
	_, err := o.w.Write(b)
	return err
}

func unpackModel(h header, packed int, o *output) error {
	s, err := primed()
	if err != nil {
		return err
	}
	s.c = newDecoder(h.code)
	s.room = min(h.size, structureGrowth.size+structureGrowth.ratio*packed)
	items := s.message(nil, modelMsg, 0)
	if s.err != nil {
		return s.err
	}
	if length(items) != h.size {
		return errDamaged
	}
	t := newTensors(s.c)
	return write(items, o.emit, func(x *item) error {
		return t.blob(x, o.emit)
	})
}

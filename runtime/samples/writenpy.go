package samples

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"onnxopt/onnx/tensor"
)

// WriteNPY writes t as numpy.save does, with the types of WriteNPZ.
func WriteNPY(w io.Writer, t *tensor.Tensor) error {
	descr, data, err := npyData(t)
	if err != nil {
		return err
	}
	shape := make([]string, len(t.Shape))
	for i, d := range t.Shape {
		shape[i] = fmt.Sprint(d)
	}
	tuple := strings.Join(shape, ", ")
	if len(shape) == 1 {
		tuple += ","
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, tuple)
	const fixed = len(npyMagic) + 4
	pad := 63 - (fixed+len(header))%64
	header += strings.Repeat(" ", pad) + "\n"
	if len(header) > 0xffff {
		return fmt.Errorf("rank %d", len(t.Shape))
	}
	head := append([]byte(npyMagic), 1, 0)
	head = binary.LittleEndian.AppendUint16(head, uint16(len(header)))
	if _, err := w.Write(append(head, header...)); err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// npyData is numpy's name for the elements of t, and their bytes.
func npyData(t *tensor.Tensor) (string, []byte, error) {
	for name, d := range npyTypes {
		if d == t.Type && d != tensor.Undefined {
			order := "<"
			if storedBytes(d) == 1 {
				order = "|"
			}
			return order + name, t.Bytes(), nil
		}
	}
	switch {
	case t.Type == tensor.String:
		return utf32(t.Strings())
	case t.Type.IsInt():
		if t.Type.IsSigned() {
			return "|i1", tensor.FromInts(tensor.Int8, t.Shape, t.Ints()).Bytes(), nil
		}
		return "|u1", unpackCodes(t), nil
	case t.Type.IsFloat() && t.Type.Bits() < 8:
		return "|V1", unpackCodes(t), nil
	case t.Type.IsFloat():
		return fmt.Sprintf("|V%d", storedBytes(t.Type)), t.Bytes(), nil
	}
	return "", nil, fmt.Errorf("numpy has no type for %v", t.Type)
}

// utf32 is strings as numpy stores them: all of the longest one's length.
func utf32(list []string) (string, []byte, error) {
	width := 1
	for _, s := range list {
		width = max(width, utf8.RuneCountInString(s))
	}
	out := make([]byte, 0, 4*width*len(list))
	for _, s := range list {
		end := len(out) + 4*width
		for _, r := range s {
			out = binary.LittleEndian.AppendUint32(out, uint32(r))
		}
		for len(out) < end {
			out = append(out, 0)
		}
	}
	return fmt.Sprintf("<U%d", width), out, nil
}

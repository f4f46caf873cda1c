package onnx

import (
	"os"

	"onnxopt/onnx/tensor"
)

// Scratch keeps large tensors in a temporary file that is mapped into memory,
// so that the system can write them out instead of running out of memory. The
// file has no name any more when OpenScratch returns; its space is free again
// when the process ends.
type Scratch struct {
	f   *os.File
	end int64
}

// OpenScratch makes a scratch file in dir, or in the system's folder of
// temporary files. Where files cannot be mapped or are not removed while they
// are open, tensors stay where they are.
func OpenScratch(dir string) (*Scratch, error) {
	if !canMap {
		return &Scratch{}, nil
	}
	f, err := os.CreateTemp(dir, ".onnxopt-*.scratch")
	if err != nil {
		return nil, err
	}
	return &Scratch{f: f}, os.Remove(f.Name())
}

// Keep is t itself if it is small, or its copy in the file. A file that cannot
// grow keeps nothing.
func (s *Scratch) Keep(t *tensor.Tensor) *tensor.Tensor {
	b := t.Bytes()
	if s.f == nil || len(b) < smallFile {
		return t
	}
	if _, err := s.f.WriteAt(b, s.end); err != nil {
		return t
	}
	mapped, err := mapPart(s.f, s.end, len(b))
	if err != nil {
		return t
	}
	kept, err := tensor.FromBytes(t.Type, t.Shape, mapped)
	if err != nil {
		return t
	}
	page := int64(os.Getpagesize())
	s.end = (s.end + int64(len(b)) + page - 1) / page * page
	return kept
}

// Close ends the use of s. What it keeps stays valid for the life of the process.
func (s *Scratch) Close() error {
	if s.f == nil {
		return nil
	}
	return s.f.Close()
}

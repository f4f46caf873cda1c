//go:build !unix

package onnx

import (
	"io"
	"os"
)

// mapOpen reads an open file.
func mapOpen(f *os.File) ([]byte, error) { return io.ReadAll(f) }

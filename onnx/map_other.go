//go:build !unix

package onnx

import (
	"io"
	"os"
)

const openFlags = os.O_RDONLY

// mapFile reads an open file.
func mapFile(f *os.File, size int) ([]byte, error) {
	b := make([]byte, size)
	_, err := io.ReadFull(f, b)
	return b, err
}

//go:build !unix

package onnx

import (
	"errors"
	"io"
	"os"
)

const openFlags = os.O_RDONLY

const canMap = false

// mapFile reads an open file.
func mapFile(f *os.File, size int) ([]byte, error) {
	b := make([]byte, size)
	_, err := io.ReadFull(f, b)
	return b, err
}

func mapPart(*os.File, int64, int) ([]byte, error) { return nil, errors.ErrUnsupported }

//go:build unix

package onnx

import (
	"os"
	"syscall"
)

// openFlags keep a named pipe from blocking.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK

// canMap says that files are mapped, and may be removed while they are.
const canMap = true

// mapFile maps an open file privately and read-only, for the life of the
// process.
func mapFile(f *os.File, size int) ([]byte, error) { return mapPart(f, 0, size) }

// mapPart is mapFile from an offset that is a multiple of the page size.
func mapPart(f *os.File, offset int64, size int) ([]byte, error) {
	return syscall.Mmap(int(f.Fd()), offset, size, syscall.PROT_READ, syscall.MAP_PRIVATE)
}

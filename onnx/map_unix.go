//go:build unix

package onnx

import (
	"os"
	"syscall"
)

// openFlags keep a named pipe from blocking.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK

// mapFile maps an open file privately and read-only, for the life of the
// process.
func mapFile(f *os.File, size int) ([]byte, error) {
	return syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_PRIVATE)
}

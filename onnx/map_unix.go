//go:build unix

package onnx

import (
	"os"
	"syscall"
)

// mapOpen maps an open file privately and read-only, for the life of the
// process.
func mapOpen(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return nil, err
	}
	return syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_PRIVATE)
}

//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package onnx

import (
	"os"
	"syscall"
)

// renamesOpenFiles tells that an open file can be renamed and removed.
const renamesOpenFiles = true

// lockFile locks a file for as long as it is open, and reports that no other
// process has.
func lockFile(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

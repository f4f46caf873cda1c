//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package onnx

import (
	"os"
	"runtime"
)

// renamesOpenFiles tells that an open file can be renamed and removed.
const renamesOpenFiles = false

// lockFile has nothing to do on Windows, where a file that another process has
// open is not removed. Elsewhere nothing is known about other processes.
func lockFile(*os.File) bool { return runtime.GOOS == "windows" }

package main

import (
	"fmt"
	"os"
	"strings"
)

// peakMemory is the resident bytes that this program had at most. The kernel's
// figure for an ended child (getrusage) counts its parent's memory before exec.
func peakMemory() int {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	_, s, _ := strings.Cut(string(b), "VmHWM:")
	var kB int
	if _, err := fmt.Sscan(s, &kB); err != nil {
		panic(err)
	}
	return kB << 10
}

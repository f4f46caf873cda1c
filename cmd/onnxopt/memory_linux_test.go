package main

import (
	"os"
	"syscall"
)

// peakMemory is the resident bytes that an ended process had at most.
func peakMemory(p *os.ProcessState) int { return int(p.SysUsage().(*syscall.Rusage).Maxrss) << 10 }

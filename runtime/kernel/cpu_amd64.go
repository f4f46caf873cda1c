//go:build !noasm

package kernel

import (
	"os"

	"golang.org/x/sys/cpu"
)

// One bool for each set of variants. ONNXOPT_CPU=generic, avx2 or avx512 turns
// off what is above it, so that tests can run every variant on one machine.
var (
	useAVX2    = cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasF16C && level() >= 1
	useAVX512  = useAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512BW && level() >= 2
	useAVXVNNI = useAVX2 && cpu.X86.HasAVXVNNI && level() >= 3
	useVNNI    = useAVX512 && cpu.X86.HasAVX512VNNI && level() >= 3
	useVBMI    = useAVX512 && cpu.X86.HasAVX512VBMI && level() >= 3
)

func level() int {
	switch os.Getenv("ONNXOPT_CPU") {
	case "generic":
		return 0
	case "avx2":
		return 1
	case "avx512":
		return 2
	}
	return 3
}

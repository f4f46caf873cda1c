//go:build amd64 && !noasm

package kernel

type dotVariant struct {
	name string
	set  func() (restore func())
}

// dotVariants is the instruction sets of this machine.
func dotVariants() []dotVariant {
	set := func(avx2, avx512, vnni bool) func() func() {
		return func() func() {
			a, b, c, d := useAVX2, hasAVX512, hasVNNI, hasVBMI
			useAVX2, hasAVX512, hasVNNI, hasVBMI = avx2, avx512, vnni, d && vnni
			return func() { useAVX2, hasAVX512, hasVNNI, hasVBMI = a, b, c, d }
		}
	}
	v := []dotVariant{{"generic", set(false, false, false)}}
	if useAVX2 {
		v = append(v, dotVariant{"avx2", set(true, false, false)})
	}
	if hasAVX512 {
		v = append(v, dotVariant{"avx512", set(true, true, false)})
	}
	if hasVNNI {
		v = append(v, dotVariant{"vnni", set(true, true, true)})
	}
	return v
}

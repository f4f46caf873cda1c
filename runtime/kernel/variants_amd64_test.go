//go:build !noasm

package kernel

// allVariants names the instruction sets that this machine has; each function
// switches to one and returns what switches back.
func allVariants() map[string]func() func() {
	set := func(a2, a512 bool) func() func() {
		return func() func() {
			x, y := useAVX2, useAVX512
			useAVX2, useAVX512 = a2, a512
			return func() { useAVX2, useAVX512 = x, y }
		}
	}
	v := map[string]func() func(){"generic": set(false, false)}
	if useAVX2 {
		v["avx2"] = set(true, false)
	}
	if useAVX512 {
		v["avx512"] = set(true, true)
	}
	return v
}

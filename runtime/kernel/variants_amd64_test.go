//go:build !noasm

package kernel

// allVariants names the instruction sets that this machine has; each function
// switches to one and returns what switches back.
func allVariants() map[string]func() func() {
	set := func(a2, a512, vnni bool) func() func() {
		return func() func() {
			x, y, z, t, u := useAVX2, useAVX512, useVNNI, useVBMI, useAVXVNNI
			useAVX2, useAVX512, useVNNI, useVBMI, useAVXVNNI = a2, a512, z && a512 && vnni, t && vnni, u && !a512 && vnni
			return func() { useAVX2, useAVX512, useVNNI, useVBMI, useAVXVNNI = x, y, z, t, u }
		}
	}
	v := map[string]func() func(){"generic": set(false, false, false)}
	if useAVX2 {
		v["avx2"] = set(true, false, false)
	}
	if useAVX512 {
		v["avx512"] = set(true, true, false)
	}
	if useAVXVNNI {
		v["avxvnni"] = set(true, false, true)
	}
	if useVNNI || useVBMI {
		v["vnni"] = set(true, true, true)
	}
	return v
}

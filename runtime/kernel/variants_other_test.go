//go:build !amd64 || noasm

package kernel

// allVariants is plain Go alone.
func allVariants() map[string]func() func() {
	return map[string]func() func(){"generic": func() func() { return func() {} }}
}

//go:build !amd64 || noasm

package kernel

type dotVariant struct {
	name string
	set  func() (restore func())
}

func dotVariants() []dotVariant {
	return []dotVariant{{"generic", func() func() { return func() {} }}}
}

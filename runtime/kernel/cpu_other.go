//go:build !amd64 || noasm

package kernel

const useAVX2, useAVX512 = false, false

//go:build !linux

package runtime

func giveBack([]byte) {}

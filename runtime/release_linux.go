package runtime

import "syscall"

// giveBack tells the system that pages of a read-only mapping are not needed
// in memory.
func giveBack(pages []byte) {
	_ = syscall.Madvise(pages, syscall.MADV_DONTNEED) // else they stay
}

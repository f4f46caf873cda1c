package runtime

import (
	"unsafe"

	"onnxopt/onnx/graph"
)

// releasedBytes is the size from which on packed weights are worth a call to
// the system.
const releasedBytes = 64 << 10

// releaseWeights gives the memory of the nodes' weights back to the system
// where it is a file's, as steps that pack weights work on the packed form.
// Whoever reads them again has the file read again.
func (s *Session) releaseWeights(nodes []*graph.Node) {
	if len(s.model.Mapped) == 0 {
		return
	}
	for _, n := range nodes {
		for _, v := range n.Inputs() {
			if v == nil || v.Const() == nil || len(v.Const().Bytes()) < releasedBytes {
				continue
			}
			for _, m := range s.model.Mapped {
				releaseInside(m, v.Const().Bytes())
			}
		}
	}
}

// releaseInside releases the pages of b that hold nothing else, if b is part
// of the mapping m.
func releaseInside(m, b []byte) {
	const page = 64 << 10 // of every system, at most
	start, at := uintptr(unsafe.Pointer(&m[0])), uintptr(unsafe.Pointer(&b[0]))
	if at < start || at+uintptr(len(b)) > start+uintptr(len(m)) {
		return
	}
	from, to := (at-start+page-1)/page*page, (at-start+uintptr(len(b)))/page*page
	if from < to {
		giveBack(m[from:to])
	}
}

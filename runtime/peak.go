package runtime

import "onnxopt/runtime/kernel"

// Peak is the GFLOP/s of one thread in a product that stays in the first-level
// cache: what a roofline is drawn against. It takes some 20 ms.
func Peak() float64 { return kernel.Peak() }

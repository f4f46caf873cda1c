package op

import (
	"fmt"
	"math"
)

// fusedActivation is the activation that a fused operator names, with its
// parameters in the order of the standard operator's attributes; nil if it
// names none.
func fusedActivation(name string, p []float64) (func(float64) float64, error) {
	at := func(i int, def float64) float64 {
		if i < len(p) {
			return p[i]
		}
		return def
	}
	switch name {
	case "":
		return nil, nil
	case "Relu":
		return func(x float64) float64 { return max(x, 0) }, nil
	case "Sigmoid":
		return sigmoid, nil
	case "Tanh":
		return math.Tanh, nil
	case "LeakyRelu":
		alpha := at(0, 0.01)
		return func(x float64) float64 {
			if x < 0 {
				return alpha * x
			}
			return x
		}, nil
	case "Clip":
		lo, hi := at(0, -math.MaxFloat32), at(1, math.MaxFloat32)
		return func(x float64) float64 { return min(max(x, lo), hi) }, nil
	case "HardSigmoid":
		alpha, beta := at(0, 0.2), at(1, 0.5)
		return func(x float64) float64 { return min(max(alpha*x+beta, 0), 1) }, nil
	}
	return nil, fmt.Errorf("activation %q", name)
}

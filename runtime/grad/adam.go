package grad

import (
	"math"

	"onnxopt/runtime/kernel"
)

// Adam is the optimizer of Kingma and Ba, "Adam: A Method for Stochastic
// Optimization", 2015. The zero value has the betas 0.9 and 0.999.
type Adam struct {
	Beta1, Beta2, Eps float64
	// Step counts the updates done.
	Step int
	// M and V are the moments of each parameter.
	M, V [][]float32
}

// Init makes zero moments for parameters of these sizes.
func (a *Adam) Init(sizes []int) {
	if a.Beta1 == 0 {
		a.Beta1 = 0.9
	}
	if a.Beta2 == 0 {
		a.Beta2 = 0.999
	}
	if a.Eps == 0 {
		a.Eps = 1e-8
	}
	a.Step, a.M, a.V = 0, nil, nil
	for _, n := range sizes {
		a.M, a.V = append(a.M, make([]float32, n)), append(a.V, make([]float32, n))
	}
}

// Next begins an update of all parameters at a learning rate.
func (a *Adam) Next(rate float64) kernel.Adam {
	a.Step++
	t := float64(a.Step)
	return kernel.Adam{
		Beta1: float32(a.Beta1), Beta2: float32(a.Beta2), Eps: float32(a.Eps),
		Rate:  float32(rate / (1 - math.Pow(a.Beta1, t))),
		Scale: float32(1 / math.Sqrt(1-math.Pow(a.Beta2, t))),
	}
}

// Mask is dst = w*mask, with +0 for zero products.
func Mask(dst, w, mask []float32) { kernel.Mask(dst, w, mask) }

package grad

import "math"

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
func (a *Adam) Next(rate float64) Update {
	a.Step++
	t := float64(a.Step)
	return Update{
		beta1: float32(a.Beta1), beta2: float32(a.Beta2), eps: float32(a.Eps),
		rate:  float32(rate / (1 - math.Pow(a.Beta1, t))),
		scale: float32(1 / math.Sqrt(1-math.Pow(a.Beta2, t))),
	}
}

// Update is one step of Adam at its bias corrections.
type Update struct{ beta1, beta2, eps, rate, scale float32 }

// Apply moves w by gradient g:
//
//	m = b1*m + (1-b1)*g    v = b2*v + (1-b2)*g^2
//	w -= rate/(1-b1^t) * m / (sqrt(v/(1-b2^t)) + eps)
func (u Update) Apply(w, g, m, v []float32) {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	c1, c2 := 1-u.beta1, 1-u.beta2
	for i := range w {
		d := g[i]
		mi := u.beta1*m[i] + c1*d
		vi := u.beta2*v[i] + c2*d*d
		m[i], v[i] = mi, vi
		w[i] -= u.rate * mi / (float32(math.Sqrt(float64(vi)))*u.scale + u.eps)
	}
}

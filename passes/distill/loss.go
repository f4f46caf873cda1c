package distill

import "math"

// Targets is what the outputs are compared with. Outputs of rank 2 are scores
// of classes: the loss is, for each sample,
//
//	(1-w) * T^2 * KL(softmax(t/T), softmax(s/T)) + w * cross-entropy(s, label)
//
// with teacher t, student s, temperature T and label weight w. Other outputs
// have the mean square of s-t, in units of the mean square of t.
type Targets struct {
	Temperature float64 // 0 is 2
	LabelWeight float64 // in [0, 1]; 0 without labels
}

// scoreLoss adds the gradient of one sample to g, scaled, and returns the loss.
func (o Targets) scoreLoss(g, student, teacher []float32, label int, scale float64, p, q []float64) float64 {
	t := o.Temperature
	loss, hard := 0.0, 0.0
	if label >= 0 {
		hard = o.LabelWeight
	}
	if hard < 1 {
		softmax(p, teacher, t)
		softmax(q, student, t)
		for i := range p {
			if p[i] > 0 {
				loss += (1 - hard) * t * t * p[i] * math.Log(p[i]/max(q[i], 1e-300))
			}
			g[i] += float32(scale * (1 - hard) * t * (q[i] - p[i]))
		}
	}
	if hard > 0 {
		softmax(q, student, 1)
		loss -= hard * math.Log(max(q[label], 1e-300))
		for i := range q {
			d := q[i]
			if i == label {
				d--
			}
			g[i] += float32(scale * hard * d)
		}
	}
	return loss
}

// softmax is p = softmax(x/t).
func softmax(p []float64, x []float32, t float64) {
	top := math.Inf(-1)
	for _, v := range x {
		top = max(top, float64(v))
	}
	sum := 0.0
	for i, v := range x {
		p[i] = math.Exp((float64(v) - top) / t)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
}

// squareLoss adds the gradient of mean((s-t)^2)/unit to g.
func squareLoss(g, student, teacher []float32, scale, unit float64) float64 {
	loss := 0.0
	k := 1 / (unit * float64(len(g)))
	for i, s := range student {
		d := float64(s - teacher[i])
		loss += d * d * k
		g[i] += float32(2 * d * k * scale)
	}
	return loss
}

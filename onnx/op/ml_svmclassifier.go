package op

import (
	"fmt"
	"math"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMlSVMClassifier = &Def{
	Name:   "SVMClassifier",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 1, Schema: `X:T1 -> Y:T2 Z:float | classlabels_ints:ints classlabels_strings:strings coefficients:floats kernel_params:floats kernel_type:string="LINEAR" post_transform:string="NONE" prob_a:floats prob_b:floats rho:floats support_vectors:floats vectors_per_class:ints | T1: float double int64 int32; T2: string int64`},
	},
	Infer: inferSVMClassifier,
	Eval:  evalSVMClassifier,
}

func inferSVMClassifier(f *Infer) error {
	inferClassifier(f, labelsOf(&f.Attrs, "classlabels_ints", "classlabels_strings"), dim.Unknown)
	return nil
}

// evalSVMClassifier decides by votes between every pair of classes, as libsvm
// (Chang and Lin, LIBSVM, 2011), or linearly by the largest score without
// support vectors.
func evalSVMClassifier(e *Eval) error {
	m, err := featuresOf(e.Tensor(0))
	if err != nil {
		return err
	}
	c, err := newSVMClassifier(e, m.f)
	if err != nil {
		return err
	}
	which, z, columns := make([]int, m.n), []float64{}, 0
	for i := range m.n {
		var scores []float64
		which[i], scores = c.classify(m.row(i))
		if scores, err = c.transformed(scores); err != nil {
			return err
		}
		z, columns = append(z, scores...), len(scores)
	}
	y, err := c.labels.pick(which)
	if err != nil {
		return err
	}
	e.Set(0, y)
	e.Set(1, tensor.FromFloats(tensor.Float32, []int{m.n, columns}, z))
	return nil
}

type svmClassifier struct {
	*svm
	classes      int
	labels       classLabels
	perClass     []int // support vectors of each class, with the vectors before
	first        []int
	probA, probB []float64
	positive     bool // no coefficient is negative
	post         string
}

func newSVMClassifier(e *Eval, features int) (*svmClassifier, error) {
	c := &svmClassifier{perClass: e.Attrs.Ints("vectors_per_class"), post: e.Str("post_transform"),
		labels: labelsOf(&e.Attrs, "classlabels_ints", "classlabels_strings"),
		probA:  float64s(e.Attrs.Floats("prob_a")), probB: float64s(e.Attrs.Floats("prob_b"))}
	c.classes = max(c.labels.len(), 1)
	n := 0
	for _, k := range c.perClass {
		if k < 0 || k > 1<<40 {
			return nil, fmt.Errorf("vectors_per_class %v", c.perClass)
		}
		c.first = append(c.first, n)
		n += k
	}
	var err error
	if c.svm, err = newSVM(e, features, n); err != nil {
		return nil, err
	}
	pairs, coefs := c.classes*(c.classes-1)/2, c.classes*features
	if n > 0 {
		coefs = (c.classes - 1) * n
	}
	switch {
	case n > 0 && (c.classes < 2 || len(c.perClass) != c.classes || len(c.rho) < pairs),
		len(c.coef) != coefs, len(c.rho) == 0,
		len(c.probA) > 0 && (len(c.probA) < pairs || len(c.probB) < pairs):
		return nil, fmt.Errorf("%d classes with vectors_per_class %v, %d coefficients, %d rho, %d prob_a and %d prob_b",
			c.classes, c.perClass, len(c.coef), len(c.rho), len(c.probA), len(c.probB))
	}
	c.positive = minFloats(c.coef) >= 0
	return c, nil
}

// classify is the index of the label and the scores: of the pairs of classes,
// of the classes if linear or with probabilities.
func (c *svmClassifier) classify(x []float64) (int, []float64) {
	if len(c.vectors) == 0 {
		scores := make([]float64, c.classes)
		for k := range scores {
			scores[k] = c.rho[0] + c.kernel(x, c.coef[k*len(x):(k+1)*len(x)])
		}
		best := argMax(scores)
		return c.decide(best, scores[best]), scores
	}
	scores, votes := c.duel(c.kernels(x))
	best := argMax(votes)
	if len(c.probA) > 0 {
		scores = c.probabilities(scores)
	}
	return c.decide(best, 0), scores
}

// decide is the label of the best class: with one rho, two classes are told
// apart by the weight of the best score.
func (c *svmClassifier) decide(best int, weight float64) int {
	positive := weight > 0
	if c.positive {
		positive = weight >= 0.5
	}
	if len(c.rho) == 1 && c.labels.len() == 2 && positive {
		return 1
	}
	return best
}

// duel is the score of every pair of classes i < j, positive for i, and the
// number of pairs that each class wins.
func (c *svmClassifier) duel(kernels []float64) (scores, votes []float64) {
	n := len(c.vectors)
	votes = make([]float64, c.classes)
	side := func(of, row int) float64 {
		a, b := c.first[of], c.first[of]+c.perClass[of]
		return dot(kernels[a:b], c.coef[row*n+a:row*n+b])
	}
	for i := range c.classes {
		for j := i + 1; j < c.classes; j++ {
			s := c.rho[len(scores)] + side(i, j-1) + side(j, i)
			scores = append(scores, s)
			if s > 0 {
				votes[i]++
			} else {
				votes[j]++
			}
		}
	}
	return scores, votes
}

// probabilities couples the pairwise probabilities sigmoid(-(a*s+b)): Wu, Lin
// and Weng, "Probability estimates for multi-class classification by pairwise
// coupling", 2004, second method.
func (c *svmClassifier) probabilities(scores []float64) []float64 {
	n, pair := c.classes, 0
	r := make([][]float64, n)
	for i := range r {
		r[i] = make([]float64, n)
	}
	for i := range n {
		for j := i + 1; j < n; j++ {
			p := sigmoid(-(c.probA[pair]*scores[pair] + c.probB[pair]))
			r[i][j] = min(max(p, 1e-7), 1-1e-7)
			r[j][i] = 1 - r[i][j]
			pair++
		}
	}
	return coupled(r)
}

// coupled minimizes sum_ij (r[j][i]*p[i] - r[i][j]*p[j])^2 over distributions
// p by coordinate descent.
func coupled(r [][]float64) []float64 {
	n := len(r)
	p, qp, q := make([]float64, n), make([]float64, n), make([][]float64, n)
	for i := range q {
		p[i], q[i] = 1/float64(n), make([]float64, n)
		for j := range q {
			if i != j {
				q[i][i] += r[j][i] * r[j][i]
				q[i][j] = -r[j][i] * r[i][j]
			}
		}
	}
	for range max(100, n) {
		worst, pqp := 0.0, 0.0
		for i := range p {
			qp[i] = dot(q[i], p)
			pqp += p[i] * qp[i]
		}
		for i := range p {
			worst = max(worst, math.Abs(qp[i]-pqp))
		}
		if worst < 0.005/float64(n) {
			break
		}
		for t := range p {
			diff := (pqp - qp[t]) / q[t][t]
			p[t] += diff
			pqp = (pqp + diff*(diff*q[t][t]+2*qp[t])) / ((1 + diff) * (1 + diff))
			for j := range p {
				qp[j] = (qp[j] + diff*q[t][j]) / (1 + diff)
				p[j] /= 1 + diff
			}
		}
	}
	return p
}

// transformed is the scores as output: one score of two classes stands for
// both.
func (c *svmClassifier) transformed(scores []float64) ([]float64, error) {
	if len(scores) == 1 && c.labels.len() == 2 && len(c.rho) == 1 && c.post != "PROBIT" {
		return bothClasses(scores[0], c.post != "NONE", c.post), nil
	}
	return scores, postTransform(c.post, scores)
}

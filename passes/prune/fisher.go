package prune

import (
	"context"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/shape"
	"onnxopt/passes/distill"
	"onnxopt/runtime/grad"
)

// Fisher is the Fisher information of each unit: the mean over samples of the
// square of the derivative of the log likelihood by a factor on the unit (Theis
// et al. 2018, arXiv 1801.05787), at answers drawn from what the model itself
// gives. A factor on a unit is one on the weights and biases that make it, so
// the derivative is the sum of these times their gradients.
func Fisher(ctx context.Context, m *graph.Model, d *distill.Data, samples int, seed uint64, threads int) (Importance, error) {
	c := analyze(m, shape.Infer(m))
	worth := Importance{}
	var of [][]param // that make units, by parameter of the program
	return worth, distill.Draw(ctx, m, d, samples, seed, threads, func(p *grad.Program) {
		if of == nil {
			of = c.makers(p)
		}
		slope := map[int]float64{}
		for i, q := range p.Params {
			for _, x := range of[i] {
				inner := product(q.Shape[x.axis+1:])
				for at := 0; at < len(q.Value); at += inner {
					sum := 0.0
					for k := at; k < at+inner; k++ {
						sum += float64(q.Value[k]) * float64(q.Grad[k])
					}
					slope[c.root(x.units[at/inner%len(x.units)])] += sum
				}
			}
		}
		for u, s := range slope {
			worth[u] += s * s / float64(samples)
		}
	})
}

// makers is what makes units or shifts them, by parameter.
func (c *channels) makers(p *grad.Program) [][]param {
	byName := map[string][]param{}
	for v, list := range c.params {
		byName[v.Name] = slices.DeleteFunc(slices.Clone(list), func(x param) bool {
			return x.role != makes && (x.role != shifts || !x.node.Is("Conv", "Gemm", "Add"))
		})
	}
	out := make([][]param, len(p.Params))
	for i, q := range p.Params {
		out[i] = byName[q.Name]
	}
	return out
}

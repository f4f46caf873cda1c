package distill

import (
	"context"
	"math/rand/v2"
	"slices"

	"onnxopt/onnx/graph"
	"onnxopt/runtime/grad"
)

// Draw calls use for each of the first n samples with the gradients of the log
// likelihood of answers that are drawn from the model's own distribution:
// classes at the temperature of Targets' default, other outputs with unit
// variance. The mean of the squares of such gradients is the Fisher information.
// Models of a fixed batch take so many samples at once.
func Draw(ctx context.Context, m *graph.Model, d *Data, n int, seed uint64, threads int, use func(p *grad.Program)) error {
	in, size := example(m, d, 1)
	p, err := grad.Compile(m, in, grad.Options{Threads: threads})
	if err != nil {
		return err
	}
	defer p.Close()
	b := newBatch(d, size, Augment{}, 0)
	rng := rand.New(rand.NewPCG(seed, 0xf15e))
	for at := 0; at < n; at += size {
		if err := ctx.Err(); err != nil {
			return err
		}
		b.inOrder(at)
		if err := load(p, b, 0); err != nil {
			return err
		}
		if err := p.Forward(); err != nil {
			return err
		}
		for i := range m.Graph.Outputs() {
			drawn(p.Output(i), p.OutputGrad(i), p.OutputShape(i), rng)
		}
		p.Backward()
		use(p)
	}
	return nil
}

// drawn writes the gradient of minus the log likelihood of an answer.
func drawn(out, g []float32, shape []int, rng *rand.Rand) {
	if len(shape) != 2 || shape[1] < 2 {
		for k := range g {
			g[k] = float32(rng.NormFloat64())
		}
		return
	}
	q := make([]float64, shape[1])
	for row := range slices.Chunk(out, len(q)) {
		softmax(q, row, 2)
		left := rng.Float64()
		for k := range q {
			g[k] = float32(q[k])
		}
		k := 0
		for ; k < len(q)-1 && left >= q[k]; k++ {
			left -= q[k]
		}
		g[k]--
		g = g[len(q):]
	}
}

package op

import "math/rand/v2"

// random is the generator of a random operator: of its seed attribute, else of
// the run.
func (e *Eval) random() *rand.Rand {
	if e.Schema.Attr("seed") != nil && e.Node.Attr("seed") != nil {
		return rand.New(rand.NewPCG(uint64(e.Float("seed")*1e6), 0))
	}
	if e.Env.Rand == nil {
		e.Env.Rand = rand.New(rand.NewPCG(0, 0))
	}
	return e.Env.Rand
}

package distill

import "slices"

// Snapshot is the state of a training: with it, and the same model, data and
// options, training goes on to the same bits.
type Snapshot struct {
	Step, AdamStep int
	Latent, M, V   [][]float32
	Derived        [][]float32 // of what made the values from the latent weights
}

// Snapshot copies the state; derived is that of t.Derive.
func (t *Trainer) Snapshot(derived [][]float32) *Snapshot {
	return &Snapshot{t.Step, t.Adam.Step, clone(t.Latent), clone(t.Adam.M), clone(t.Adam.V), clone(derived)}
}

// Restore takes a snapshot's state over; the caller restores Derived and
// derives the values.
func (t *Trainer) Restore(s *Snapshot) {
	t.Step, t.Adam.Step = s.Step, s.AdamStep
	for i := range t.Latent {
		copy(t.Latent[i], s.Latent[i])
		copy(t.Adam.M[i], s.M[i])
		copy(t.Adam.V[i], s.V[i])
	}
}

func clone(v [][]float32) [][]float32 {
	out := make([][]float32, len(v))
	for i := range v {
		out[i] = slices.Clone(v[i])
	}
	return out
}

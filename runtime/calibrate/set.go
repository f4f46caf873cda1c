package calibrate

import (
	"fmt"
	"maps"
	"slices"
)

// A Set is the sketches of a model's tensors, by name, and which samples they
// have seen. It is not safe for concurrent use: give each goroutine a set of
// its own samples and merge them.
type Set struct {
	// Model identifies the model, Data the samples and their preparation, as
	// by a hash. Sets merge only if both are equal, and Total is.
	Model, Data string
	Coverage

	sketches map[string]*Sketch
	channels map[string]*Channels
}

// NewSet returns an empty set for a calibration of total samples.
func NewSet(model, data string, total int) *Set {
	return &Set{Model: model, Data: data, Coverage: Coverage{Total: total}}
}

// Sketch returns the sketch of a tensor, a new one at first.
func (s *Set) Sketch(name string) *Sketch { return entry(&s.sketches, name) }

// Lookup returns the sketch of a tensor, if there is one.
func (s *Set) Lookup(name string) (*Sketch, bool) {
	sketch, ok := s.sketches[name]
	return sketch, ok
}

// Channels returns the per-channel extremes of a tensor, new ones at first.
func (s *Set) Channels(name string) *Channels { return entry(&s.channels, name) }

func entry[T any](m *map[string]*T, name string) *T {
	v := (*m)[name]
	if v == nil {
		if *m == nil {
			*m = map[string]*T{}
		}
		v = new(T)
		(*m)[name] = v
	}
	return v
}

// Names returns the names of the tensors that have a sketch, sorted.
func (s *Set) Names() []string { return slices.Sorted(maps.Keys(s.sketches)) }

// ChannelNames returns the names of the tensors that have per-channel
// extremes, sorted.
func (s *Set) ChannelNames() []string { return slices.Sorted(maps.Keys(s.channels)) }

// Merge adds what o has seen to s. The result is the same, to the byte, as
// that of one set which saw it all, in any order. It returns an error, and
// leaves s as it was, if the two belong to different models or data or have
// a sample in common.
func (s *Set) Merge(o *Set) error {
	switch {
	case s.Model != o.Model:
		return fmt.Errorf("merge calibration: model %.80q is not %.80q", o.Model, s.Model)
	case s.Data != o.Data:
		return fmt.Errorf("merge calibration: data %.80q is not %.80q", o.Data, s.Data)
	}
	covered, err := s.Union(o.Coverage)
	if err != nil {
		return fmt.Errorf("merge calibration: %w", err)
	}
	for name, c := range o.channels {
		if have := s.channels[name]; have != nil {
			if err := have.mergeable(c); err != nil {
				return fmt.Errorf("merge calibration: tensor %.80q: %w", name, err)
			}
		}
	}
	s.Coverage = covered
	for name, sketch := range o.sketches {
		s.Sketch(name).Merge(sketch)
	}
	for name, c := range o.channels {
		if err := s.Channels(name).Merge(c); err != nil {
			return fmt.Errorf("merge calibration: tensor %.80q: %w", name, err)
		}
	}
	return nil
}

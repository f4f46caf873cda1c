package calibrate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A Span is the samples from First up to but not including End.
type Span struct{ First, End int }

func (s Span) String() string {
	if s.End == s.First+1 {
		return fmt.Sprint(s.First)
	}
	return fmt.Sprintf("%d to %d", s.First, s.End-1)
}

// Shard returns the samples of shard i of n, counted from 1, of total samples.
// Shards differ in length by at most one; every sample is in one of them.
func Shard(i, n, total int) (Span, error) {
	if n < 1 || i < 1 || i > n || total < 0 {
		return Span{}, fmt.Errorf("there is no shard %d/%d of %d samples", i, n, total)
	}
	first := func(i int) int { return i*(total/n) + min(i, total%n) }
	return Span{first(i - 1), first(i)}, nil
}

// ParseShard parses the form 3/16.
func ParseShard(text string) (i, n int, err error) {
	before, after, _ := strings.Cut(text, "/")
	i, err1 := strconv.Atoi(before)
	n, err2 := strconv.Atoi(after)
	if err := errors.Join(err1, err2); err != nil || i < 1 || n < i {
		return 0, 0, fmt.Errorf("shard %q is not of the form 3/16", text)
	}
	return i, n, nil
}

// A Set is the sketches of a model's tensors, by name, and which samples they
// have seen. It is not safe for concurrent use: give each goroutine a set of
// its own samples and merge them.
type Set struct {
	// Model identifies the model, Data the samples and their preparation, as
	// by a hash. Sets merge only if both are equal, and Total is.
	Model, Data string
	Total       int // samples in the whole calibration

	covered  []Span // ascending, neither overlapping nor adjacent
	sketches map[string]*Sketch
	channels map[string]*Channels
}

// NewSet returns an empty set for a calibration of total samples.
func NewSet(model, data string, total int) *Set {
	return &Set{Model: model, Data: data, Total: total}
}

// Begin states that what follows is observed on a sample, counted from 0 in
// the whole calibration. It returns an error if the set has it already.
func (s *Set) Begin(sample int) error {
	if sample < 0 || sample >= s.Total {
		return fmt.Errorf("calibration sample %d is not within 0 to %d", sample, s.Total-1)
	}
	i, found := slices.BinarySearchFunc(s.covered, sample, func(c Span, sample int) int { return c.First - sample })
	if found || i > 0 && s.covered[i-1].End > sample {
		return fmt.Errorf("calibration sample %d is counted twice", sample)
	}
	after := i > 0 && s.covered[i-1].End == sample
	before := i < len(s.covered) && s.covered[i].First == sample+1
	switch {
	case after && before:
		s.covered[i-1].End = s.covered[i].End
		s.covered = slices.Delete(s.covered, i, i+1)
	case after:
		s.covered[i-1].End++
	case before:
		s.covered[i].First--
	default:
		s.covered = slices.Insert(s.covered, i, Span{sample, sample + 1})
	}
	return nil
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

// Covered returns the samples that the set has seen, ascending.
func (s *Set) Covered() []Span { return slices.Clone(s.covered) }

// Missing returns the samples that the set has not seen, ascending.
func (s *Set) Missing() []Span {
	var missing []Span
	next := 0
	for _, c := range s.covered {
		if c.First > next {
			missing = append(missing, Span{next, c.First})
		}
		next = c.End
	}
	if next < s.Total {
		missing = append(missing, Span{next, s.Total})
	}
	return missing
}

// Complete returns an error that names the missing samples, if there are any.
func (s *Set) Complete() error {
	missing := s.Missing()
	if len(missing) == 0 {
		return nil
	}
	const shown = 4
	var list []string
	for _, m := range missing[:min(len(missing), shown)] {
		list = append(list, m.String())
	}
	if len(missing) > shown {
		list = append(list, "more")
	}
	return fmt.Errorf("calibration lacks samples %s of %d", strings.Join(list, ", "), s.Total)
}

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
	case s.Total != o.Total:
		return fmt.Errorf("merge calibration: a part of %d samples is not one of %d", o.Total, s.Total)
	}
	covered, err := union(s.covered, o.covered)
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
	s.covered = covered
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

// union returns the samples in a or b, or an error naming the first that is in
// both. Adjacent spans become one.
func union(a, b []Span) ([]Span, error) {
	all := slices.Concat(a, b)
	slices.SortFunc(all, func(a, b Span) int { return a.First - b.First })
	var joined []Span
	for _, s := range all {
		last := len(joined) - 1
		switch {
		case last >= 0 && s.First < joined[last].End:
			both := Span{s.First, min(s.End, joined[last].End)}
			return nil, fmt.Errorf("samples %v are counted twice", both)
		case last >= 0 && s.First == joined[last].End:
			joined[last].End = s.End
		default:
			joined = append(joined, s)
		}
	}
	return joined, nil
}

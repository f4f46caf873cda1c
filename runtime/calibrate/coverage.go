package calibrate

import (
	"errors"
	"fmt"
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

// Coverage is which of Total samples were seen.
type Coverage struct {
	Total   int
	covered []Span // ascending, neither overlapping nor adjacent
}

// Begin states that what follows is observed on a sample, counted from 0. It
// returns an error if s has it already.
func (s *Coverage) Begin(sample int) error {
	if sample < 0 || sample >= s.Total {
		return fmt.Errorf("sample %d is not within 0 to %d", sample, s.Total-1)
	}
	i, found := slices.BinarySearchFunc(s.covered, sample, func(c Span, sample int) int { return c.First - sample })
	if found || i > 0 && s.covered[i-1].End > sample {
		return fmt.Errorf("sample %d is counted twice", sample)
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

// BeginSpan is Begin of every sample of a span.
func (s *Coverage) BeginSpan(span Span) error {
	if span.First == span.End {
		return nil
	}
	if span.First < 0 || span.First > span.End || span.End > s.Total {
		return fmt.Errorf("samples %d to %d are not within 0 to %d", span.First, span.End-1, s.Total-1)
	}
	covered, err := union(s.covered, []Span{span})
	if err == nil {
		s.covered = covered
	}
	return err
}

// Covered returns the samples that s has seen, ascending.
func (s *Coverage) Covered() []Span { return slices.Clone(s.covered) }

// Missing returns the samples that s has not seen, ascending.
func (s *Coverage) Missing() []Span {
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
func (s *Coverage) Complete() error {
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
	return fmt.Errorf("samples %s of %d are missing", strings.Join(list, ", "), s.Total)
}

// Union is what s or o has seen. It returns an error if they are not parts of
// one whole, or have a sample in common.
func (s Coverage) Union(o Coverage) (Coverage, error) {
	if s.Total != o.Total {
		return s, fmt.Errorf("a part of %d samples is not one of %d", o.Total, s.Total)
	}
	covered, err := union(s.covered, o.covered)
	return Coverage{s.Total, covered}, err
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

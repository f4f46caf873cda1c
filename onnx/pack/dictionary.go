package pack

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// dictionary holds excerpts of common graphs as PyTorch exports them, as the
// code of one message that repeats a model in field 1. Decoding it is what
// trains the model of structures before it meets the first byte of a file.
//
//go:embed dictionary.bin
var dictionary []byte

// primed is a structure model of its own that has read the dictionary.
func primed() (*structure, error) {
	s, err := readDictionary()
	if err != nil {
		return nil, err
	}
	return s.clone(), nil
}

var readDictionary = sync.OnceValues(func() (*structure, error) {
	s := newStructure(newDecoder(dictionary), structureBits)
	s.room = maxDictionary
	if s.message(nil, dictionaryMsg, 0); s.err != nil {
		return nil, fmt.Errorf("dictionary: %w", s.err)
	}
	s.room = 0
	return s, nil
})

// clone copies what a structure learned, between messages.
func (s *structure) clone() *structure {
	out := *s
	out.before, out.numbers = maps.Clone(s.before), maps.Clone(s.numbers)
	out.symbols = s.symbols.clone()
	return &out
}

func (s *symbols) clone() *symbols {
	out := *s
	out.table, out.hist, out.recent = slices.Clone(s.table), slices.Clone(s.hist), slices.Clone(s.recent)
	out.ctx = nil
	mix := *s.mix
	mix.weights, mix.uses = slices.Clone(mix.weights), slices.Clone(mix.uses)
	out.mix = &mix
	return &out
}

const (
	structureBits = 20
	maxDictionary = 1 << 16
)

// structureSize is the bytes of items without blobs.
func structureSize(items []item) int {
	n := length(items)
	_ = eachBlob(items, func(x *item) error { n -= x.size; return nil })
	return n
}

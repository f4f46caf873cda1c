package calibrate

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
)

// observe gives a set what the samples of a span have.
func observe(t *testing.T, s *Set, span Span) {
	t.Helper()
	for i := span.First; i < span.End; i++ {
		if err := s.Begin(i); err != nil {
			t.Fatal(err)
		}
		r := random(uint64(i))
		s.Sketch("x").Add(draw(r, 200, wide))
		s.Sketch("conv/1").Add(draw(r, 100+i, tensors["outliers"]))
		if i%3 == 0 { // as inside an If
			s.Sketch("branch").Add(draw(r, 10, tensors["relu"]))
		}
		s.Sketch("empty").Add(nil)
		if err := s.Channels("conv/1").Add(draw(r, 24, wide), 3, 4); err != nil {
			t.Fatal(err)
		}
	}
}

func encode(t *testing.T, s *Set) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := s.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("wrote %d of %d bytes: %v", n, b.Len(), err)
	}
	return b.Bytes()
}

func TestShardsMergeToTheSameBytes(t *testing.T) {
	const total = 50
	whole := NewSet("model", "data", total)
	observe(t, whole, Span{0, total})
	want := encode(t, whole)
	if err := whole.Complete(); err != nil {
		t.Error(err)
	}
	r := random(53)
	for _, n := range []int{1, 2, 3, 7, 16, 50, 64} {
		merged := NewSet("model", "data", total)
		for _, i := range r.Perm(n) {
			span, err := Shard(i+1, n, total)
			if err != nil {
				t.Fatal(err)
			}
			shard := NewSet("model", "data", total)
			observe(t, shard, span)
			var read Set
			if _, err := read.ReadFrom(bytes.NewReader(encode(t, shard))); err != nil {
				t.Fatal(err)
			}
			if err := merged.Merge(&read); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(encode(t, merged), want) {
			t.Errorf("%d shards differ from one run", n)
		}
	}
}

func TestBeginInAnyOrder(t *testing.T) {
	const total = 200
	s := NewSet("", "", total)
	for _, i := range random(59).Perm(total) {
		if err := s.Begin(i); err != nil {
			t.Fatal(err)
		}
		if err := s.Begin(i); err == nil {
			t.Fatalf("sample %d is counted twice", i)
		}
	}
	if got, want := s.Covered(), []Span{{0, total}}; !reflect.DeepEqual(got, want) {
		t.Errorf("covered %v, want %v", got, want)
	}
	for _, i := range []int{-1, total} {
		if err := s.Begin(i); err == nil {
			t.Errorf("sample %d of %d is accepted", i, total)
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	make := func(model, data string, total int, spans ...Span) *Set {
		s := NewSet(model, data, total)
		for _, span := range spans {
			observe(t, s, span)
		}
		return s
	}
	channels := make("m", "d", 20, Span{5, 6})
	channels.channels = nil
	if err := channels.Channels("conv/1").Add([]float32{1, 2}, 2, 1); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		other *Set
		want  string
	}{
		{make("n", "d", 20, Span{5, 6}), `model "n" is not "m"`},
		{make("m", "e", 20, Span{5, 6}), `data "e" is not "d"`},
		{make("m", "d", 30, Span{5, 6}), "a part of 30 samples is not one of 20"},
		{make("m", "d", 20, Span{0, 5}), "samples 0 to 4 are counted twice"},
		{make("m", "d", 20, Span{4, 6}), "samples 4 are counted twice"},
		{make("m", "d", 20, Span{7, 11}), "samples 10 are counted twice"},
		{channels, `tensor "conv/1": 3 channels against 2`},
	}
	s := make("m", "d", 20, Span{0, 5}, Span{10, 12})
	before := encode(t, s)
	for _, test := range tests {
		if err := s.Merge(test.other); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want %s", err, test.want)
		}
		if !bytes.Equal(encode(t, s), before) {
			t.Errorf("%s: the set changed", test.want)
		}
	}
	if err := s.Complete(); err == nil || err.Error() != "samples 5 to 9, 12 to 19 of 20 are missing" {
		t.Errorf("missing samples: %v", err)
	}
}

func TestShards(t *testing.T) {
	for _, total := range []int{0, 1, 10, 17} {
		for n := 1; n < 20; n++ {
			next := 0
			for i := 1; i <= n; i++ {
				span, err := Shard(i, n, total)
				if length := span.End - span.First; err != nil || span.First != next || length < total/n || length > total/n+1 {
					t.Fatalf("shard %d/%d of %d: %v, %v", i, n, total, span, err)
				}
				next = span.End
			}
			if next != total {
				t.Fatalf("%d shards of %d end at %d", n, total, next)
			}
		}
	}
	if i, n, err := ParseShard("3/16"); i != 3 || n != 16 || err != nil {
		t.Errorf("3/16 parses as %d, %d, %v", i, n, err)
	}
	for _, text := range []string{"", "3", "0/4", "5/4", "a/4", "1/0", "-1/-1", "1/2/3"} {
		if _, _, err := ParseShard(text); err == nil {
			t.Errorf("shard %q is accepted", text)
		}
	}
	if _, err := Shard(5, 4, 10); err == nil {
		t.Error("shard 5/4 is accepted")
	}
}

func TestChannels(t *testing.T) {
	var c Channels
	if err := c.Add([]float32{1, 2, -3, 4, 5, 6, 7, 8, 9, -10, 11, 12}, 3, 2); err != nil {
		t.Fatal(err)
	}
	for i, want := range []Range{{1, 8}, {-10, 9}, {5, 12}} {
		if got, ok := c.Range(i); !ok || got != want {
			t.Errorf("channel %d: %v, want %v", i, got, want)
		}
	}
	for _, shape := range [][2]int{{2, 6}, {3, 5}, {0, 1}, {3, 0}} {
		if err := c.Add(make([]float32, 12), shape[0], shape[1]); err == nil {
			t.Errorf("shape %v is accepted", shape)
		}
	}
}

func TestReadRefusesDamage(t *testing.T) {
	s := NewSet("model", "data", 9)
	observe(t, s, Span{2, 6})
	file := encode(t, s)
	read := func(b []byte) error {
		_, err := new(Set).ReadFrom(bytes.NewReader(b))
		return err
	}
	if err := read(file); err != nil {
		t.Fatal(err)
	}
	for i := range file {
		if read(file[:i]) == nil {
			t.Fatalf("accepted the first %d bytes of %d", i, len(file))
		}
		damaged := bytes.Clone(file)
		damaged[i] ^= 0x10
		if read(damaged) == nil {
			t.Fatalf("accepted a flipped bit in byte %d", i)
		}
	}
	if read(append(bytes.Clone(file), 0)) == nil {
		t.Error("accepted a byte too many")
	}
	old := bytes.Clone(file)
	old[len(magic)-1] = 9
	if err := read(old); err == nil || !strings.Contains(err.Error(), "version 9") {
		t.Errorf("version 9: %v", err)
	}
	if _, err := new(Set).ReadFrom(io.MultiReader(bytes.NewReader(file[:10]), failing{})); err == nil {
		t.Error("a failing reader is accepted")
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, fmt.Errorf("disk on fire") }

// A body that claims more than it holds is refused before memory is taken.
func TestReadChecksSizes(t *testing.T) {
	huge := binary.AppendUvarint(nil, 1<<40)
	prefix := []byte{0, 0, 9, 0} // no model, no data, 9 samples, none covered
	for name, body := range map[string][]byte{
		"model name": huge,
		"spans":      append([]byte{0, 0, 9}, huge...),
		"sketches":   append(bytes.Clone(prefix), huge...),
		"channels":   append(append(bytes.Clone(prefix), 0, 1, 1, 'c'), huge...),
		"total":      append([]byte{0, 0}, huge...),
	} {
		file := append([]byte(magic), body...)
		digest := sha256.Sum256(file)
		allocated := testing.AllocsPerRun(1, func() {
			if _, err := new(Set).ReadFrom(bytes.NewReader(append(file, digest[:]...))); err == nil {
				t.Errorf("%s: accepted", name)
			}
		})
		if allocated > 100 {
			t.Errorf("%s: %v allocations", name, allocated)
		}
	}
}

// FuzzRead decodes bodies, with the checksum that a hostile writer would give
// them: whatever is accepted is canonical, and every use of it works.
func FuzzRead(f *testing.F) {
	for _, total := range []int{0, 1, 5} {
		s := NewSet("model", "data", total)
		for i := range total {
			if err := s.Begin(i); err != nil {
				f.Fatal(err)
			}
			s.Sketch("a").Add(draw(random(uint64(i)), 20, wide))
			s.Sketch("b").Add([]float32{1, 2, 3})
			if err := s.Channels("b").Add([]float32{1, 2, 3}, 3, 1); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(s.append(nil))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := decodeBody(body)
		if err != nil {
			return
		}
		if again := s.append(nil); !bytes.Equal(again, body) {
			t.Fatalf("not canonical: %x decodes and encodes as %x", body, again)
		}
		for _, name := range s.Names() {
			sketch := s.Sketch(name)
			for m := MinMax; m <= MSE; m++ {
				c, err := sketch.Choose(Options{Method: m, Format: int8Symmetric})
				if err != nil || !(c.Scale >= minNormal) || c.Range.Min-c.Range.Min != 0 || c.Range.Max-c.Range.Max != 0 {
					t.Fatalf("%v: %+v, %v", m, c, err)
				}
			}
			sketch.Histogram(-1, 1, 10)
			sketch.Moments()
			sketch.Merge(sketch)
		}
		for _, name := range s.ChannelNames() {
			for i := range s.Channels(name).Len() {
				s.Channels(name).Range(i)
			}
		}
		s.Missing()
	})
}

// A sketch has a fixed size, in memory and in a file, whatever it has seen.
func TestSizeIsFixed(t *testing.T) {
	typical := map[string]int{}
	for name, draws := range tensors {
		var s Sketch
		r := random(67)
		for range 20 {
			s.Add(draw(r, 50_000, draws))
		}
		typical[name] = len(s.append(nil))
	}
	t.Logf("bytes in a file after 1,000,000 values: %v", typical)
	var s Sketch
	r := random(71)
	for range 100 {
		s.Add(draw(r, 10_000, wide))
	}
	if n := len(s.blocks); n > slotFirstKept+2*maxOctaves {
		t.Errorf("%d blocks", n)
	}
	if n := len(s.append(nil)); n > 2*maxOctaves*(9+2*binsPerOctave)+200 {
		t.Errorf("%d bytes in a file after 1,000,000 values", n)
	}
	x := draw(r, 10_000, wide)
	if n := testing.AllocsPerRun(10, func() { s.Add(x) }); n > 0 {
		t.Errorf("%v allocations in Add", n)
	}
}

func TestWriteRefusesWhatReadWould(t *testing.T) {
	long := strings.Repeat("x", maxName+1)
	named := NewSet("", "", 1)
	named.Sketch(long)
	for _, s := range []*Set{NewSet(long, "", 1), NewSet("", "", -1), named} {
		if _, err := s.WriteTo(io.Discard); err == nil {
			t.Errorf("%.20v is written", s)
		}
	}
}

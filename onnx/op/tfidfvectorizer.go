package op

import (
	"errors"
	"fmt"
	"strconv"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opTfIdfVectorizer = &Def{
	Name: "TfIdfVectorizer",
	Versions: []Version{
		{Since: 9, Schema: `X:T -> Y:T1 | max_gram_length:int! max_skip_count:int! min_gram_length:int! mode:string! ngram_counts:ints! ngram_indexes:ints! pool_int64s:ints pool_strings:strings weights:floats | T: string int32 int64; T1: float`},
	},
	Infer: inferTfIdfVectorizer,
	Eval:  evalTfIdfVectorizer,
}

func inferTfIdfVectorizer(f *Infer) error {
	s, ok := f.Shape(0)
	if !ok {
		return nil
	}
	columns, err := gramColumns(&f.Attrs)
	if err != nil {
		return err
	}
	size := dim.Of(int64(columns))
	switch len(s) {
	case 0, 1:
		f.Set(0, size)
	case 2:
		f.Set(0, s[0], size)
	default:
		return fmt.Errorf("input %v, want [C] or [N, C]", f.Type(0))
	}
	return nil
}

// gramColumns is the output's row size, max(ngram_indexes)+1.
func gramColumns(a *Attrs) (int, error) {
	n := 0
	for _, i := range a.Ints("ngram_indexes") {
		if i < 0 || i >= 1<<31 {
			return 0, fmt.Errorf("ngram index %d", i)
		}
		n = max(n, i+1)
	}
	return n, nil
}

// evalTfIdfVectorizer counts n-grams with up to max_skip_count tokens skipped
// between any two of their tokens, the same number everywhere. The weight of
// an n-gram is that of its place in the pool.
func evalTfIdfVectorizer(e *Eval) error {
	x := e.Tensor(0)
	if x.Rank() > 2 {
		return fmt.Errorf("input %v, want [C] or [N, C]", x)
	}
	pool, tokens := e.Strings("pool_strings"), x.Strings()
	if x.Type != tensor.String {
		pool, tokens = decimals(e.Ints("pool_int64s")), decimals(x.Ints())
	}
	columns, err := gramColumns(&e.Attrs)
	if err != nil {
		return err
	}
	shape := []int{columns}
	row := x.Len()
	if x.Rank() == 2 {
		shape, row = []int{x.Shape[0], columns}, x.Shape[1]
	}
	if err := e.Fits(tensor.Float32, shape); err != nil {
		return err
	}
	g, err := newGrams(&e.Attrs, pool)
	if err != nil {
		return err
	}
	out := make([]float64, volume(shape))
	for r := 0; r*columns < len(out); r++ {
		g.count(tokens[r*row:(r+1)*row], out[r*columns:(r+1)*columns])
	}
	e.Set(0, tensor.FromFloats(tensor.Float32, shape, out))
	return nil
}

func decimals[T int | int64](v []T) []string {
	out := make([]string, len(v))
	for i, n := range v {
		out[i] = strconv.FormatInt(int64(n), 10)
	}
	return out
}

// grams is the n-grams to count.
type grams struct {
	id                map[string]int // key of an n-gram to its number in the pool
	column            []int
	weight            []float64 // nil: count
	once              bool      // count at most one
	shortest, longest int
	skips             int
}

// gramKey is a string that no other n-gram has.
func gramKey(tokens []string) string {
	var b []byte
	for _, t := range tokens {
		b = append(strconv.AppendInt(b, int64(len(t)), 10), ':')
		b = append(b, t...)
	}
	return string(b)
}

func newGrams(a *Attrs, pool []string) (*grams, error) {
	g := &grams{id: map[string]int{}, column: a.Ints("ngram_indexes"),
		shortest: a.Int("min_gram_length"), longest: a.Int("max_gram_length"), skips: a.Int("max_skip_count")}
	if g.shortest < 1 || g.longest < g.shortest || g.skips < 0 {
		return nil, fmt.Errorf("n-grams of %d to %d tokens, %d skipped", g.shortest, g.longest, g.skips)
	}
	switch mode := a.Str("mode"); mode {
	case "TF":
	case "IDF", "TFIDF":
		g.once = mode == "IDF"
		for _, w := range a.Floats("weights") {
			g.weight = append(g.weight, float64(w))
		}
	default:
		return nil, fmt.Errorf("mode %q", mode)
	}
	starts, next := a.Ints("ngram_counts"), 0
	for k, from := range starts {
		to, n := len(pool), k+1
		if k+1 < len(starts) {
			to = starts[k+1]
		}
		if from < 0 || to < from || to > len(pool) || (to-from)%n != 0 {
			return nil, fmt.Errorf("ngram_counts %v for a pool of %d", starts, len(pool))
		}
		for ; from < to; from += n {
			key := gramKey(pool[from : from+n])
			if _, twice := g.id[key]; twice {
				return nil, fmt.Errorf("n-gram %q is twice in the pool", pool[from:from+n])
			}
			g.id[key], next = next, next+1
		}
	}
	g.longest = min(g.longest, len(starts)) // the pool has no longer ones
	if next > len(g.column) || g.weight != nil && next > len(g.weight) {
		return nil, errors.New("fewer ngram_indexes or weights than n-grams")
	}
	return g, nil
}

// count adds the n-grams of one row of tokens to out.
func (g *grams) count(tokens []string, out []float64) {
	for n := g.shortest; n <= min(g.longest, len(tokens)); n++ {
		for step := 1; step <= g.skips+1; step++ {
			if n == 1 && step > 1 || (n-1)*step >= len(tokens) {
				break
			}
			gram := make([]string, n)
			for first := range len(tokens) - (n-1)*step {
				for i := range gram {
					gram[i] = tokens[first+i*step]
				}
				if id, ok := g.id[gramKey(gram)]; ok {
					g.add(id, out)
				}
			}
		}
	}
}

func (g *grams) add(id int, out []float64) {
	weight := 1.0
	if g.weight != nil {
		weight = g.weight[id]
	}
	if g.once {
		out[g.column[id]] = weight
	} else {
		out[g.column[id]] += weight
	}
}

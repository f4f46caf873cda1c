package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"onnxopt/onnx"
	"onnxopt/runtime/calibrate"
	"onnxopt/runtime/compare"
)

func init() {
	register.DoFn2x2[context.Context, int, []byte, error](&runShard{})
	register.DoFn2x1[context.Context, []byte, error](&writeMerged{})
	register.Combiner1[[]byte](&merge{})
}

// pipeline is: shard numbers, apart from each other so that a runner spreads
// them; a sketch of each; their merger; the file.
func pipeline(f runShard, out string) *beam.Pipeline {
	p, s := beam.NewPipelineWithRoot()
	numbers := make([]int, f.Shards)
	for i := range numbers {
		numbers[i] = i + 1
	}
	parts := beam.ParDo(s.Scope("shards"), &f, beam.Reshuffle(s, beam.CreateList(s, numbers)))
	beam.ParDo0(s.Scope("write"), &writeMerged{Out: out}, beam.Combine(s.Scope("merge"), &merge{}, parts))
	return p
}

// runShard runs the command on a shard, counted from 1, and emits its file.
type runShard struct {
	Command string
	Args    []string
	Shards  int
}

func (f *runShard) ProcessElement(ctx context.Context, shard int) ([]byte, error) {
	dir, err := os.MkdirTemp("", "onnxopt-beam-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	part := filepath.Join(dir, "part")
	args := append(slices.Clone(f.Args), "--shard", fmt.Sprintf("%d/%d", shard, f.Shards), "-o", part)
	c := exec.CommandContext(ctx, f.Command, args...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("shard %d/%d: %w: %s", shard, f.Shards, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return os.ReadFile(part)
}

// merge joins the files of shards. Its result depends on neither order nor
// grouping; a shard that comes twice is an error.
type merge struct{}

func (*merge) CreateAccumulator() []byte { return nil }

func (*merge) AddInput(all, part []byte) ([]byte, error) { return join(all, part) }

func (*merge) MergeAccumulators(a, b []byte) ([]byte, error) { return join(a, b) }

func (*merge) ExtractOutput(all []byte) []byte { return all }

// part is what calibrate.Set and compare.Tally have in common.
type part[T any] interface {
	*T
	io.ReaderFrom
	io.WriterTo
	Merge(*T) error
	Complete() error
}

func join(a, b []byte) ([]byte, error) {
	switch {
	case len(a) == 0:
		return b, nil
	case len(b) == 0:
		return a, nil
	case isEvaluation(a):
		return joinAs[compare.Tally](a, b)
	}
	return joinAs[calibrate.Set](a, b)
}

func isEvaluation(file []byte) bool { return len(file) > 0 && file[0] == '{' }

func joinAs[T any, P part[T]](a, b []byte) ([]byte, error) {
	var x, y T
	if _, err := P(&x).ReadFrom(bytes.NewReader(a)); err != nil {
		return nil, err
	}
	if _, err := P(&y).ReadFrom(bytes.NewReader(b)); err != nil {
		return nil, err
	}
	if err := P(&x).Merge(&y); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	_, err := P(&x).WriteTo(&out)
	return out.Bytes(), err
}

func completeAs[T any, P part[T]](file []byte) error {
	var x T
	if _, err := P(&x).ReadFrom(bytes.NewReader(file)); err != nil {
		return err
	}
	return P(&x).Complete()
}

// writeMerged checks that no shard is lost and writes the file.
type writeMerged struct{ Out string }

func (f *writeMerged) ProcessElement(ctx context.Context, file []byte) error {
	complete := completeAs[calibrate.Set]
	if isEvaluation(file) {
		complete = completeAs[compare.Tally]
	}
	if err := complete(file); err != nil {
		return fmt.Errorf("a shard is lost: %w", err)
	}
	return onnx.WriteTo(ctx, f.Out, func(w io.Writer) error { _, err := w.Write(file); return err })
}

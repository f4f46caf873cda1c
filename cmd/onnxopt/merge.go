package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"onnxopt/runtime/calibrate"
	"onnxopt/runtime/compare"
)

var mergeVerb = verb{
	name: "merge", args: "A B ... -o OUT", minArgs: 1, maxArgs: 1 << 16,
	doc:     "merge the files of calibrate --shard, or of compare --shard: the same bytes as one run over all samples",
	example: "onnxopt merge s1.cal s2.cal s3.cal -o all.cal",
	setup: func(f *pflag.FlagSet) func(*call) error {
		m := &merger{}
		f.StringVarP(&m.out, "output", "o", "", "file to write")
		f.BoolVar(&m.partial, "partial", false, "write the file also if samples are missing, to merge it further")
		f.BoolVar(&m.json, "json", false, "print an evaluation as JSON")
		return m.run
	},
}

// merger is one run of the verb merge.
type merger struct {
	out           string
	partial, json bool
}

func (m *merger) run(c *call) error {
	if m.out == "" {
		return fmt.Errorf("merge: no output file: give -o OUT")
	}
	start := make([]byte, 1)
	f, err := os.Open(c.args[0])
	if err != nil {
		return err
	}
	_, _ = io.ReadFull(f, start) // an empty file is no calibration either
	f.Close()
	if start[0] == '{' {
		return m.evaluations(c)
	}
	return m.calibrations(c)
}

// merged reads files and merges them in turn.
func merged[T interface {
	*calibrate.Set | *compare.Tally
	Merge(T) error
}](paths []string, read func(string) (T, error)) (all T, err error) {
	for _, path := range paths {
		part, err := read(path)
		if err != nil {
			return nil, err
		}
		if all == nil {
			all = part
		} else if err := all.Merge(part); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return all, nil
}

func (m *merger) calibrations(c *call) error {
	all, err := merged(c.args, readCalibration)
	if err != nil {
		return err
	}
	if err := m.complete(&all.Coverage); err != nil {
		return err
	}
	if err := writeCalibration(c, all, m.out); err != nil {
		return err
	}
	return describeCalibration(c, all, m.out)
}

func (m *merger) evaluations(c *call) error {
	all, err := merged(c.args, readEvaluation)
	if err != nil {
		return err
	}
	if err := m.complete(&all.Coverage); err != nil {
		return err
	}
	if err := writeFile(c, m.out, func(w io.Writer) error { _, err := all.WriteTo(w); return err }); err != nil {
		return err
	}
	return showComparison(c, all.Result(), m.json)
}

func (m *merger) complete(seen *calibrate.Coverage) error {
	if err := seen.Complete(); err != nil && !m.partial {
		return refuse("%v: a shard is lost; not written (--partial writes it)", err)
	}
	return nil
}

func readEvaluation(path string) (*compare.Tally, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t := &compare.Tally{}
	if _, err := t.ReadFrom(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

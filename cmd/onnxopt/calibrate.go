package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"onnxopt/passes/pass"
	"onnxopt/runtime/calibrate"
)

var calibrateVerb = verb{
	name: "calibrate", args: "MODEL --data D -o OUT", minArgs: 1, maxArgs: 1,
	doc:     "observe a model's activations on samples, or on one shard of them, and write them for merge and quantize --ranges",
	example: "onnxopt calibrate model.onnx --data samples.npz --shard 3/16 -o s3.cal",
	setup: func(f *pflag.FlagSet) func(*call) error {
		o := &optimizer{}
		shard := f.String("shard", "1/1", "the part of the samples to observe, as 3/16")
		o.declare(f)
		return func(c *call) error { return calibrateModel(c, o, *shard) }
	},
}

// calibrateModel runs the passes of preset int8 up to calibrate, on a shard.
func calibrateModel(c *call, o *optimizer, shard string) error {
	if o.out == "" || o.data == "" && o.calibration == "" {
		return fmt.Errorf("calibrate: --data and -o are needed")
	}
	job := pass.Calibration{ObserveOnly: true}
	var err error
	if job.Shard, job.Shards, err = calibrate.ParseShard(shard); err != nil {
		return fmt.Errorf("--shard: %w", err)
	}
	o.c, o.preset, o.job = c, "int8", &job
	list, err := o.pipeline()
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].Name == "calibrate" {
			list = list[:i+1]
			break
		}
	}
	if o.model, err = loadModel(c.args[0]); err != nil {
		return err
	}
	if err := o.optimize(list, nil); err != nil {
		return err
	}
	if err := writeCalibration(c, job.Set, o.out); err != nil {
		return err
	}
	return describeCalibration(c, job.Set, o.out)
}

func readCalibration(path string) (*calibrate.Set, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	set := &calibrate.Set{}
	if _, err := set.ReadFrom(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return set, nil
}

func writeCalibration(c context.Context, set *calibrate.Set, path string) error {
	return writeFile(c, path, func(w io.Writer) error { _, err := set.WriteTo(w); return err })
}

func describeCalibration(c *call, set *calibrate.Set, path string) error {
	n := 0
	for _, s := range set.Covered() {
		n += s.End - s.First
	}
	t := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "value\tleast\tgreatest\tNaN\tinfinite\n")
	for _, name := range set.Names() {
		s, _ := set.Lookup(name)
		lo, hi, _ := s.MinMax()
		k := s.Counts()
		fmt.Fprintf(t, "%s\t%.5g\t%.5g\t%d\t%d\n", name, lo, hi, k.NaN, k.PosInf+k.NegInf)
	}
	t.Flush()
	fmt.Fprintf(c.out, "wrote %s: %d values on %d of %d samples\n", path, len(set.Names()), n, set.Total)
	if set.Complete() != nil {
		fmt.Fprintf(c.out, "%v\n", set.Complete())
	}
	return nil
}

// calibrationJob is the file of --ranges, nil without.
func (o *optimizer) calibrationJob() (*pass.Calibration, error) {
	if o.ranges == "" {
		return o.job, nil
	}
	set, err := readCalibration(o.ranges)
	return &pass.Calibration{Set: set}, err
}

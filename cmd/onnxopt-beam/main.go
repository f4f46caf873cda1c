// Command onnxopt-beam runs onnxopt calibrate or onnxopt compare as an Apache
// Beam pipeline: one element for each shard, whose worker runs onnxopt on it and
// emits one sketch, never samples; the sketches merge to the bytes that one
// process over all samples writes.
//
// Workers find the onnxopt binary, the model and the samples under the paths
// given, as on a shared file system or in their container image.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/x/beamx"
)

var (
	shards  = flag.Int("shards", 0, "number of shards")
	out     = flag.String("o", "", "file to write")
	onnxopt = flag.String("onnxopt", "onnxopt", "the onnxopt binary on the workers")
)

func main() {
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "Usage: onnxopt-beam --shards N -o OUT [flags] -- calibrate|compare ARGUMENTS\n\n"+
			"Example: onnxopt-beam --shards 64 -o all.cal --runner=prism -- calibrate model.onnx --data samples\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	beam.Init() // a worker process ends here
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "onnxopt-beam:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case *out == "":
		return errors.New("no output file: give -o OUT")
	case *shards < 1:
		return errors.New("--shards: want a number of shards")
	case len(args) == 0 || args[0] != "calibrate" && args[0] != "compare":
		return errors.New("give the verb calibrate or compare, and its arguments, after --")
	}
	return beamx.Run(ctx, pipeline(runShard{Command: *onnxopt, Args: args, Shards: *shards}, *out))
}

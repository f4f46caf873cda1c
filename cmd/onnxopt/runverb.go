package main

import (
	"fmt"
	"io"

	"github.com/spf13/pflag"

	"onnxopt/onnx/tensor"
	"onnxopt/runtime"
	"onnxopt/runtime/samples"
)

var runVerb = verb{
	name: "run", args: "MODEL --data D -o OUT.npz", minArgs: 1, maxArgs: 1,
	doc:     "run a model on samples and write inputs and outputs as npz",
	example: "onnxopt run model.onnx --data samples.npz -o out.npz",
	setup: func(f *pflag.FlagSet) func(*call) error {
		r := &runner{}
		f.StringVarP(&r.out, "output", "o", "", "npz file to write, keyed by input and output names")
		r.dataFlags.declare(f)
		f.IntVar(&r.n, "samples", 0, "samples to run, 0 for all")
		f.IntVar(&r.batch, "batch", 50, "samples at once")
		f.IntVar(&r.threads, "threads", 1, "threads")
		f.StringVar(&r.device, "device", "", deviceUsage)
		f.BoolVar(&r.reference, "reference", false, "use the reference evaluation only")
		f.BoolVar(&r.json, "json", false, "print what was written as JSON")
		return r.run
	},
}

type runner struct {
	dataFlags
	out, device       string
	n, batch, threads int
	reference, json   bool
}

func (r *runner) run(c *call) error {
	if r.out == "" || r.data == "" {
		return fmt.Errorf("run: give --data and -o OUT.npz")
	}
	m, err := loadModel(c.args[0])
	if err != nil {
		return err
	}
	set, err := r.open(m, samples.Evaluation)
	if err != nil {
		return err
	}
	defer set.Close()
	s, err := runtime.Compile(m, runtime.Options{Reference: r.reference, Threads: r.threads, Device: r.device})
	if err != nil {
		return fmt.Errorf("%s: %w", c.args[0], err)
	}
	src, size := first(set, r.n), max(r.batch, 1)
	if set.BatchSize() > 0 {
		size = set.BatchSize()
	}
	parts := make([][]*tensor.Tensor, len(m.Graph.Inputs())+len(m.Graph.Outputs()))
	p := &progress{c: c}
	for at := 0; at < src.Len(); at += size {
		to := min(at+size, src.Len())
		in, err := src.Values(at, to)
		if err != nil {
			return err
		}
		out, err := s.Run(c, in)
		if err != nil {
			return fmt.Errorf("%s: %w", c.args[0], err)
		}
		for i, v := range append(append([]tensor.Value{}, in...), out...) {
			if t, ok := v.(*tensor.Tensor); ok {
				parts[i] = append(parts[i], crop(t, set.BatchSize(), to-at))
			}
		}
		p.update("run", to, src.Len())
	}
	var arrays []samples.Array
	for i, v := range append(append(m.Graph.Inputs()[:0:0], m.Graph.Inputs()...), m.Graph.Outputs()...) {
		if len(parts[i]) > 0 && !(i >= len(m.Graph.Inputs()) && v.IsInput()) { // an input that is also an output stands once
			t, err := join(parts[i])
			if err != nil {
				return fmt.Errorf("%s: %w", v.Name, err)
			}
			arrays = append(arrays, samples.Array{Name: v.Name, Tensor: t})
		}
	}
	if err := writeFile(c, r.out, func(w io.Writer) error { return samples.WriteNPZ(w, arrays) }); err != nil {
		return err
	}
	return r.show(c, arrays)
}

func (r *runner) show(c *call, arrays []samples.Array) error {
	type line struct {
		Name  string `json:"name"`
		Type  string `json:"type"`
		Shape []int  `json:"shape"`
	}
	var list []line
	for _, a := range arrays {
		list = append(list, line{a.Name, a.Tensor.Type.String(), a.Tensor.Shape})
	}
	if r.json {
		return writeJSON(c.out, list)
	}
	for _, l := range list {
		fmt.Fprintf(c.out, "%s: %s%v\n", l.Name, l.Type, l.Shape)
	}
	fmt.Fprintf(c.out, "wrote %s\n", r.out)
	return nil
}

// crop keeps the first n rows of a batch that was filled up to size rows.
func crop(t *tensor.Tensor, size, n int) *tensor.Tensor {
	if n >= size || t.Rank() == 0 || t.Shape[0] != size || t.Type.Bits()%8 != 0 || t.Type == tensor.String {
		return t
	}
	shape := append([]int{n}, t.Shape[1:]...)
	c, err := tensor.FromBytes(t.Type, shape, t.Bytes()[:len(t.Bytes())/t.Shape[0]*n])
	if err != nil {
		return t
	}
	return c
}

// join stacks batches along the first axis.
func join(parts []*tensor.Tensor) (*tensor.Tensor, error) {
	if len(parts) == 1 {
		return parts[0], nil
	}
	if parts[0].Rank() == 0 {
		return nil, fmt.Errorf("batches of rank 0 cannot be joined: use --batch with all samples")
	}
	shape := append([]int{0}, parts[0].Shape[1:]...)
	var b []byte
	var s []string
	for _, t := range parts {
		shape[0] += t.Shape[0]
		b, s = append(b, t.Bytes()...), append(s, t.Strings()...)
	}
	if parts[0].Type == tensor.String {
		return tensor.FromStrings(shape, s)
	}
	return tensor.FromBytes(parts[0].Type, shape, b)
}

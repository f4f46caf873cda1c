package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/pack"
)

var packVerb = verb{
	name: "pack", args: "MODEL", minArgs: 1, maxArgs: 1,
	doc:     "compress a model losslessly into a container that every verb reads",
	example: "onnxopt pack model.onnx -o model.onnxz",
	setup: func(f *pflag.FlagSet) func(*call) error {
		p := &packer{}
		f.StringVarP(&p.out, "output", "o", "", "file to write (default MODEL with the extension "+pack.Extension+")")
		f.BoolVar(&p.embed, "embed", false, "take external data into the container; unpack then gives one file")
		f.BoolVar(&p.ledger, "ledger", false, "print what every tensor takes, beside its entropy")
		f.BoolVar(&p.json, "json", false, "print the result as JSON")
		return p.run
	},
}

var unpackVerb = verb{
	name: "unpack", args: "CONTAINER", minArgs: 1, maxArgs: 1,
	doc:     "restore the exact model file from a container",
	example: "onnxopt unpack model.onnxz -o model.onnx",
	setup: func(f *pflag.FlagSet) func(*call) error {
		out := f.StringP("output", "o", "", "file to write, - for standard output (default CONTAINER with the extension .onnx)")
		return func(c *call) error { return unpack(c, *out) }
	},
}

type packer struct {
	out                 string
	embed, ledger, json bool
}

func (p *packer) run(c *call) error {
	path := c.args[0]
	if p.out == "" {
		p.out = withExtension(path, pack.Extension)
	}
	model, err := p.read(path)
	if err != nil {
		return err
	}
	packed, err := pack.Pack(model)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	again, err := pack.Unpack(packed, 0)
	if err != nil || !bytes.Equal(again, model) {
		return fmt.Errorf("internal error: the container of %s does not unpack to it: %v", path, err)
	}
	if err := writeBytes(c, p.out, packed); err != nil {
		return err
	}
	r := &pack.Report{Model: len(model), Container: len(packed)}
	if p.ledger {
		if r, err = pack.Measure(model); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if p.json {
		return writeJSON(c.out, r)
	}
	return printPacked(c.out, p.out, r)
}

// read is the bytes to pack: those of the file, or of one that takes external
// data in.
func (p *packer) read(path string) ([]byte, error) {
	m, err := onnx.Load(path)
	if err != nil {
		return nil, err
	}
	external := false
	for v := range m.Graph.Initializers() {
		external = external || v.Data.Layout == graph.External
	}
	switch {
	case external && !p.embed:
		return nil, fmt.Errorf("%s: its weights are in other files: give --embed to take them into the container", path)
	case external:
		return onnx.Marshal(m)
	case fileSize(path) > pack.MaxSize:
		return nil, fmt.Errorf("%s: a container holds models of up to 2 GB", path)
	}
	b, err := os.ReadFile(path)
	if err == nil && pack.Is(b) {
		err = fmt.Errorf("%s is a container already", path)
	}
	return b, err
}

func printPacked(w io.Writer, out string, r *pack.Report) error {
	fmt.Fprintf(w, "%s: %d bytes, the model has %d (%.1fx)\n", out, r.Container, r.Model, float64(r.Model)/float64(r.Container))
	if len(r.Tensors) == 0 {
		return nil
	}
	fmt.Fprintf(w, "header %d bytes, structure %.0f\n", r.Header, r.Structure)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "tensor\tshape\tmethod\tbytes\tweights\tvalues\tbits each position\tentropy\tbits each value\tentropy\t")
	for _, x := range r.Tensors {
		fmt.Fprintf(t, "%s\t%v\t%s\t%.0f\t", x.Name, x.Dims, x.Method, x.Bytes)
		if x.Elements > 0 {
			fmt.Fprintf(t, "%d of %d\t%d\t%.4f\t%.4f\t%.3f\t%.3f\t", x.Weights, x.Elements, x.Values, x.PositionBits, x.PositionEntropy, x.ValueBits, x.ValueEntropy)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

func unpack(c *call, out string) error {
	path := c.args[0]
	packed, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if out == "" {
		out = withExtension(path, ".onnx")
	}
	if out == "-" {
		err = pack.UnpackTo(c.out, packed, 0)
	} else {
		err = onnx.WriteTo(c, out, func(w io.Writer) error { return pack.UnpackTo(w, packed, 0) })
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if out != "-" {
		size, _ := pack.Size(packed)
		fmt.Fprintf(c.out, "%s: %d bytes from %d\n", out, size, len(packed))
	}
	return nil
}

// withExtension is path with another extension.
func withExtension(path, extension string) string {
	return strings.TrimSuffix(path, filepath.Ext(path)) + extension
}

package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
	"onnxopt/passes"
	"onnxopt/passes/pass"
	htmlreport "onnxopt/passes/report"
	"onnxopt/passes/trace"
	"onnxopt/runtime/compare"
	"onnxopt/runtime/samples"
)

var simplifyVerb = verb{
	name: "simplify", args: "MODEL -o OUT", minArgs: 1, maxArgs: 1,
	doc:     "make the smallest equal graph: fold constants, remove what does nothing, merge and fuse",
	example: "onnxopt simplify model.onnx -o model.sim.onnx --input-shape input:1,3,224,224",
	setup: func(f *pflag.FlagSet) func(*call) error {
		s := &simplifier{}
		s.declare(f)
		f.StringVarP(&s.out, "output", "o", "", "file to write")
		f.StringVar(&s.html, "html", "", "write a page that shows the graph after each pass")
		f.BoolVar(&s.verify, "verify", false, "run the model before and after every pass, and leave out rewrites that change outputs")
		f.BoolVar(&s.stats, "stats", false, "print time and changes of every pass")
		f.BoolVar(&s.json, "json", false, "print the result as JSON")
		f.BoolVar(&s.force, "force", false, "write the file even if it is larger")
		f.BoolVarP(&s.quiet, "quiet", "q", false, "no list of nodes")
		f.BoolVar(&s.verbose, "verbose", false, "one line for every node that a pass changed or kept")
		return s.run
	},
}

// simplifyFlags choose the passes of preset simplify and their settings.
type simplifyFlags struct {
	dataFlags
	shapes, dims, debug []string
	settings            pass.Settings
}

func (s *simplifyFlags) declare(f *pflag.FlagSet) {
	f.StringArrayVar(&s.shapes, "input-shape", nil, "fix the shape of an input, as NAME:1,3,224,224 (repeat for more inputs)")
	f.StringSliceVar(&s.dims, "dim", nil, "fix a symbolic size, as N=8")
	f.Int64Var(&s.settings.Opset, "opset", 0, "raise the model to this opset; newer ones have more fused operators (default: keep)")
	f.IntVar(&s.settings.MaxFold, "max-fold", 0, "bytes of a tensor that folding may create though the file grows (default: the file never grows)")
	f.StringSliceVarP(&s.debug, "debug", "d", nil, "PASS/off turns a pass off")
	s.dataFlags.declare(f)
}

// pipeline is the passes to run and the settings that the flags say.
func (s *simplifyFlags) pipeline() ([]pass.Pass, pass.Options, error) {
	o := pass.Options{Off: map[string]bool{}}
	for _, d := range s.debug {
		name, ok := strings.CutSuffix(d, "/off")
		if _, err := passes.Select([]string{name}); !ok || err != nil {
			return nil, o, fmt.Errorf("-d %s: want PASS/off with a pass of onnxopt passes", d)
		}
		o.Off[name] = true
	}
	var err error
	if s.settings.InputShapes, err = parseShapes(s.shapes); err != nil {
		return nil, o, err
	}
	if s.settings.Dims, err = parseDims(s.dims); err != nil {
		return nil, o, err
	}
	o.Settings = s.settings
	list, err := passes.Pipeline("simplify")
	return list, o, err
}

// parseShapes reads NAME:1,3,224,224. Names may hold colons themselves.
func parseShapes(list []string) (map[string][]int64, error) {
	out := map[string][]int64{}
	for _, s := range list {
		i := strings.LastIndexByte(s, ':')
		if i <= 0 {
			return nil, fmt.Errorf("--input-shape %s: want NAME:1,3,224,224", s)
		}
		shape := []int64{}
		for _, w := range strings.FieldsFunc(s[i+1:], func(r rune) bool { return r == ',' }) {
			n, err := strconv.ParseInt(w, 10, 64)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("--input-shape %s: %q is no size", s, w)
			}
			shape = append(shape, n)
		}
		out[s[:i]] = shape
	}
	return out, nil
}

// parseDims reads N=8.
func parseDims(list []string) (map[string]int64, error) {
	out := map[string]int64{}
	for _, s := range list {
		name, size, ok := strings.Cut(s, "=")
		n, err := strconv.ParseInt(size, 10, 64)
		if !ok || err != nil || n < 0 {
			return nil, fmt.Errorf("--dim %s: want NAME=SIZE", s)
		}
		out[name] = n
	}
	return out, nil
}

// simplifier is one run of the verb simplify.
type simplifier struct {
	simplifyFlags
	out, html                                  string
	verify, stats, json, force, quiet, verbose bool
}

func (s *simplifier) run(c *call) error {
	if s.out == "" {
		return errors.New("simplify: no output file: give -o OUT")
	}
	list, o, err := s.pipeline()
	if err != nil {
		return fmt.Errorf("simplify: %w", err)
	}
	m, err := loadModel(c.args[0])
	if err != nil {
		return err
	}
	o.Scratch = filepath.Dir(s.out)
	r := report{Input: c.args[0], Output: s.out, Preset: "simplify", Before: figuresOf(m)}
	if s.verify {
		if o.Verify, err = s.verifier(c, m, compare.Options{}); err != nil {
			return fmt.Errorf("%s: %w", c.args[0], err)
		}
	}
	page := &trace.Trace{Title: filepath.Base(c.args[0]) + " simplified"}
	if s.html != "" {
		page.Add("original", m)
		o.After = func(p *pass.Pass, m *graph.Model) error { page.Add(p.Name, m); return nil }
	}
	r.Ledger, err = pass.Run(c, m, list, o)
	if err != nil {
		return fmt.Errorf("%s: %w", c.args[0], err)
	}
	r.After = figuresOf(m)
	for _, e := range r.Ledger.Entries {
		if e.Action == pass.Warning {
			r.Warnings = append(r.Warnings, e.Detail)
		}
	}
	if r.After.Bytes > r.Before.Bytes && !s.force {
		s.show(c, &r)
		return refuse("the result is larger: %d bytes, was %d; not written (--force writes it)", r.After.Bytes, r.Before.Bytes)
	}
	if err := onnx.Save(m, s.out, onnx.SaveOptions{Context: c}); err != nil {
		return err
	}
	r.Written = true
	if s.html != "" {
		if err := writeFile(c, s.html, page.WriteHTML); err != nil {
			return err
		}
	}
	return s.show(c, &r)
}

func (s *simplifier) show(c *call, r *report) error {
	if s.json {
		return writeJSON(c.out, r)
	}
	r.print(c.out, s.stats, s.quiet, s.verbose)
	return nil
}

func figuresOf(m *graph.Model) htmlreport.Figures {
	return htmlreport.Figures{Bytes: int64(onnx.Size(m)), Parameters: parameters(m.Graph), Nodes: nodes(m.Graph)}
}

// leastSQNR is the signal to noise in dB that rewrites must keep: about 1e-5 of
// the outputs.
const leastSQNR = 90

// verifier compares the outputs of a changed model with those of m as it is
// now, on samples or on random inputs.
func (d *dataFlags) verifier(c *call, m *graph.Model, o compare.Options) (func(*graph.Model) error, error) {
	o.Latency, o.Tensors = -1, -1
	before := m.Clone()
	set, err := d.open(m, samples.Evaluation)
	if err != nil {
		return nil, err
	}
	if set == nil {
		if set, err = samples.Random(inputsOf(m.Graph.Inputs()), 4, 1); err != nil {
			return nil, err
		}
	}
	probe := first(set, max(set.BatchSize(), min(4, set.Len())))
	return func(m *graph.Model) error {
		r, err := compare.Run(c, before, m, probe, o)
		if err != nil {
			return err
		}
		if i := slices.IndexFunc(r.Outputs, func(t compare.Tensor) bool { return !(t.SQNR >= leastSQNR) }); i >= 0 {
			return fmt.Errorf("output %s differs: SQNR %.1f dB", r.Outputs[i].Name, r.Outputs[i].SQNR)
		}
		return nil
	}, nil
}

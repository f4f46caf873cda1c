package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"onnxopt/onnx"
	"onnxopt/onnx/dim"
	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
	"onnxopt/passes/distill"
	"onnxopt/runtime/samples"
)

// dataFlags are how samples are read.
type dataFlags struct {
	data, labels         string
	mean, std            []float64
	scale                float64
	resize, crop, layout string
	bgr, cast, nearest   bool
}

func (d *dataFlags) declare(f *pflag.FlagSet) {
	f.StringVar(&d.data, "data", "", "samples: npy, npz, idx(.gz), ONNX test_data_set folder, folder of images or of idx files")
	f.StringVar(&d.labels, "labels", "", "right classes: idx(.gz), csv, npy or text; of a detector the boxes: json as COCO's annotations")
	f.StringVar(&d.resize, "resize", "", "resize images: 256 (shorter side), 320x240 or input")
	f.StringVar(&d.crop, "crop", "", "crop the centre of images: 224, 320x240 or input")
	f.Float64Var(&d.scale, "scale", 0, "factor of pixels (default 1/255)")
	f.Var((*floats)(&d.mean), "mean", "subtract from scaled pixels, one value or one for each channel")
	f.Var((*floats)(&d.std), "std", "divide by, after --mean")
	f.StringVar(&d.layout, "layout", "", "axes of images: nchw or nhwc (default: told from the input)")
	f.BoolVar(&d.bgr, "bgr", false, "swap red and blue")
	f.BoolVar(&d.nearest, "nearest", false, "resize images to the nearest pixel instead of bilinearly")
	f.BoolVar(&d.cast, "cast", false, "convert arrays to the input's element type")
}

// floats is the value of a flag that is a list of numbers. Unlike pflag's own it
// shows all their digits.
type floats []float64

func (l *floats) Type() string { return "floats" }

func (l *floats) String() string {
	text := make([]string, len(*l))
	for i, x := range *l {
		text[i] = strconv.FormatFloat(x, 'g', -1, 64)
	}
	return strings.Join(text, ",")
}

func (l *floats) Set(s string) error {
	*l = nil
	for _, w := range strings.Split(s, ",") {
		x, err := strconv.ParseFloat(strings.TrimSpace(w), 64)
		if err != nil {
			return fmt.Errorf("%q is no number", w)
		}
		*l = append(*l, x)
	}
	return nil
}

// open opens the samples of m, nil without --data.
func (d *dataFlags) open(m *graph.Model, role samples.Role) (*samples.Set, error) {
	if d.data == "" {
		return nil, nil
	}
	o := samples.Options{Role: role, Cast: d.cast, Outputs: inputsOf(m.Graph.Outputs()), ParsePB: parsePB(m)}
	o.Image = samples.Image{Scale: d.scale, Mean: d.mean, Std: d.std, BGR: d.bgr, Nearest: d.nearest}
	var err error
	if o.Image.Layout, err = samples.ParseLayout(d.layout); err != nil {
		return nil, fmt.Errorf("--layout: %w", err)
	}
	if o.Image.Resize, err = samples.ParseExtent(d.resize); err != nil {
		return nil, fmt.Errorf("--resize: %w", err)
	}
	if o.Image.Crop, err = samples.ParseExtent(d.crop); err != nil {
		return nil, fmt.Errorf("--crop: %w", err)
	}
	return samples.Open(d.data, inputsOf(m.Graph.Inputs()), o)
}

// truth is the labels of set, nil if there are none.
func (d *dataFlags) truth(set *samples.Set) ([]int, error) {
	if d.labels == "" {
		return set.Labels()
	}
	l, err := samples.Labels(d.labels, set)
	if err == nil && len(l) != set.Len() {
		err = fmt.Errorf("%s: %d labels for the %d samples of %s", d.labels, len(l), set.Len(), d.data)
	}
	return l, err
}

// answers is the classes or boxes of the first n samples of set, 0 for all; nil
// if there are none.
func (d *dataFlags) answers(set *samples.Set, n int) (classes []int, boxes [][]samples.Box, err error) {
	n = first(set, n).n
	if strings.EqualFold(filepath.Ext(d.labels), ".json") {
		if boxes, err = samples.Boxes(d.labels, set); err != nil {
			return nil, nil, err
		}
		return nil, boxes[:n], nil
	}
	if classes, err = d.truth(set); err != nil || classes == nil {
		return nil, nil, err
	}
	return classes[:n], nil, nil
}

// trainingData reads the first n samples, 0 for all, with the labels that are
// there unless unlabelled.
func (d *dataFlags) trainingData(m *graph.Model, unlabelled bool, n int) (*distill.Data, error) {
	set, err := d.open(m, samples.Calibration)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	var labels []int
	if !unlabelled {
		if labels, err = d.truth(set); err != nil {
			return nil, err
		}
	}
	use := first(set, n)
	if labels != nil {
		labels = labels[:use.Len()]
	}
	return distill.Load(use, labels)
}

// testData reads all samples and the labels that they must have.
func (d *dataFlags) testData(m *graph.Model) (*distill.Data, error) {
	set, err := d.open(m, samples.Evaluation)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	labels, err := d.truth(set)
	if err != nil {
		return nil, err
	}
	if labels == nil {
		return nil, fmt.Errorf("%s: no labels: give --test-labels", d.data)
	}
	return distill.Load(set, labels)
}

// inputsOf describes graph inputs or outputs for the readers.
func inputsOf(values []*graph.Value) []samples.Input {
	out := make([]samples.Input, len(values))
	for i, v := range values {
		out[i] = samples.Input{Name: v.Name, Type: v.Type.Elem, Optional: v.Data != nil}
		if !v.Type.Ranked {
			continue
		}
		out[i].Shape = make([]int, len(v.Type.Shape))
		for k, d := range v.Type.Shape {
			out[i].Shape[k] = fixed(d)
		}
	}
	return out
}

func fixed(d dim.Dim) int {
	if n, ok := d.Const(); ok {
		return int(n)
	}
	return -1
}

// parsePB reads the sample files of ONNX test data.
func parsePB(m *graph.Model) func([]byte, samples.Input) (tensor.Value, string, error) {
	kinds := map[string]graph.Kind{}
	for _, list := range [][]*graph.Value{m.Graph.Inputs(), m.Graph.Outputs()} {
		for _, v := range list {
			kinds[v.Name] = v.Type.Kind
		}
	}
	return func(b []byte, in samples.Input) (tensor.Value, string, error) {
		return onnx.LoadValue(b, kinds[in.Name])
	}
}

// limited is the first samples of a set.
type limited struct {
	*samples.Set
	n int
}

// Len is the number of samples in use.
func (l limited) Len() int { return l.n }

// first limits a set to n samples; n of 0 is all of them.
func first(s *samples.Set, n int) limited {
	if n <= 0 || n > s.Len() {
		n = s.Len()
	}
	return limited{s, n}
}

package samples

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"onnxopt/onnx/tensor"
)

// gradient is a colour image: red counts columns, green rows, blue is 200.
func gradient(w, h int) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.Set(x, y, color.NRGBA{uint8(x), uint8(y), 200, 255})
		}
	}
	return m
}

func writePNG(t *testing.T, path string, m image.Image) {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestImageValues checks pixels of one image under the options. With a w of 6
// and an h of 4, element i of a list is that of row-major order.
func TestImageValues(t *testing.T) {
	dir := t.TempDir()
	writePNG(t, filepath.Join(dir, "a.png"), gradient(6, 4))
	f := tensor.Float32
	for _, c := range []struct {
		name  string
		in    Input
		opt   Image
		cast  bool
		shape string
		at    map[int]float64 // element: value
		err   string
	}{
		{name: "nchw", in: Input{Type: f, Shape: []int{-1, 3, 4, 6}}, shape: "[1 3 4 6]", at: map[int]float64{5: 5.0 / 255, 24 + 6: 1.0 / 255, 48: 200.0 / 255}},
		{name: "nhwc", in: Input{Type: f, Shape: []int{-1, 4, 6, 3}}, shape: "[1 4 6 3]", at: map[int]float64{3: 1.0 / 255, 19: 1.0 / 255, 2: 200.0 / 255}},
		{name: "nhwc asked", in: Input{Type: f, Shape: []int{-1, -1, -1, -1}}, opt: Image{Layout: NHWC}, shape: "[1 4 6 3]", at: map[int]float64{3: 1.0 / 255}},
		{name: "free", in: Input{Type: f, Shape: []int{-1, -1, -1, -1}}, shape: "[1 3 4 6]", at: map[int]float64{5: 5.0 / 255}},
		{name: "any rank", in: Input{Type: f}, shape: "[1 3 4 6]", at: map[int]float64{5: 5.0 / 255}},
		{name: "bgr", in: Input{Type: f, Shape: []int{-1, 3, 4, 6}}, opt: Image{BGR: true}, shape: "[1 3 4 6]", at: map[int]float64{0: 200.0 / 255, 53: 5.0 / 255}},
		{name: "mean, std", in: Input{Type: f, Shape: []int{-1, 3, 4, 6}}, opt: Image{Scale: 1, Mean: []float64{1, 2, 100}, Std: []float64{2, 4, 50}}, shape: "[1 3 4 6]", at: map[int]float64{5: 2, 30: -0.25, 48: 2}},
		{name: "one mean", in: Input{Type: f, Shape: []int{-1, 3, 4, 6}}, opt: Image{Scale: 1, Mean: []float64{1}}, shape: "[1 3 4 6]", at: map[int]float64{5: 4, 48: 199}},
		{name: "uint8", in: Input{Type: tensor.Uint8, Shape: []int{1, 3, 4, 6}}, shape: "[1 3 4 6]", at: map[int]float64{5: 5, 48: 200}},
		{name: "float16", in: Input{Type: tensor.Float16, Shape: []int{1, 3, 4, 6}}, opt: Image{Scale: 1}, shape: "[1 3 4 6]", at: map[int]float64{5: 5, 48: 200}},
		{name: "int8 shifted", in: Input{Type: tensor.Int8, Shape: []int{1, 3, 4, 6}}, opt: Image{Scale: 1, Mean: []float64{128}}, cast: true, shape: "[1 3 4 6]", at: map[int]float64{0: -128, 48: 72}},
		{name: "int8", in: Input{Type: tensor.Int8, Shape: []int{1, 3, 4, 6}}, cast: true, err: "128 is outside the range of int8"},
		{name: "int8 uncast", in: Input{Type: tensor.Int8, Shape: []int{1, 3, 4, 6}}, err: "--cast"},
		{name: "uint8 scaled", in: Input{Type: tensor.Uint8, Shape: []int{1, 3, 4, 6}}, opt: Image{Scale: 2}, err: "--cast"},
		{name: "grey", in: Input{Type: f, Shape: []int{-1, 1, 4, 6}}, opt: Image{Scale: 1}, shape: "[1 1 4 6]", at: map[int]float64{0: 23, 5: 24, 18: 25}},
		{name: "grey, no channel", in: Input{Type: f, Shape: []int{-1, 4, 6}}, opt: Image{Scale: 1}, shape: "[1 4 6]", at: map[int]float64{5: 24}},
		{name: "no batch", in: Input{Type: f, Shape: []int{3, 4, 6}}, shape: "[3 4 6]", at: map[int]float64{5: 5.0 / 255}},
		{name: "flat grey", in: Input{Type: f, Shape: []int{-1, 24}}, opt: Image{Scale: 1}, shape: "[1 24]", at: map[int]float64{5: 24}},
		{name: "flat colour", in: Input{Type: f, Shape: []int{-1, 72}}, opt: Image{Scale: 1}, shape: "[1 72]", at: map[int]float64{5: 5, 48: 200}},
		{name: "fixed batch", in: Input{Type: f, Shape: []int{2, 3, 4, 6}}, opt: Image{Scale: 1}, shape: "[2 3 4 6]", at: map[int]float64{5: 5, 77: 5}},
		{name: "crop", in: Input{Type: f, Shape: []int{-1, 3, 2, 2}}, opt: Image{Scale: 1, Crop: Extent{Input: true}}, shape: "[1 3 2 2]", at: map[int]float64{0: 2, 1: 3, 4: 1, 6: 2}},
		{name: "nearest", in: Input{Type: f, Shape: []int{-1, 3, 8, 12}}, opt: Image{Scale: 1, Resize: Extent{Input: true}, Nearest: true}, shape: "[1 3 8 12]", at: map[int]float64{0: 0, 1: 0, 2: 1, 11: 5}},
		{name: "box", in: Input{Type: f, Shape: []int{-1, 3, 4, 6}}, opt: Image{Scale: 1, Resize: Extent{Width: 12, Height: 8}}, err: "shape [3 8 12], model input \"x\" wants [3 4 6]"},
		{name: "shorter, crop", in: Input{Type: f, Shape: []int{-1, 3, 8, 8}}, opt: Image{Scale: 1, Resize: Extent{Side: 8}, Crop: Extent{Side: 8}}, shape: "[1 3 8 8]", at: map[int]float64{3: 2}},
		{name: "size", in: Input{Type: f, Shape: []int{-1, 3, 6, 4}}, err: `sample 0 (a.png): shape [3 4 6], model input "x" wants [3 6 4] (--resize and --crop change the size)`},
		{name: "channels", in: Input{Type: f, Shape: []int{-1, 5, 4, 6}}, err: "images have 1 or 3 channels"},
		{name: "large crop", in: Input{Type: f, Shape: []int{-1, 3, 9, 9}}, opt: Image{Crop: Extent{Input: true}}, err: "crop of 9x9 from an image of 6x4"},
		{name: "resize to the unknown", in: Input{Type: f, Shape: []int{-1, 3, -1, -1}}, opt: Image{Resize: Extent{Input: true}}, err: "no fixed height and width"},
		{name: "huge resize", in: Input{Type: f, Shape: []int{-1, 3, -1, -1}}, opt: Image{Resize: Extent{Side: 1 << 40}}, err: "exceeds the limit"},
		{name: "std 0", in: Input{Type: f}, opt: Image{Std: []float64{0}}, err: "std of channel 0 is 0"},
		{name: "means", in: Input{Type: f, Shape: []int{-1, 3, 4, 6}}, opt: Image{Mean: []float64{1, 2}}, err: "2 values of mean"},
	} {
		c.in.Name = "x"
		got, err := readFirst(dir, c.in, Options{Image: c.opt, Cast: c.cast})
		if c.err != "" || err != nil {
			if err == nil || c.err == "" || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %q", c.name, err, c.err)
			}
			continue
		}
		if fmt.Sprint(got.Shape) != c.shape || c.in.Type != tensor.Undefined && got.Type != c.in.Type {
			t.Errorf("%s: %v, want %s", c.name, got, c.shape)
			continue
		}
		for i, want := range c.at {
			if v := got.Floats()[i]; math.Abs(v-want) > 1e-6 {
				t.Errorf("%s: element %d is %v, want %v", c.name, i, v, want)
			}
		}
	}
}

func readFirst(path string, in Input, opt Options) (*tensor.Tensor, error) {
	s, err := Open(path, []Input{in}, opt)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	b, err := s.Batch(0, 1)
	return b[in.Name], err
}

// TestBilinear halves an image: each pixel is near the mean of its four, as
// the filter spans all source pixels.
func TestBilinear(t *testing.T) {
	dir := t.TempDir()
	m := image.NewGray(image.Rect(0, 0, 64, 64))
	for i := range m.Pix {
		m.Pix[i] = byte(i%2) * 200 // columns of 0 and 200
	}
	writePNG(t, filepath.Join(dir, "a.png"), m)
	got, err := readFirst(dir, Input{Name: "x", Type: tensor.Float32, Shape: []int{-1, 1, 16, 16}}, Options{Image: Image{Scale: 1, Resize: Extent{Input: true}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got.Floats() {
		if x := i % 16; x > 0 && x < 15 && math.Abs(v-100) > 1 {
			t.Fatalf("pixel %d: %v, want 100", i, v)
		}
	}
}

func TestFormats(t *testing.T) {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, gradient(32, 32), nil); err != nil {
		t.Fatal(err)
	}
	in := Input{Name: "x", Type: tensor.Float32, Shape: []int{-1, 3, 32, 32}}
	got, err := readFirst(write(t, "a.jpg", b.Bytes()), in, Options{Image: Image{Scale: 1}})
	if err != nil || math.Abs(got.Floats()[2048]-200) > 6 {
		t.Error(got, err)
	}
	if _, err := readFirst(write(t, "a.jpg", b.Bytes()[:300]), in, Options{}); err == nil {
		t.Error("half a jpeg: no error")
	}
	alpha := image.NewNRGBA(image.Rect(0, 0, 32, 32))
	for i := range alpha.Pix {
		alpha.Pix[i] = byte(i % 4 * 50) // alpha 150
	}
	dir := t.TempDir()
	writePNG(t, filepath.Join(dir, "a.png"), alpha)
	got, err = readFirst(dir, in, Options{Image: Image{Scale: 1}})
	if err != nil || got.Floats()[1024] != 50 || got.Floats()[2048] != 100 {
		t.Error("alpha changes colours", err)
	}
}

// TestFolders opens image folders with classes, splits and labels.
func TestFolders(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"val/10/a.png", "val/2/b.png", "val/2/c.PNG", "train/2/a.png"} {
		writePNG(t, filepath.Join(dir, name), gradient(2, 2))
	}
	os.WriteFile(filepath.Join(dir, "val", "notes.txt"), []byte("x"), 0o600)
	in := []Input{{Name: "x", Type: tensor.Float32, Shape: []int{-1, 3, 2, 2}}}
	s, err := Open(dir, in, Options{Role: Evaluation})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	l, err := s.Labels()
	if err != nil || fmt.Sprint(l) != "[10 2 2]" || s.Name(2) != "2/c.PNG" || s.Len() != 3 {
		t.Error(l, s.Name(2), s.Len(), err)
	}
	csv := write(t, "l.csv", []byte("\xef\xbb\xbffile;class\r\nb.png;4\r\n10/a.png;7\r\nz.png;1\r\nc;5\r\n"))
	if l, err := Labels(csv, s); err != nil || fmt.Sprint(l) != "[7 4 5]" {
		t.Error(l, err)
	}
	if s, err := Open(dir, in, Options{Role: Calibration}); err != nil || s.Len() != 1 {
		t.Error(err)
	}
	if _, err := Open(dir, in, Options{}); err == nil || !strings.Contains(err.Error(), "which of train, val") {
		t.Error(err)
	}
	if got := fmt.Sprint(classesOf([]string{"cat/1", "dog/1", "cat/2"}), classesOf([]string{"cat/1", "x"})); got != "[0 1 0] []" {
		t.Error(got)
	}
	if _, err := Open(t.TempDir(), in, Options{}); err == nil {
		t.Error("an empty folder: no error")
	}
	os.WriteFile(filepath.Join(dir, "val", "2", "b.png"), pngBytes(2, 2)[:40], 0o600)
	if _, err := s.Batch(0, 3); err == nil || !strings.Contains(err.Error(), "sample 1 (2/b.png)") {
		t.Error(err)
	}
}

func TestParseExtent(t *testing.T) {
	for s, want := range map[string]Extent{"": {}, "256": {Side: 256}, "320x240": {Width: 320, Height: 240}, "input": {Input: true}} {
		if got, err := ParseExtent(s); err != nil || got != want {
			t.Errorf("%s: %v %v", s, got, err)
		}
	}
	for _, s := range []string{"x", "0", "-1", "3x", "x3", "axb", "0x4"} {
		if got, err := ParseExtent(s); err == nil {
			t.Errorf("%s: %v", s, got)
		}
	}
	if l, err := ParseLayout("NHWC"); l != NHWC || err != nil {
		t.Error(l, err)
	}
	if _, err := ParseLayout("chw"); err == nil {
		t.Error("chw parses")
	}
}

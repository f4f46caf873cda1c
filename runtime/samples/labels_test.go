package samples

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"onnxopt/onnx/tensor"
)

func TestParseLabels(t *testing.T) {
	names := []string{"d/a.png", "d/b.png", "e/b.png"}
	for _, c := range []struct {
		name, text string
		names      []string
		want       string // or the error
	}{
		{"column", "3\n1\n4\n", nil, "[3 1 4]"},
		{"column, header", "label\r\n3\r\n1\r\n", nil, "[3 1]"},
		{"index", "index,label\n1,7\n0,5\n", nil, "[5 7]"},
		{"quotes", "\"0\",\"5\"\n\"1\",\"6\"\n", nil, "[5 6]"},
		{"spaces", "0 5\n\n1 6\n", nil, "[5 6]"},
		{"tabs", "0\t5\n1\t6\n", nil, "[5 6]"},
		{"names", "e/b.png,3\nd/b.png,2\na.png,1\n", names, "[1 2 3]"},
		{"stems", "x 9\na 1\nd/b.png 2\ne/b.png 3\n", names, `"x" is not an image`},
		{"others left out", "a 1\nx 9\nd/b.png 2\ne/b.png 3\n", names, "[1 2 3]"},
		{"index of images", "2,3\n1,2\n0,1\n", names, "[1 2 3]"},
		{"ambiguous", "a.png,1\nb.png,2\ne/b.png,3\n", names, "no label for sample 1 (d/b.png)"},
		{"twice", "0,1\n0,2\n", nil, `lines 1 and 2 both label "0"`},
		{"gap", "0,1\n2,2\n", nil, `line 2: index "2" of 2 samples`},
		{"word", "1\n2\ncat\n", nil, `line 3: label "cat" is not a class number`},
		{"negative", "1\n-2\n", nil, `line 2: label "-2"`},
		{"columns", "1,2,3\n", nil, "line 1: 3 columns"},
		{"ragged", "0,1\n2\n", nil, "line 2: 1 columns"},
		{"nothing", "\n\n", nil, "no labels"},
		{"header only", "label\n", nil, "no labels"},
	} {
		got, err := parseLabels([]byte(c.text), c.names)
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %s", c.name, err, c.want)
			}
		} else if fmt.Sprint(got) != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}

func TestLabelFiles(t *testing.T) {
	npy := func(x *tensor.Tensor) []byte {
		var b bytes.Buffer
		WriteNPY(&b, x)
		return b.Bytes()
	}
	idx := idxBytes(8, []uint32{3}, []byte{1, 2, 3})
	for _, c := range []struct {
		name string
		data []byte
		want string // or the error
	}{
		{"npy", npy(tensor.Vector[int64](1, 2, 3)), "[1 2 3]"},
		{"column npy", npy(tensor.Vector[uint8](1, 2, 3).Reshaped(3, 1)), "[1 2 3]"},
		{"float npy", npy(tensor.Vector[float32](1, 2)), "want integers [N]"},
		{"matrix npy", npy(tensor.Vector[int64](1, 2, 3, 4).Reshaped(2, 2)), "want integers [N]"},
		{"negative npy", npy(tensor.Vector[int64](1, -2)), "label -2 of sample 1"},
		{"idx", idx, "[1 2 3]"},
		{"idx.gz", gz(idx), "[1 2 3]"},
		{"short idx", idx[:10], "wants 3 bytes, 2 follow"},
		{"image", pngBytes(2, 2), "an image, not labels"},
		{"empty", nil, "empty file"},
	} {
		got, err := Labels(write(t, "l", c.data), nil)
		if err != nil {
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %s", c.name, err, c.want)
			}
		} else if fmt.Sprint(got) != c.want {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
	s, err := Open(writeNPZ(t, Array{"x", count(tensor.Float32, 4, 2)}), []Input{{Name: "x", Type: tensor.Float32, Shape: []int{-1, 2}}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := Labels(write(t, "l", idx), s); err == nil || !strings.Contains(err.Error(), "3 labels for 4 samples") {
		t.Error(err)
	}
}

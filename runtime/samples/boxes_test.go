package samples

import (
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"onnxopt/onnx/tensor"
)

// twoImages writes grey images a.png of 40x20 and b.png of 20x20 pixels.
func twoImages(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, width := range map[string]int{"a.png": 40, "b.png": 20} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := png.Encode(f, image.NewGray(image.Rect(0, 0, width, 20))); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return dir
}

const annotations = `{"images": [{"id": 7, "file_name": "b.png", "width": 20, "height": 20}, {"id": 3, "file_name": "a.png", "width": 40, "height": 20},
	{"id": 9, "file_name": "other.png", "width": 5, "height": 5}],
	"annotations": [{"image_id": 3, "category_id": 17, "bbox": [10, 4, 20, 8]}, {"image_id": 3, "category_id": 2, "bbox": [0, 0, 1, 1], "iscrowd": 1},
	{"image_id": 9, "category_id": 1, "bbox": [0, 0, 1, 1]}]}`

func TestBoxesFollowTheirImage(t *testing.T) {
	dir := twoImages(t)
	file := filepath.Join(t.TempDir(), "instances.json")
	if err := os.WriteFile(file, []byte(annotations), 0o644); err != nil {
		t.Fatal(err)
	}
	set, err := Open(dir, []Input{{Name: "x", Type: tensor.Float32, Shape: []int{-1, 3, 8, 8}}}, Options{Image: Image{Resize: Extent{Side: 10}, Crop: Extent{Side: 8}}})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	got, err := Boxes(file, set)
	if err != nil {
		t.Fatal(err)
	}
	// Halved, then the crop takes 6 columns and 1 row away.
	if len(got) != 2 || len(got[0]) != 1 || len(got[1]) != 0 || got[0][0] != (Box{17, [4]float64{-1, 1, 9, 5}}) {
		t.Errorf("%v", got)
	}
}

func TestBoxesThatDoNotFit(t *testing.T) {
	set, err := Open(twoImages(t), []Input{{Name: "x", Type: tensor.Float32, Shape: []int{-1, 3, -1, -1}}}, Options{Image: Image{Resize: Extent{Side: 8}}})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	for name, c := range map[string]struct{ text, want string }{
		"no JSON":   {"a,1", "COCO"},
		"no images": {"{}", "no images"},
		"missing":   {strings.Replace(annotations, "a.png", "c.png", 1), "no image is"},
		"twice":     {strings.Replace(annotations, "a.png", "b.png", 1), "two images"},
		"short box": {strings.Replace(annotations, "10, 4, 20, 8", "10, 4", 1), "want x y width height"},
		"no size":   {strings.Replace(annotations, `"width": 40`, `"width": 0`, 1), "0x20"},
	} {
		file := filepath.Join(t.TempDir(), "x.json")
		if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Boxes(file, set); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package runtime

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"onnxopt/onnx/tensor"
)

// TestResize runs modes and coordinates in both layouts, larger and smaller.
func TestResize(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 1))
	x := randomFloats(r, 2, 5, 7, 9)
	w := literal("w", randomFloats(r, 5, 5, 1, 1))
	for _, mode := range []string{"nearest", "linear", "cubic"} {
		for _, how := range []string{"half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"} {
			for _, scales := range []string{"1.0, 1.0, 2.0, 2.0", "1.0, 1.0, 0.6, 1.7", "1.0, 2.0, 1.0, 3.0"} {
				resize := fmt.Sprintf(" s = Constant <value = float[4] {%s}> ()\n y = Resize <mode = %q, coordinate_transformation_mode = %q> (c, , s)\n", scales, mode, how)
				checkFast(t, w+" c = Conv (x0, w)\n"+resize, x)
				checkFast(t, " c = Identity (x0)\n"+resize, x)
			}
		}
	}
	body := " s = Constant <value = int64[2] {3, 20}> ()\n y = Resize <mode = \"linear\", axes = [2, 3]> (x0, , , s)\n"
	checkFast(t, body, x)
	if _, s := runText(t, body, []*tensor.Tensor{x}, "float", Options{}); s.main.steps[0].path != "resize" {
		t.Errorf("%s", s.main.steps[0].path)
	}
	crop := " r = Constant <value = float[8] {0.0, 0.0, -0.5, 0.1, 1.0, 1.0, 1.2, 0.8}> ()\n s = Constant <value = int64[4] {2, 5, 8, 8}> ()\n" +
		" y = Resize <mode = \"linear\", coordinate_transformation_mode = \"tf_crop_and_resize\"> (x0, r, , s)\n"
	checkFast(t, crop, x)
}

package passes

import (
	"context"
	"testing"

	"onnxopt/passes/pass"
)

// Asked for more than 8 bits give, search leaves the most sensitive layers in
// float until the outputs are that good, and no more.
func TestMixedPrecision(t *testing.T) {
	list, err := Pipeline("int8")
	if err != nil {
		t.Fatal(err)
	}
	im := loadImages(t, "calib-images-idx3-ubyte.gz", 8)
	m := load(t, "mbnet")
	l, err := pass.Run(context.Background(), m, list, pass.Options{Samples: im, Off: map[string]bool{"round-weights": true},
		Settings: pass.Settings{Quant: pass.QuantSettings{MinSQNR: 45}}})
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Sensitivity) != 12 || len(l.Half) == 0 || len(l.Half) == 12 {
		t.Fatalf("%d layers measured, %d in float", len(l.Sensitivity), len(l.Half))
	}
}

package runtime

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// saturatedSum is what VPMADDUBSW and VPMADDWD make of a row and a column:
// pairs in int16 with saturation, the rest in int32; less zero times the sum
// of the weights.
func saturatedSum(x []uint8, w []int8, zero int32) (sum int32, saturated bool) {
	for i := 0; i < len(x); i += 2 {
		pair := int32(x[i]) * int32(w[i])
		weights := int32(w[i])
		if i+1 < len(x) {
			pair += int32(x[i+1]) * int32(w[i+1])
			weights += int32(w[i+1])
		}
		saturated = saturated || pair > math.MaxInt16 || pair < math.MinInt16
		sum += min(max(pair, math.MinInt16), math.MaxInt16) - zero*weights
	}
	return sum, saturated
}

func quantizeSum(sum int32, scale float32, zero int32) uint8 {
	q := math.RoundToEven(float64(float32(sum)*scale)) + float64(zero)
	return uint8(min(max(q, 0), 255))
}

// TestDeviceConv: onnxruntime on AVX2 pairs the taps of a window in the order
// kernel row, kernel column, input channel.
func TestDeviceConv(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	found := false
	for _, c := range []int{1, 3, 4, 8} {
		for _, kw := range []int{1, 2, 3} {
			const m, h, w, kh = 5, 6, 7, 3
			x, weight := randomQuantized(r, tensor.Uint8, 1, c, h, w), randomQuantized(r, tensor.Int8, m, c, kh, kw)
			body := constantText("w", weight) + `	xs = Constant <value = float {0.5}> () xz = Constant <value = uint8 {7}> () ws = Constant <value = float {0.25}> () wz = Constant <value = int8 {0}> ()
	ys = Constant <value = float {900}> () yz = Constant <value = uint8 {128}> ()
	xf = DequantizeLinear(x0, xs, xz) wf = DequantizeLinear(w, ws, wz) yf = Conv <pads = [1,0,1,0]> (xf, wf) y = QuantizeLinear(yf, ys, yz)
`
			got, _ := runText(t, body, []*tensor.Tensor{x}, "uint8[]", Options{Device: AVX2Saturating})
			ow := w - kw + 1
			for i, q := range got.Bytes() {
				ch, oy, ox := i/(h*ow), i/ow%h, i%ow
				var window []uint8
				var column []int8
				for ky := range kh {
					for kx := range kw {
						for ic := range c {
							v := uint8(7)
							if iy := oy + ky - 1; iy >= 0 && iy < h {
								v = x.Bytes()[(ic*h+iy)*w+ox+kx]
							}
							window = append(window, v)
							column = append(column, int8(weight.Bytes()[((ch*c+ic)*kh+ky)*kw+kx]))
						}
					}
				}
				sum, saturated := saturatedSum(window, column, 7)
				found = found || saturated
				scale := float32(0.5) * 0.25
				if want := quantizeSum(sum, scale/900, 128); q != want {
					t.Fatalf("c %d kw %d: element %d is %d, want %d", c, kw, i, q, want)
				}
			}
		}
	}
	if !found {
		t.Error("nothing saturates")
	}
}

func TestDeviceMatMul(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	const m, k, n = 4, 31, 9
	x, w := randomQuantized(r, tensor.Uint8, m, k), randomQuantized(r, tensor.Int8, k, n)
	body := constantText("w", w) + `	xs = Constant <value = float {0.5}> () xz = Constant <value = uint8 {9}> () ws = Constant <value = float {0.25}> () wz = Constant <value = int8 {0}> ()
	ys = Constant <value = float {500}> () yz = Constant <value = uint8 {128}> ()
	xf = DequantizeLinear(x0, xs, xz) wf = DequantizeLinear(w, ws, wz) yf = MatMul(xf, wf) y = QuantizeLinear(yf, ys, yz)
`
	got, _ := runText(t, body, []*tensor.Tensor{x}, "uint8[]", Options{Device: AVX2Saturating})
	exact, _ := runText(t, body, []*tensor.Tensor{x}, "uint8[]", Options{})
	differ := 0
	for i, q := range got.Bytes() {
		column := make([]int8, k)
		for j := range column {
			column[j] = int8(w.Bytes()[j*n+i%n])
		}
		sum, _ := saturatedSum(x.Bytes()[i/n*k:(i/n+1)*k], column, 9)
		scale := float32(0.5) * 0.25
		if want := quantizeSum(sum, scale/500, 128); q != want {
			t.Fatalf("element %d is %d, want %d", i, q, want)
		}
		if q != exact.Bytes()[i] {
			differ++
		}
	}
	if differ == 0 {
		t.Error("nothing saturates")
	}
}

func TestDeviceUnknown(t *testing.T) {
	m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 18]> g (float[1] x) => (float[1] y) { y = Relu(x) }`)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{Device: "abacus"}, {Device: AVX2Saturating, Reference: true}} {
		if _, err := Compile(m, o); err == nil {
			t.Error(fmt.Sprint(o.Device, " compiles"))
		}
	}
}

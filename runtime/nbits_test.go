package runtime

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/tensor"
)

// TestNBits multiplies with weights of 4 and 8 bits, a last block that is not
// full, zero points and a bias.
func TestNBits(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 1))
	codes := func(name string, shape string, n int) string {
		v := make([]string, n)
		for i := range v {
			v[i] = fmt.Sprint(r.IntN(256))
		}
		return fmt.Sprintf("  %s = Constant <value = uint8%s {%s}> ()\n", name, shape, strings.Join(v, ", "))
	}
	const k, n, block = 40, 19, 16
	blocks := (k + block - 1) / block
	for _, bits := range []int{4, 8} {
		size := block * bits / 8
		zeros := n * ((blocks*bits + 7) / 8)
		body := codes("b", fmt.Sprintf("[%d,%d,%d]", n, blocks, size), n*blocks*size) + codes("z", fmt.Sprintf("[%d]", zeros), zeros) +
			literal("s", randomFloats(r, n*blocks)) + literal("bias", randomFloats(r, n))
		for _, inputs := range []string{"x0, b, s", "x0, b, s, z", "x0, b, s, z, , bias"} {
			checkFast(t, body+fmt.Sprintf("  y = com.microsoft.MatMulNBits <K = %d, N = %d, bits = %d, block_size = %d> (%s)\n", k, n, bits, block, inputs), randomFloats(r, 2, 7, k))
		}
	}
}

// TestNBitsOfWrongType: scales that are text are an error, of the run at the latest.
func TestNBitsOfWrongType(t *testing.T) {
	m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 18, "com.microsoft": 1]> g (float[1,16] x) => (float y) {
  b = Constant <value = uint8[1,1,8] {1, 2, 3, 4, 5, 6, 7, 8}> ()
  s = Constant <value = string[1] {"a"}> ()
  y = com.microsoft.MatMulNBits <K = 16, N = 1, bits = 4, block_size = 16> (x, b, s)
}`)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Compile(m, Options{})
	if err == nil {
		_, err = s.Run(context.Background(), []tensor.Value{tensor.New(tensor.Float32, 1, 16)})
	}
	if err == nil || !strings.Contains(err.Error(), "MatMulNBits") {
		t.Fatal(err)
	}
}

package runtime

import (
	"math/rand/v2"
	"testing"

	"onnxopt/onnx/tensor"
)

// TestAttention runs the forms that exporters write: a transposed K, factors before or after the product, masks of
// several shapes, transposes before and after, sizes that fill no vector.
func TestAttention(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 2))
	for _, c := range []struct {
		q, k, v, mask []int
		body          string
	}{
		{[]int{2, 3, 7, 5}, []int{2, 3, 9, 5}, []int{2, 3, 9, 4}, nil,
			"kt = Transpose <perm = [0, 1, 3, 2]> (x1)\n s = MatMul (x0, kt)\n p = Softmax <axis = -1> (s)\n y = MatMul (p, x2)\n"},
		{[]int{2, 70, 3, 16}, []int{2, 70, 3, 16}, []int{2, 70, 3, 16}, []int{2, 1, 1, 70},
			"c = Constant <value_float = 4.0> ()\n qt = Transpose <perm = [0, 2, 1, 3]> (x0)\n kt = Transpose <perm = [0, 2, 3, 1]> (x1)\n vt = Transpose <perm = [0, 2, 1, 3]> (x2)\n" +
				" s = MatMul (qt, kt)\n d = Div (s, c)\n m = Add (d, x3)\n p = Softmax <axis = -1> (m)\n o = MatMul (p, vt)\n y = Transpose <perm = [0, 2, 1, 3]> (o)\n"},
		{[]int{1, 4, 33, 8}, []int{1, 4, 33, 8}, []int{1, 4, 33, 8}, []int{33, 33},
			"c = Constant <value_float = 0.5> ()\n kt = Transpose <perm = [0, 1, 3, 2]> (x1)\n qs = Mul (x0, c)\n ks = Mul (kt, c)\n s = MatMul (qs, ks)\n m = Add (x3, s)\n p = Softmax <axis = -1> (m)\n" +
				" o = MatMul (p, x2)\n y = Transpose <perm = [2, 0, 1, 3]> (o)\n"},
		{[]int{6, 5, 3}, []int{6, 3, 4}, []int{6, 4, 2}, []int{6, 5, 1},
			"s = MatMul (x0, x1)\n m = Add (s, x3)\n p = Softmax <axis = 2> (m)\n y = MatMul (p, x2)\n"},
		{[]int{1, 2, 3, 4}, []int{1, 2, 5, 4}, []int{2, 1, 5, 4}, nil, // V's batch repeats: the definition computes it
			"kt = Transpose <perm = [0, 1, 3, 2]> (x1)\n s = MatMul (x0, kt)\n p = Softmax <axis = -1> (s)\n y = MatMul (p, x2)\n"},
	} {
		in := []*tensor.Tensor{randomFloats(r, c.q...), randomFloats(r, c.k...), randomFloats(r, c.v...)}
		if c.mask != nil {
			in = append(in, randomFloats(r, c.mask...))
		}
		checkFast(t, c.body, in...)
		_, s := runText(t, c.body, in, "float", Options{})
		if n := len(s.main.steps); n > 2 || s.main.steps[n-1].path != "attention" {
			t.Errorf("%d steps, the last is %s, for\n%s", n, s.main.steps[n-1].path, c.body)
		}
	}
}

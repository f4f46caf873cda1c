package runtime

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
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

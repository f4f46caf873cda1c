package kernel

import (
	"math/rand/v2"
	"testing"
)

// TestDepthwise compares rows with the plain sums: every kernel width and
// stride, all edges, channels that fill no vector, each way to finish.
func TestDepthwise(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(21, 1))
		acts := []Function{{}, {Kind: Relu}, Clip(-0.5, 0.5), {Kind: SiLU}, {Kind: HardSwish}, {Kind: Tanh}}
		for try := range 400 {
			d := Depthwise{Channels: 1 + r.IntN(50), Wide: 2 + r.IntN(6), Stride: 1 + r.IntN(2), Width: 1 + r.IntN(20), Act: acts[try%len(acts)]}
			d.Left = r.IntN(d.Wide)
			high := 1 + r.IntN(4)
			low := r.IntN(high)
			d.W = normal(r, high*d.Wide*d.Channels)
			if try%3 > 0 {
				d.Bias = normal(r, d.Channels)
			}
			pixels := max((d.Width+2*d.Left-d.Wide)/d.Stride+1, 1)
			row := d.Width*d.Channels + r.IntN(5)
			x := normal(r, high*row)
			got, want := make([]float32, pixels*d.Channels), make([]float32, pixels*d.Channels)
			d.Row(got, x, row, low, high, pixels)
			d.generic(want, x, row, low, high, 0, pixels)
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("%+v rows %d-%d: element %d is %v, want %v", d, low, high, i, got[i], want[i])
				}
			}
		}
	})
}

func TestSumRows(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(22, 1))
		for n := range 300 {
			rows, stride := n%7, n+n%3
			y, x := normal(r, n), normal(r, stride*rows)
			want := append([]float32(nil), y...)
			for i := range rows {
				for j := range want {
					want[j] += x[i*stride+j]
				}
			}
			SumRows(y, x, stride, rows)
			for i := range y {
				if y[i] != want[i] {
					t.Fatalf("%d rows of %d: element %d is %v, want %v", rows, n, i, y[i], want[i])
				}
			}
		}
	})
}

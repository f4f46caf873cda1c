package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestFunctions compares every function on every instruction set with the
// double-precision form, for all tails, on special numbers too.
func TestFunctions(t *testing.T) {
	special := []float32{0, float32(math.Copysign(0, -1)), 1e-30, -1e-30, 1e-4, -1e-4, 88, -88, 104, -104, 1000, -1000,
		float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN())}
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		for kind := Copy; kind <= Line; kind++ {
			f := Function{Kind: kind, A: 0.2, B: 0.5, Lo: -1, Hi: 1}
			for n := range 70 {
				x := normal(r, n)
				for i := range x {
					x[i] *= 5
				}
				if n >= 40 {
					copy(x, special)
				}
				got := make([]float32, n)
				f.Apply(got, x)
				for i := range x {
					want := exactly(f, x[i])
					if defined(f, x[i]) && !close32(got[i], want, 1e-5) {
						t.Fatalf("function %d of %v is %v, want %v", kind, x[i], got[i], want)
					}
				}
			}
		}
	})
}

// exactly is f in double precision.
func exactly(f Function, x float32) float32 {
	v := float64(x)
	switch f.Kind {
	case Exp:
		return float32(math.Exp(v))
	case Sigmoid:
		return float32(1 / (1 + math.Exp(-v)))
	case SiLU:
		return float32(v / (1 + math.Exp(-v)))
	case Tanh:
		return float32(math.Tanh(v))
	case Erf:
		return float32(math.Erf(v))
	case Gelu:
		return float32(v / 2 * (1 + math.Erf(v/math.Sqrt2)))
	case GeluTanh:
		return float32(v / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(v+0.044715*v*v*v))))
	case Relu:
		return max(x, 0)
	case HardSwish:
		return x * max(0, min(1, x*(1.0/6)+0.5))
	case Sqrt:
		return float32(math.Sqrt(v))
	case Abs:
		return float32(math.Abs(v))
	case Neg:
		return -x
	case Reciprocal:
		return 1 / x
	case Leaky:
		if x < 0 {
			return f.A * x
		}
	case Half:
		return fromHalf(toHalf(x))
	case Line:
		return min(max(f.A*x+f.B, f.Lo), f.Hi)
	}
	return x
}

// defined is false where a product of an infinite or overflowing number by 0 has
// no limit in float32.
func defined(f Function, x float32) bool {
	return f.Kind != SiLU && f.Kind != Gelu && f.Kind != GeluTanh && f.Kind != HardSwish || x >= -1e30 || x != x
}

// close32 allows for the absolute error of differences of numbers near 1.
func close32(a, b float32, tol float64) bool {
	x, y := float64(a), float64(b)
	if math.IsNaN(y) || math.IsInf(y, 0) {
		return math.IsNaN(x) && math.IsNaN(y) || x == y
	}
	return math.Abs(x-y) <= tol*math.Abs(y)+1e-6
}

func TestBinaryAndReductions(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 1))
		for n := range 80 {
			a, b, got, want := normal(r, n), normal(r, n), make([]float32, n), make([]float32, n)
			for o := Add; o <= Div; o++ {
				o.Apply(got, a, b)
				o.generic(want, a, b)
				for i := range want {
					if got[i] != want[i] {
						t.Fatalf("operation %d, element %d of %d: %v, want %v", o, i, n, got[i], want[i])
					}
				}
			}
			Affine(got, a, b, a)
			var sum, dot, spread, exps float64
			largest, smallest := math.Inf(-1), math.Inf(1)
			for i, x := range a {
				v := float64(x)
				if !close32(got[i], x*b[i]+x, 1e-5) {
					t.Fatalf("affine %v, want %v", got[i], x*b[i]+x)
				}
				sum += v
				dot += v * float64(b[i])
				spread += (v - 0.25) * (v - 0.25)
				exps += math.Exp(v - 1)
				largest, smallest = max(largest, v), min(smallest, v)
			}
			for i, p := range [][2]float64{{float64(Sum(a)), sum}, {float64(Dot(a, b)), dot}, {float64(Spread(a, 0.25)), spread},
				{float64(ExpSum(got, a, 1)), exps}, {float64(Max(a)), largest}, {float64(Min(a)), smallest}} {
				if !(math.Abs(p[0]-p[1]) <= 1e-5*(1+math.Abs(p[1]))) && p[0] != p[1] {
					t.Fatalf("reduction %d of %d: %v, want %v", i, n, p[0], p[1])
				}
			}
		}
	})
}

func TestExtremes(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(9, 2))
		nan, inf := float32(math.NaN()), float32(math.Inf(1))
		for n := range 80 {
			x := normal(r, n)
			want := [2]float32{inf, -inf}
			for _, v := range x {
				want[0], want[1] = min(want[0], v), max(want[1], v)
			}
			if lo, hi, finite := Extremes(x); [2]float32{lo, hi} != want || !finite {
				t.Fatalf("extremes of %d: %v %v %v, want %v", n, lo, hi, finite, want)
			}
			for i := range n {
				for _, odd := range []float32{nan, inf, -inf} {
					was := x[i]
					x[i] = odd
					if _, _, finite := Extremes(x); finite {
						t.Fatalf("%v at %d of %d not seen", odd, i, n)
					}
					x[i] = was
				}
			}
		}
	})
}

func TestWindow(t *testing.T) {
	eachVariant(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(11, 1))
		for how := range 8 {
			for pixels := 1; pixels <= 19; pixels++ {
				for _, c := range []int{1, 7, 8, 15, 16, 17, 40} {
					w := Window{Channels: c, Stride: c * (1 + how%2), YStride: c + 3}
					for tap := range 1 + pixels%5 {
						w.Taps = append(w.Taps, Tap{tap * (c + 1), (tap + how) % 5 * (c + 1)})
					}
					if how&1 != 0 {
						w.W = normal(r, 5*(c+1))
						if how&2 != 0 {
							w.Bias = normal(r, c)
						}
					}
					if how&4 != 0 {
						w.Clamp, w.Lo, w.Hi = true, -0.5, 0.5
					}
					w.Prepare()
					x := normal(r, pixels*w.Stride+len(w.Taps)*(c+1)+c)
					got, want := make([]float32, pixels*w.YStride), make([]float32, pixels*w.YStride)
					w.Run(got, x, pixels)
					w.generic(want, x, pixels, 0)
					for i := range want {
						if got[i] != want[i] {
							t.Fatalf("pixels %d channels %d: element %d is %v, want %v", pixels, c, i, got[i], want[i])
						}
					}
				}
			}
		}
	})
}

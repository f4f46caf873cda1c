package kernel

// FMA32 is x*y + z with one rounding: the compiler fuses the two here.
func FMA32(x, y, z float32) float32 { return x*y + z }

// axpy is y = x*a + y, each sum with one rounding.
func axpy(y []float32, x float32, a []float32) {
	a = a[:len(y)]
	for i, z := range y {
		y[i] = x*a[i] + z
	}
}

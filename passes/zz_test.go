package passes
import ("fmt"; "math/rand/v2"; "os"; "strconv"; "testing")
func TestZSimplify(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("ZN")); from, _ := strconv.Atoi(os.Getenv("ZF"))
	for i := from; i < from+n; i++ {
		r := rand.New(rand.NewPCG(uint64(i), 77))
		seed := make([]byte, r.IntN(120))
		for k := range seed { seed[k] = byte(r.Uint32()) }
		t.Run(fmt.Sprint(i), func(t *testing.T) { simplifies(t, seed) })
	}
}
func TestZQuantize(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("ZN")); from, _ := strconv.Atoi(os.Getenv("ZF"))
	for i := from; i < from+n; i++ {
		r := rand.New(rand.NewPCG(uint64(i), 77))
		seed := make([]byte, r.IntN(120))
		for k := range seed { seed[k] = byte(r.Uint32()) }
		t.Run(fmt.Sprint(i), func(t *testing.T) { quantizes(t, seed, byte(r.Uint32())) })
	}
}
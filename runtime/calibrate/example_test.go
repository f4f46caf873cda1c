package calibrate_test

import (
	"fmt"
	"log"

	"onnxopt/runtime/calibrate"
)

// Two machines observe their samples; the merged set is, to the byte, that of
// one machine which saw all.
func Example() {
	const total = 4
	observe := func(shard int) *calibrate.Set {
		set := calibrate.NewSet("model", "samples", total)
		span, err := calibrate.Shard(shard, 2, total)
		if err != nil {
			log.Fatal(err)
		}
		for i := span.First; i < span.End; i++ {
			if err := set.Begin(i); err != nil {
				log.Fatal(err)
			}
			set.Sketch("relu_1").Add([]float32{float32(i), float32(-i)})
		}
		return set
	}
	all := observe(2)
	fmt.Println(all.Complete())
	if err := all.Merge(observe(1)); err != nil {
		log.Fatal(err)
	}
	s, _ := all.Lookup("relu_1")
	least, greatest, _ := s.MinMax()
	fmt.Println(least, greatest, all.Complete())
	// Output:
	// samples 0 to 1 of 4 are missing
	// -3 3 <nil>
}

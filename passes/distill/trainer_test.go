package distill_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"onnxopt/onnx"
	"onnxopt/onnx/tensor"
	"onnxopt/passes"
	"onnxopt/passes/distill"
	"onnxopt/passes/pass"
)

// BenchmarkAdvance is training steps of the shipped networks, 128 images, one
// thread; testdata/bench_train.py reads its figures.
func BenchmarkAdvance(b *testing.B) {
	for _, name := range []string{"lenet300", "lenet5", "resnet8", "mbnet"} {
		b.Run(name, func(b *testing.B) {
			m, err := onnx.Load(fmt.Sprintf("../../models/%s.onnx", name))
			if err != nil {
				b.Fatal(err)
			}
			list, err := passes.Pipeline("simplify")
			if err != nil {
				b.Fatal(err)
			}
			if _, err := pass.Run(context.Background(), m, list, pass.Options{}); err != nil {
				b.Fatal(err)
			}
			images := tensor.New(tensor.Float32, 1024, 1, 28, 28)
			rng := rand.New(rand.NewPCG(1, 1))
			for i := range images.Float32s() {
				images.Float32s()[i] = rng.Float32()
			}
			d := &distill.Data{Inputs: []*tensor.Tensor{images}}
			teacher, err := distill.Ask(context.Background(), m, d, 1, nil)
			if err != nil {
				b.Fatal(err)
			}
			t, err := distill.New(m, d, teacher, distill.Options{Steps: 1 << 20, Threads: 1})
			if err != nil {
				b.Fatal(err)
			}
			defer t.Close()
			for b.Loop() {
				if err := t.Advance(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package grad

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"onnxopt/onnx"
	"onnxopt/onnx/tensor"
)

// BenchmarkStep is a forward and a backward pass of the shipped models, 128
// images.
func BenchmarkStep(b *testing.B) {
	for _, name := range []string{"lenet300", "lenet5", "resnet8", "mbnet", "tinyvit"} {
		b.Run(name, func(b *testing.B) {
			m, err := onnx.Load(fmt.Sprintf("../../models/%s.onnx", name))
			if err != nil {
				b.Fatal(err)
			}
			p, err := Compile(m, []tensor.Value{tensor.New(tensor.Float32, 128, 1, 28, 28)}, Options{})
			if err != nil {
				b.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, 1))
			for i := range p.Input(0) {
				p.Input(0)[i] = rng.Float32()
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Forward(); err != nil {
					b.Fatal(err)
				}
				for i := range p.OutputGrad(0) {
					p.OutputGrad(0)[i] = p.Output(0)[i] / 128
				}
				p.Backward()
			}
		})
	}
}

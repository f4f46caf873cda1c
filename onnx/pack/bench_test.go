package pack

import (
	"os"
	"testing"
)

// trained is a file of floats, without many strings.
const trained = "../../models/lenet5.onnx"

func BenchmarkPack(b *testing.B) {
	model, err := os.ReadFile(trained)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(model)))
	for b.Loop() {
		if _, err := Pack(model); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnpack(b *testing.B) {
	model, err := os.ReadFile(trained)
	if err != nil {
		b.Fatal(err)
	}
	packed, err := Pack(model)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(model)))
	for b.Loop() {
		if _, err := Unpack(packed, 0); err != nil {
			b.Fatal(err)
		}
	}
}

// TestSlot: the multiplication in a slot's update is the division that the
// format asks for.
func TestSlot(t *testing.T) {
	for n := range 1024 {
		for p := 0; p < 1<<22; p += 1 + n*37%4093 {
			for b := range 2 {
				goal := b * (1<<22 - 1)
				want := slot(p+(goal-p)*2/(2*n+3))<<10 | slot(min(n+1, 1000))
				if n >= 1000 {
					want = want&^1023 | slot(n)
				}
				got := slot(p<<10 | n)
				if got.update(b, 1000); got != want {
					t.Fatalf("%#x with count %d after %d: %#x, want %#x", p, n, b, got, want)
				}
			}
		}
	}
}

package kernel

import (
	"fmt"
	"math"
	"unsafe"
)

// Window slides over a row of channels-last pixels: each of its outputs is,
// for every channel alone, the sum of the taps times weights, plus a bias, or
// the maximum of the taps.
//
// Output pixel i reads, for tap t, the channels from X[i*Stride+Taps[t].X] on,
// and writes from Y[i*YStride] on.
type Window struct {
	Channels, Stride, YStride int
	Taps                      []Tap
	W                         []float32 // nil takes the maximum
	Bias                      []float32 // or nil
	Clamp                     bool      // bounds the results by Lo and Hi
	Lo, Hi                    float32
	offsets                   []int
}

// Tap is where a tap's values and its weights start.
type Tap struct{ X, W int }

// Prepare must be called once Taps is set, before Run.
func (w *Window) Prepare() {
	w.offsets = w.offsets[:0]
	for _, t := range w.Taps {
		w.offsets = append(w.offsets, 4*t.X, 4*t.W)
	}
}

// Run computes pixels outputs. It panics if a slice is too short.
func (w *Window) Run(y, x []float32, pixels int) {
	if pixels <= 0 || w.Channels == 0 {
		return
	}
	bad := w.Stride < 0 || (pixels-1)*w.YStride+w.Channels > len(y) || w.Bias != nil && len(w.Bias) < w.Channels || len(w.offsets) != 2*len(w.Taps)
	for _, t := range w.Taps {
		bad = bad || t.X < 0 || (pixels-1)*w.Stride+t.X+w.Channels > len(x) || w.W != nil && (t.W < 0 || t.W+w.Channels > len(w.W))
	}
	if bad {
		panic(fmt.Sprintf("kernel: window of %d taps over %d pixels of %d channels out of range", len(w.Taps), pixels, w.Channels))
	}
	done := 0
	if useAVX2 && len(w.Taps) > 0 {
		done = w.vectors(y, x, pixels)
	}
	if done < w.Channels {
		w.generic(y, x, pixels, done)
	}
}

// generic computes the channels from first on in plain Go.
func (w *Window) generic(y, x []float32, pixels, first int) {
	for i := range pixels {
		for c := first; c < w.Channels; c++ {
			v := float32(math.Inf(-1))
			if w.W != nil {
				v = 0
				if w.Bias != nil {
					v = w.Bias[c]
				}
			}
			for _, t := range w.Taps {
				p := x[i*w.Stride+t.X+c]
				if w.W != nil {
					v = FMA32(p, w.W[t.W+c], v)
				} else {
					v = greater(v, p)
				}
			}
			if w.Clamp {
				v = clamp(v, w.Lo, w.Hi)
			}
			y[i*w.YStride+c] = v
		}
	}
}

// windowArgs is the argument block of the assembly; _asm/float/window.go has
// its offsets. Distances are in bytes.
type windowArgs struct {
	x       unsafe.Pointer
	stride  int
	taps    unsafe.Pointer
	count   int
	w       unsafe.Pointer
	y       unsafe.Pointer
	yStride int
	vectors int
	bias    unsafe.Pointer
	clamp   int
	lo, hi  float32
}

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
// Output pixel i reads, for tap t, the channels from X[i*Stride+Taps[t]] on,
// and writes from Y[i*YStride] on.
type Window struct {
	Channels, Stride, YStride int
	Taps                      []int
	// W has the weights of tap t from t*WStride on; nil takes the maximum.
	W       []float32
	WStride int
	Bias    []float32 // or nil
	Clamp   bool      // bounds the results by Lo and Hi
	Lo, Hi  float32
	offsets []int
}

// Prepare must be called once the fields are set, before Run.
func (w *Window) Prepare() {
	w.offsets = w.offsets[:0]
	for _, t := range w.Taps {
		w.offsets = append(w.offsets, 4*t)
	}
}

// Run computes pixels outputs. It panics if a slice is too short.
func (w *Window) Run(y, x []float32, pixels int) {
	if pixels <= 0 || w.Channels == 0 || len(w.Taps) == 0 {
		return
	}
	low, high := w.Taps[0], w.Taps[0]
	for _, t := range w.Taps {
		low, high = min(low, t), max(high, t)
	}
	if low < 0 || w.Stride < 0 || (pixels-1)*w.Stride+high+w.Channels > len(x) || (pixels-1)*w.YStride+w.Channels > len(y) ||
		w.W != nil && (len(w.Taps)-1)*w.WStride+w.Channels > len(w.W) || w.Bias != nil && len(w.Bias) < w.Channels {
		panic(fmt.Sprintf("kernel: window of %d taps over %d pixels of %d channels out of range", len(w.Taps), pixels, w.Channels))
	}
	done := 0
	if useAVX2 {
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
			for t, at := range w.Taps {
				p := x[i*w.Stride+at+c]
				if w.W != nil {
					v += p * w.W[t*w.WStride+c]
				} else {
					v = max(v, p)
				}
			}
			if w.Clamp {
				v = min(max(v, w.Lo), w.Hi)
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
	wStride int
	y       unsafe.Pointer
	yStride int
	vectors int
	bias    unsafe.Pointer
	clamp   int
	lo, hi  float32
}

package calibrate

import (
	"fmt"
	"math"
)

// Channels holds the exact least and greatest finite value of each channel of a
// tensor, for per-axis quantization and for equalization between channels. The
// zero Channels is empty; the first Add sets how many channels there are.
type Channels struct {
	extremes []extremes
}

type extremes struct{ lo, hi float32 } // lo > hi if there was no finite value

// Add includes values, laid out as [outer, channels, inner] for any outer.
func (c *Channels) Add(values []float32, channels, inner int) error {
	if channels <= 0 || inner <= 0 || len(values)%channels != 0 || len(values)/channels%inner != 0 {
		return fmt.Errorf("%d values are not whole blocks of %d channels by %d", len(values), channels, inner)
	}
	if len(c.extremes) == 0 {
		c.init(channels)
	}
	if len(c.extremes) != channels {
		return fmt.Errorf("%d channels after %d", channels, len(c.extremes))
	}
	for i := 0; len(values) > 0; i = (i + 1) % channels {
		if lo, hi := finiteExtremes(values[:inner]); lo <= hi {
			c.extremes[i].widen(extremes{flush(lo), flush(hi)})
		}
		values = values[inner:]
	}
	return nil
}

func (c *Channels) init(channels int) {
	inf := float32(math.Inf(1))
	c.extremes = make([]extremes, channels)
	for i := range c.extremes {
		c.extremes[i] = extremes{inf, -inf}
	}
}

func (e *extremes) widen(o extremes) {
	e.lo, e.hi = min(e.lo, o.lo), max(e.hi, o.hi)
}

// Len returns the number of channels, 0 before the first Add.
func (c *Channels) Len() int { return len(c.extremes) }

// Range returns the extremes of channel i; ok is false if it had no finite
// value.
func (c *Channels) Range(i int) (r Range, ok bool) {
	e := c.extremes[i]
	if e.lo > e.hi {
		return Range{}, false
	}
	return Range{e.lo, e.hi}, true
}

// mergeable returns an error unless c and o agree on the number of channels.
func (c *Channels) mergeable(o *Channels) error {
	if a, b := c.Len(), o.Len(); a > 0 && b > 0 && a != b {
		return fmt.Errorf("%d channels against %d", a, b)
	}
	return nil
}

// Merge adds what o has seen to c.
func (c *Channels) Merge(o *Channels) error {
	if err := c.mergeable(o); err != nil {
		return err
	}
	if c.Len() == 0 && o.Len() > 0 {
		c.init(o.Len())
	}
	for i, e := range o.extremes {
		c.extremes[i].widen(e)
	}
	return nil
}

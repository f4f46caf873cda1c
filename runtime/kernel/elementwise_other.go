//go:build !amd64 || noasm

package kernel

func (f Function) vectors(dst, src []float32)                                 {}
func (o Binary) vectors(dst, a, b []float32)                                  {}
func affineVectors(dst, src, scale, shift []float32) int                      { return 0 }
func sumVectors(p *[16]float32, x []float32) int                              { return 0 }
func maxVectors(p *[16]float32, x []float32) int                              { return 0 }
func extremesVectors(p *[48]float32, x []float32) int                         { return 0 }
func minVectors(p *[16]float32, x []float32) int                              { return 0 }
func dotVectors(p *[16]float32, x, b []float32) int                           { return 0 }
func spreadVectors(p *[16]float32, x []float32, center float32) int           { return 0 }
func expSumVectors(p *[16]float32, dst, x []float32, center float32) int      { return 0 }
func widenVectors(dst []float32, src []uint16) int                            { return 0 }
func narrowVectors(dst []uint16, src []float32) int                           { return 0 }
func (t *Transform) vectors(dst, src, residual []float32)                     {}
func (w *Window) vectors(y, x []float32, pixels int) int                      { return 0 }
func (d *Depthwise) vectors(y, x []float32, rowStride, low, high, pixels int) {}
func sumRowsVectors(y, x []float32, stride, rows int) int                     { return 0 }

// Command int8 generates the amd64 assembly of the integer kernels.
package main

import (
	"flag"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	ConstraintExpr("!noasm")
	for _, v := range variants {
		for _, rows := range tileRows {
			for cols := 1; cols <= v.cols; cols *= 2 {
				v.tile(rows, cols)
			}
		}
	}
	for _, c := range widths {
		depthwise(c, true)
		depthwise(c, false)
		maxPool(c)
	}
	for _, l := range []lanes{lane16, lane8} {
		add8(l)
		mul8(l)
		quantize8(l)
		dequantize8(l)
		scale8(l)
	}
	widen8()
	table8()
	sum8()
	bounds()
	Generate()
	if err := encodeVEX(flag.Lookup("out").Value.String()); err != nil {
		panic(err)
	}
}

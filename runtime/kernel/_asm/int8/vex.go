package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

var dotProduct = regexp.MustCompile(`(?m)^\tVPDPBUSD +Y(\d+), Y(\d+), Y(\d+)$`)

// encodeVEX replaces VPDPBUSD in the functions named avxvnni..., which Go's
// assembler encodes for AVX-512 only, by the bytes of its AVX-VNNI form
// (VEX.256.66.0F38.W0 50 /r).
func encodeVEX(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	functions := strings.SplitAfter(string(b), "\tRET\n")
	for i, f := range functions {
		if !strings.Contains(f, "TEXT ·avxvnni") {
			continue
		}
		f = strings.Replace(f, "AVX512VL, AVX512VNNI", "AVXVNNI", 1)
		functions[i] = dotProduct.ReplaceAllStringFunc(f, func(line string) string {
			var r [3]int // the signed bytes, the unsigned bytes, the sums
			for k, text := range dotProduct.FindStringSubmatch(line)[1:] {
				if r[k], err = strconv.Atoi(text); err != nil || r[k] > 15 {
					panic(line)
				}
			}
			high := 0xe2 &^ (r[2] >> 3 << 7) &^ (r[0] >> 3 << 5)
			return fmt.Sprintf("\tBYTE $0xc4; BYTE $%#02x; BYTE $%#02x; BYTE $0x50; BYTE $%#02x // %s",
				high, 0x7d&^(r[1]<<3), 0xc0|r[2]&7<<3|r[0]&7, strings.Join(strings.Fields(line), " "))
		})
	}
	return os.WriteFile(path, []byte(strings.Join(functions, "")), 0o644)
}

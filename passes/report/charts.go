package report

import (
	"cmp"
	"fmt"
	"html"
	"html/template"
	"math"
	"slices"
	"strings"

	"onnxopt/passes/pass"
	"onnxopt/runtime/compare"
)

// drawing is an SVG under construction; colours come from the page's style.
type drawing struct {
	strings.Builder
	width, height float64
}

func (d *drawing) rect(x, y, w, h float64, fill, title string) {
	fmt.Fprintf(d, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s" rx="1.5">`, x, y, max(w, 0.5), max(h, 0.5), fill)
	if title != "" {
		fmt.Fprintf(d, "<title>%s</title>", html.EscapeString(title))
	}
	d.WriteString("</rect>")
}

func (d *drawing) hollow(x, y, w, h float64, stroke, title string) {
	fmt.Fprintf(d, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="none" stroke="%s" rx="1.5"><title>%s</title></rect>`,
		x, y, max(w, 0.5), h, stroke, html.EscapeString(title))
}

func (d *drawing) line(x1, y1, x2, y2 float64, stroke, dash string) {
	fmt.Fprintf(d, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-dasharray="%s"/>`, x1, y1, x2, y2, stroke, dash)
}

// text writes s at a point; anchor is start, middle or end.
func (d *drawing) text(x, y float64, anchor, class, s string) {
	fmt.Fprintf(d, `<text x="%.1f" y="%.1f" text-anchor="%s" class="%s">%s</text>`, x, y, anchor, class, html.EscapeString(s))
}

// svg is the picture; label describes it to readers who do not see it.
func (d *drawing) svg(label string) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %.0f %.0f" role="img" aria-label="%s">%s</svg>`, d.width, d.height, html.EscapeString(label), d.String()))
}

// pairChart is two horizontal bars.
func pairChart(label, unit string, before, after float64) template.HTML {
	d := &drawing{width: 320, height: 84}
	d.text(0, 14, "start", "ink", label)
	top := max(before, after, 1e-12)
	for i, v := range []float64{before, after} {
		y := 24 + float64(i)*28
		d.rect(58, y, 180*v/top, 20, []string{"var(--a)", "var(--b)"}[i], "")
		d.text(0, y+14, "start", "", []string{"before", "after"}[i])
		d.text(64+180*v/top, y+14, "start", "ink", number(v)+" "+unit)
	}
	return d.svg(fmt.Sprintf("%s: %s before, %s %s after", label, number(before), number(after), unit))
}

func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// signalChart is the SQNR of values in execution order.
func signalChart(list []compare.Tensor) template.HTML {
	list = slices.DeleteFunc(slices.Clone(list), func(t compare.Tensor) bool { return t.SQNR >= 199 })
	if len(list) == 0 {
		return ""
	}
	const left, bottom, height = 44.0, 20.0, 180.0
	d := &drawing{width: 1000, height: height + bottom + 10}
	top := 10.0
	for _, t := range list {
		top = max(top, min(finite(t.SQNR, 0), 80))
	}
	top = math.Ceil(top/10) * 10
	y := func(db float64) float64 { return 6 + height*(1-min(max(db, 0), top)/top) }
	for db := 0.0; db <= top; db += 10 {
		d.line(left, y(db), d.width, y(db), "var(--line)", "")
		d.text(left-6, y(db)+4, "end", "", fmt.Sprintf("%.0f dB", db))
	}
	step := (d.width - left) / float64(len(list))
	for i, t := range list {
		fill := "var(--b)"
		if t.SQNR < 10 {
			fill = "var(--bad)"
		}
		v := finite(t.SQNR, 0)
		d.rect(left+float64(i)*step, y(v), max(step-1.5, step*0.7), y(0)-y(v), fill, fmt.Sprintf("%s %s: %.1f dB", t.Op, t.Name, t.SQNR))
	}
	d.text(left, height+bottom+4, "start", "", "input")
	d.text(d.width, height+bottom+4, "end", "", "output")
	return d.svg(fmt.Sprintf("SQNR of %d values in execution order", len(list)))
}

// sensitivityChart lists the most sensitive layers; those in float are hollow.
func sensitivityChart(list []pass.Sensitivity, float []string) template.HTML {
	if len(list) == 0 {
		return ""
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b pass.Sensitivity) int { return cmp.Compare(a.SQNR, b.SQNR) })
	list = list[:min(len(list), 40)]
	const row, left = 19.0, 330.0
	d := &drawing{width: 1000, height: row*float64(len(list)) + 8}
	top := 10.0
	for _, s := range list {
		top = max(top, min(finite(s.SQNR, 0), 120))
	}
	for i, s := range list {
		y := float64(i) * row
		name := s.Op + " " + s.Node
		if r := []rune(name); len(r) > 52 {
			name = string(r[:24]) + "…" + string(r[len(r)-27:])
		}
		d.text(left-8, y+14, "end", "ink", name)
		w := (d.width - left - 70) * min(max(finite(s.SQNR, 0), 0), top) / top
		if slices.Contains(float, s.Node) {
			d.hollow(left, y+3, w, row-6, "var(--b)", "stayed in float")
		} else {
			d.rect(left, y+3, w, row-6, "var(--b)", "")
		}
		d.text(left+w+6, y+14, "start", "", fmt.Sprintf("%.1f dB", s.SQNR))
	}
	return d.svg(fmt.Sprintf("sensitivity of %d layers", len(list)))
}

// histogram is the values of one calibrated tensor with its range.
func histogram(g pass.Range) template.HTML {
	const bins, height = 96, 110.0
	least, greatest, _ := g.Sketch.MinMax()
	count := g.Sketch.Histogram(float64(least), float64(greatest), bins)
	lo, hi := float64(least), float64(greatest)
	lo, hi = min(lo, float64(g.Range.Min)), max(hi, float64(g.Range.Max))
	if !(hi > lo) {
		hi = lo + 1
	}
	d := &drawing{width: 380, height: height + 22}
	x := func(v float64) float64 { return 4 + (d.width-8)*(v-lo)/(hi-lo) }
	top := 0.0
	for _, c := range count {
		top = max(top, math.Log1p(c))
	}
	w := (float64(greatest) - float64(least)) / bins
	for i, c := range count {
		if c <= 0 {
			continue
		}
		h := (height - 6) * math.Log1p(c) / max(top, 1e-9)
		from := float64(least) + float64(i)*w
		d.rect(x(from), height-h, max(x(from+w)-x(from)-0.4, 0.6), h, "var(--a)", fmt.Sprintf("%.4g to %.4g: %.0f", from, from+w, c))
	}
	d.line(4, height, d.width-4, height, "var(--line)", "")
	for _, v := range []float32{g.Range.Min, g.Range.Max} {
		d.line(x(float64(v)), 0, x(float64(v)), height, "var(--b)", "4 2")
	}
	d.text(4, height+15, "start", "", number3(lo))
	d.text(d.width-4, height+15, "end", "", number3(hi))
	if lo < 0 && hi > 0 {
		d.text(x(0), height+15, "middle", "", "0")
	}
	return d.svg(fmt.Sprintf("histogram from %.4g to %.4g, range %.4g to %.4g", lo, hi, g.Range.Min, g.Range.Max))
}

func number3(v float64) string { return fmt.Sprintf("%.4g", v) }

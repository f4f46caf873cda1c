package op

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opStringNormalizer = &Def{
	Name: "StringNormalizer",
	Versions: []Version{
		{Since: 10, Schema: `X:string -> Y:string | case_change_action:string="NONE" is_case_sensitive:int=0 locale:string stopwords:strings |`},
	},
	Check: Exact,
	Infer: inferStringNormalizer,
	Eval:  evalStringNormalizer,
}

func inferStringNormalizer(f *Infer) error {
	s, ok := f.Shape(0)
	if !ok {
		return nil
	}
	if len(s) != 1 && (len(s) != 2 || s[0].Conflict(dim.Of(1))) {
		return fmt.Errorf("input %v, want [C] or [1, C]", f.Type(0))
	}
	words := s[len(s)-1]
	if len(f.Strings("stopwords")) > 0 || !words.Positive() {
		words = f.Symbol()
	}
	if len(s) == 2 {
		f.Set(0, dim.Of(1), words)
	} else {
		f.Set(0, words)
	}
	return nil
}

// evalStringNormalizer drops the elements that are stop words and changes the
// case of the rest; nothing left is one empty string.
func evalStringNormalizer(e *Eval) error {
	x := e.Tensor(0)
	if x.Rank() != 1 && (x.Rank() != 2 || x.Shape[0] != 1) {
		return fmt.Errorf("input %v, want [C] or [1, C]", x)
	}
	lower, upper := caseOf(e.Str("locale"))
	change := func(s string) string { return s }
	switch action := e.Str("case_change_action"); action {
	case "LOWER":
		change = lower
	case "UPPER":
		change = upper
	case "NONE":
	default:
		return fmt.Errorf("case_change_action %q", action)
	}
	key := lower
	if e.Int("is_case_sensitive") != 0 {
		key = func(s string) string { return s }
	}
	stop := map[string]bool{}
	for _, w := range e.Strings("stopwords") {
		stop[key(w)] = true
	}
	var out []string
	for _, s := range x.Strings() {
		if !stop[key(s)] {
			out = append(out, change(s))
		}
	}
	if len(out) == 0 {
		out = []string{""}
	}
	shape := slices.Clone(x.Shape)
	shape[len(shape)-1] = len(out)
	y, err := tensor.FromStrings(shape, out)
	e.Set(0, y)
	return err
}

// caseOf is the case mappings of a locale: Unicode's, with the dotless i of
// Turkish and Azeri.
func caseOf(locale string) (lower, upper func(string) string) {
	if language, _, _ := strings.Cut(locale, "_"); language == "tr" || language == "az" {
		return func(s string) string { return strings.ToLowerSpecial(unicode.TurkishCase, s) },
			func(s string) string { return strings.ToUpperSpecial(unicode.TurkishCase, s) }
	}
	return strings.ToLower, strings.ToUpper
}

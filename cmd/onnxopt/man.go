package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

// man prints the manual page, section 1, from the tables of verbs and flags.
func man(args []string, out io.Writer) error {
	if len(args) != 0 {
		return fmt.Errorf("usage: onnxopt man")
	}
	fmt.Fprintf(out, ".TH ONNXOPT 1 \"\" \"onnxopt %s\"\n", roff(version))
	fmt.Fprint(out, ".SH NAME\nonnxopt \\- make ONNX models smaller and faster, and prove on samples what that did\n")
	fmt.Fprint(out, ".SH SYNOPSIS\n.B onnxopt\n.I verb\n[\\fIflags\\fR] ...\n.SH VERBS\n")
	for _, v := range verbs {
		f := pflag.NewFlagSet(v.name, pflag.ContinueOnError)
		f.SortFlags = false
		v.setup(f)
		new(locker).declare(f)
		fmt.Fprintf(out, ".SS onnxopt %s %s\n%s.\n.PP\n.nf\n%s\n.fi\n", roff(v.name), roff(v.args), roff(v.doc), roff(v.example))
		manFlags(out, f)
	}
	fmt.Fprint(out, ".SH FLAGS OF EVERY VERB\n")
	f := pflag.NewFlagSet("", pflag.ContinueOnError)
	new(limits).declare(f)
	manFlags(out, f)
	fmt.Fprint(out, ".SH EXIT STATUS\n.TP\n0\nthe result is valid and within what was asked\n"+
		".TP\n1\nbad input, in one line that names file, node and cause\n"+
		".TP\n2\nthe result misses what was asked, and was not written\n")
	return nil
}

func manFlags(out io.Writer, f *pflag.FlagSet) {
	f.VisitAll(func(g *pflag.Flag) {
		if g.Hidden {
			return
		}
		value, doc := pflag.UnquoteUsage(g)
		name := "--" + g.Name
		if g.Shorthand != "" {
			name = "-" + g.Shorthand + ", " + name
		}
		if value != "" {
			value = " \\fI" + roff(value) + "\\fR"
		}
		fmt.Fprintf(out, ".TP\n\\fB%s\\fR%s\n%s", roff(name), value, roff(doc))
		if d := g.DefValue; d != "" && d != "[]" && d != "false" && d != "0" && d != "0s" {
			fmt.Fprintf(out, " (default %s)", roff(d))
		}
		fmt.Fprintln(out)
	})
}

// roff escapes text: backslashes, hyphens, and what begins a request.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

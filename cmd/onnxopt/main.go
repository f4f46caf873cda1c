// Command onnxopt makes ONNX models smaller and faster and proves on samples
// what that did to their answers.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/pflag"
)

// version is set at release with -ldflags "-X main.version=...".
var version = "development"

// verb is one subcommand.
type verb struct {
	name, args, doc, example string
	minArgs, maxArgs         int
	// setup declares flags and returns what runs with them.
	setup func(f *pflag.FlagSet) func(c *call) error
}

// call is one run of a verb.
type call struct {
	context.Context
	args   []string
	verbs  []verb    // every verb, for one that runs others
	out    io.Writer // results
	errOut io.Writer // progress
	tty    bool
}

// verbs is every subcommand, in the order of help.
var verbs = []verb{optimizeVerb, quantizeVerb, calibrateVerb, mergeVerb, lintVerb, simplifyVerb, compressVerb, distillVerb, bisectVerb, inspectVerb, compareVerb, runVerb, benchVerb, checkVerb, convertVerb, packVerb, unpackVerb, verifyLockVerb, passesVerb, opsVerb}

// exitError ends the program with a code other than 1.
type exitError struct {
	code int
	err  error
}

func (e exitError) Error() string { return e.err.Error() }

// refuse is the end of a run whose result does not hold what was asked: code 2.
func refuse(format string, args ...any) error {
	return exitError{2, fmt.Errorf(format, args...)}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the program without its process: it returns the exit code.
func run(ctx context.Context, args []string, out, errOut io.Writer) (code int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(errOut, "onnxopt: internal error: %v (please report it with the model)\n", p)
			code = 1
		}
	}()
	err := dispatch(ctx, args, out, errOut)
	if err == nil || errors.Is(err, pflag.ErrHelp) {
		return 0
	}
	fmt.Fprintf(errOut, "onnxopt: %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
	var e exitError
	if errors.As(err, &e) {
		return e.code
	}
	return 1
}

func dispatch(ctx context.Context, args []string, out, errOut io.Writer) error {
	if len(args) == 0 {
		usage(errOut)
		return fmt.Errorf("no verb given")
	}
	switch args[0] {
	case "help", "--help", "-h":
		if len(args) > 1 {
			return dispatch(ctx, []string{args[1], "--help"}, out, errOut)
		}
		usage(out)
		return nil
	case "version", "--version":
		fmt.Fprintf(out, "onnxopt %s\n", version)
		return nil
	case "completion":
		return completion(args[1:], out)
	case "man":
		return man(args[1:], out)
	}
	i := slices.IndexFunc(verbs, func(v verb) bool { return v.name == args[0] })
	if i < 0 {
		return fmt.Errorf("unknown verb %q: see onnxopt help", args[0])
	}
	v := &verbs[i]
	f := pflag.NewFlagSet(v.name, pflag.ContinueOnError)
	f.SortFlags = false
	f.SetOutput(io.Discard)
	run := v.setup(f)
	var l limits
	l.declare(f)
	var k locker
	k.declare(f)
	var prof profiler
	prof.declare(f)
	f.Usage = func() { v.usage(out, f) }
	if err := f.Parse(args[1:]); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%s: %w (see onnxopt %s --help)", v.name, err, v.name)
	}
	if n := f.NArg(); n < v.minArgs || n > v.maxArgs {
		return fmt.Errorf("usage: onnxopt %s %s", v.name, v.args)
	}
	bounded, lift, err := l.enforce(ctx, exitNow)
	if err != nil {
		return fmt.Errorf("%s: %w", v.name, err)
	}
	defer lift()
	stop, err := prof.start()
	if err != nil {
		return fmt.Errorf("--cpuprofile: %w", err)
	}
	defer stop()
	if err = k.begin(bounded, v.name, f); err == nil {
		err = run(&call{Context: bounded, verbs: verbs, args: f.Args(), out: out, errOut: errOut, tty: isTerminal(errOut)})
	}
	if err == nil {
		err = k.finish(bounded)
	}
	if cause := context.Cause(bounded); err != nil && cause != nil && errors.Is(err, context.Canceled) {
		return stopped(cause)
	}
	return err
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func usage(w io.Writer) {
	fmt.Fprint(w, "onnxopt makes ONNX models smaller and faster, and proves on your samples what that did.\n\nUsage: onnxopt VERB ...\n\n")
	for _, v := range verbs {
		fmt.Fprintf(w, "  %-11s %s\n", v.name, v.doc)
	}
	fmt.Fprintf(w, "  %-11s %s\n  %-11s %s\n  %-11s %s\n\n", "completion", "print shell completion for bash, zsh or fish", "man", "print the manual page", "version", "print the version")
	fmt.Fprint(w, "Example: onnxopt optimize model.onnx --data samples.npz -o model.opt.onnx\nSee onnxopt VERB --help.\n")
}

func (v *verb) usage(w io.Writer, f *pflag.FlagSet) {
	fmt.Fprintf(w, "%s\n\nUsage: onnxopt %s %s [flags]\n\nExample: %s\n\nFlags:\n%s", v.doc, v.name, v.args, v.example, f.FlagUsages())
}

// completion prints a script that completes verbs and their flags.
func completion(args []string, out io.Writer) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: onnxopt completion bash|zsh|fish")
	}
	names := []string{"help", "version", "completion", "man"}
	flags := map[string][]string{}
	for _, v := range verbs {
		names = append(names, v.name)
		f := pflag.NewFlagSet(v.name, pflag.ContinueOnError)
		v.setup(f)
		new(limits).declare(f)
		new(locker).declare(f)
		f.VisitAll(func(g *pflag.Flag) { flags[v.name] = append(flags[v.name], "--"+g.Name) })
	}
	switch args[0] {
	case "bash", "zsh":
		if args[0] == "zsh" {
			fmt.Fprintln(out, "autoload -U +X bashcompinit && bashcompinit")
		}
		fmt.Fprint(out, "_onnxopt() {\n  local w=\"${COMP_WORDS[COMP_CWORD]}\"\n  if [ \"$COMP_CWORD\" -eq 1 ]; then\n")
		fmt.Fprintf(out, "    COMPREPLY=($(compgen -W \"%s\" -- \"$w\")); return\n  fi\n", strings.Join(names, " "))
		fmt.Fprint(out, "  case \"${COMP_WORDS[1]}\" in\n")
		for _, v := range verbs {
			fmt.Fprintf(out, "    %s) case \"$w\" in -*) COMPREPLY=($(compgen -W \"%s\" -- \"$w\"));; *) COMPREPLY=($(compgen -f -- \"$w\"));; esac;;\n",
				v.name, strings.Join(flags[v.name], " "))
		}
		fmt.Fprint(out, "  esac\n}\ncomplete -o filenames -F _onnxopt onnxopt\n")
	case "fish":
		fmt.Fprintf(out, "complete -c onnxopt -n __fish_use_subcommand -a \"%s\"\n", strings.Join(names, " "))
		for _, v := range verbs {
			for _, f := range flags[v.name] {
				fmt.Fprintf(out, "complete -c onnxopt -n \"__fish_seen_subcommand_from %s\" -l %s\n", v.name, f[2:])
			}
		}
	default:
		return fmt.Errorf("completion: unknown shell %q", args[0])
	}
	return nil
}

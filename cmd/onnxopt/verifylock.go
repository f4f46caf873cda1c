package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

var verifyLockVerb = verb{
	name: "verify-lock", args: "LOCK", minArgs: 1, maxArgs: 1,
	doc:     "repeat the run of a --lock file and name what differs",
	example: "onnxopt verify-lock model.lock",
	setup: func(f *pflag.FlagSet) func(*call) error {
		v := &lockVerifier{}
		f.IntVar(&v.threads, "threads", 0, "threads instead of those of the run; the result must not depend on it")
		f.StringVar(&v.scratch, "scratch", "", "folder to write the repeated result to, for a while (default the system's)")
		return v.run
	},
}

type lockVerifier struct {
	threads int
	scratch string

	c     *call
	lock  *lock
	wrong int // differences
}

func (v *lockVerifier) run(c *call) error {
	v.c = c
	path := c.args[0]
	var err error
	if v.lock, err = readLock(path); err != nil {
		return err
	}
	folder := v.lock.Folder
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(filepath.Dir(path), folder)
	}
	if v.scratch != "" {
		if v.scratch, err = filepath.Abs(v.scratch); err != nil {
			return err
		}
	}
	if err := os.Chdir(folder); err != nil {
		return fmt.Errorf("%s: the folder of the run: %w", path, err)
	}
	if err := v.compare(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	switch v.wrong {
	case 0:
		fmt.Fprintf(c.out, "%s: the same run gives the same bytes\n", path)
		return nil
	case 1:
		return fmt.Errorf("%s: 1 difference", path)
	}
	return fmt.Errorf("%s: %d differences", path, v.wrong)
}

// note prints a line that is no difference by itself.
func (v *lockVerifier) note(format string, args ...any) { fmt.Fprintf(v.c.out, format+"\n", args...) }

func (v *lockVerifier) differ(format string, args ...any) {
	v.wrong++
	v.note(format, args...)
}

// compare looks at the inputs and outputs that are there, and repeats the run if
// the inputs are those of the lock.
func (v *lockVerifier) compare() error {
	l := v.lock
	if now := programVersion(); now != l.Version {
		v.note("version: was %s, is %s", l.Version, now)
	}
	if err := v.files("input", l.Inputs, func(p string) string { return p }, false); err != nil {
		return err
	}
	if v.wrong > 0 {
		return nil
	}
	if err := v.files("output", l.Outputs, func(p string) string { return p }, true); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(v.scratch, "onnxopt-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := v.repeat(filepath.Join(dir, filepath.Base(l.output()))); err != nil {
		return fmt.Errorf("the run failed: %w", err)
	}
	beside := filepath.Dir(l.output())
	return v.files("result", l.Outputs, func(p string) string {
		name, err := filepath.Rel(beside, p)
		if err != nil {
			return p
		}
		return filepath.Join(dir, name)
	}, false)
}

// files compares files with their hashes in the lock.
func (v *lockVerifier) files(what string, list []lockedFile, at func(string) string, mayMiss bool) error {
	for _, want := range list {
		got, err := lockFiles(v.c, []string{at(want.Path)})
		switch {
		case errors.Is(err, fs.ErrNotExist) && mayMiss:
			v.note("%s %s: not there", what, want.Path)
		case errors.Is(err, fs.ErrNotExist):
			v.differ("%s %s: not there", what, want.Path)
		case err != nil:
			return err
		case got[0].SHA256 != want.SHA256:
			v.differ("%s %s: %s, was %s", what, want.Path, got[0].text(), want.text())
		}
	}
	return nil
}

func (f lockedFile) text() string {
	s := fmt.Sprintf("%d bytes of sha256 %.16s", f.Bytes, f.SHA256)
	if f.Files > 0 {
		s = fmt.Sprintf("%d files, ", f.Files) + s
	}
	return s
}

// repeat runs the verb again and writes to out.
func (v *lockVerifier) repeat(out string) error {
	l := v.lock
	verbs := v.c.verbs
	i := slices.IndexFunc(verbs, func(x verb) bool { return x.name == l.Verb })
	if i < 0 {
		return fmt.Errorf("verb %q is not known", l.Verb)
	}
	f := pflag.NewFlagSet(l.Verb, pflag.ContinueOnError)
	run := verbs[i].setup(f)
	if f.Lookup("output") == nil || len(l.Args) < verbs[i].minArgs || len(l.Args) > verbs[i].maxArgs {
		return fmt.Errorf("verb %s does not write with these arguments", l.Verb)
	}
	var now []string
	f.VisitAll(func(g *pflag.Flag) { now = append(now, optionTexts(g)...) })
	for _, o := range l.Defaults {
		if name, _, _ := strings.Cut(o, "="); !slices.Contains(now, o) {
			v.note("option %s: the default is another, was %s", name, o)
		}
	}
	options := append(slices.Clone(l.Options), "--output="+out)
	if v.threads > 0 && f.Lookup("threads") != nil {
		options = append(options, fmt.Sprintf("--threads=%d", v.threads))
	}
	if err := setOptions(f, options); err != nil {
		return err
	}
	return run(&call{Context: v.c, verbs: verbs, args: l.Args, out: io.Discard, errOut: v.c.errOut, tty: v.c.tty})
}

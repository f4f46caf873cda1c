package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"onnxopt/onnx"
	"onnxopt/runtime/samples"
)

// lock is the file of --lock: what a run read, what it was told and what it
// wrote. Paths are as given on the command line, in Folder.
type lock struct {
	Format   int          `json:"format"`
	Version  string       `json:"version"` // of the program
	Verb     string       `json:"verb"`
	Folder   string       `json:"folder"` // where it ran, relative to the lock file if it can be
	Args     []string     `json:"arguments"`
	Options  []string     `json:"options"`  // as given, --name=value
	Defaults []string     `json:"defaults"` // the other options
	Inputs   []lockedFile `json:"inputs"`
	Outputs  []lockedFile `json:"outputs"`
}

// lockedFile is a file, or a folder with all regular files below it, whose
// hash is that of their paths, sizes and hashes in order.
type lockedFile struct {
	Path   string `json:"path"`
	Files  int    `json:"files,omitempty"` // in a folder
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

const lockFormat = 1

// What options of writing verbs mean for a lock; all others change the result.
var (
	lockInputs = []string{"data", "labels", "calibration", "ranges", "recipe", "test", "test-labels", "student"}
	// Other things to write or to show, and limits: they do not change the result.
	lockIgnored = []string{"lock", "timeout", "max-memory", "json", "quiet", "verbose", "stats", "ledger", "print-after",
		"report", "save-recipe", "html", "checkpoint", "keep-front"}
)

// locker writes the lock of one run.
type locker struct {
	path string
	lock lock
}

// declare adds --lock to a verb that writes.
func (l *locker) declare(f *pflag.FlagSet) {
	if f.Lookup("output") == nil {
		return
	}
	f.StringVar(&l.path, "lock", "", "write the hashes of model, samples, options and result to this file, for verify-lock")
}

// begin notes what the run starts from.
func (l *locker) begin(c context.Context, verb string, f *pflag.FlagSet) error {
	if l.path == "" {
		return nil
	}
	if out := f.Lookup("output").Value.String(); out == "" || out == "-" {
		return errors.New("--lock: give -o OUT")
	} else if filepath.Clean(out) == filepath.Clean(l.path) {
		return fmt.Errorf("--lock: %s is the output file", l.path)
	}
	l.lock = lock{Format: lockFormat, Version: programVersion(), Verb: verb, Folder: ".", Args: f.Args()}
	here, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	there, err := filepath.Abs(filepath.Dir(l.path))
	if err != nil {
		return err
	}
	if l.lock.Folder, err = filepath.Rel(there, here); err != nil {
		l.lock.Folder = here // another drive
	}
	f.VisitAll(func(g *pflag.Flag) {
		switch {
		case slices.Contains(lockIgnored, g.Name):
		case g.Changed:
			l.lock.Options = append(l.lock.Options, optionTexts(g)...)
		default:
			l.lock.Defaults = append(l.lock.Defaults, optionTexts(g)...)
		}
	})
	l.lock.Inputs, err = lockFiles(c, inputPaths(f))
	return err
}

// finish writes the lock of a run that succeeded.
func (l *locker) finish(c context.Context) error {
	if l.path == "" {
		return nil
	}
	var err error
	if l.lock.Outputs, err = lockFiles(c, withDataFiles(l.lock.output())); err != nil {
		return err
	}
	return writeFile(c, l.path, func(w io.Writer) error { return writeJSON(w, &l.lock) })
}

// output is the path that the run wrote.
func (l *lock) output() string {
	for _, o := range l.Options {
		if path, ok := strings.CutPrefix(o, "--output="); ok {
			return path
		}
	}
	return ""
}

// optionTexts is --name=value of a flag, one for each element of a list.
func optionTexts(g *pflag.Flag) []string {
	values := []string{g.Value.String()}
	if s, ok := g.Value.(pflag.SliceValue); ok {
		values = s.GetSlice()
	}
	for i, v := range values {
		values[i] = "--" + g.Name + "=" + v
	}
	return values
}

// setOptions gives flags the values of optionTexts.
func setOptions(f *pflag.FlagSet, options []string) error {
	lists := map[string][]string{}
	for _, o := range options {
		name, value, ok := strings.Cut(strings.TrimPrefix(o, "--"), "=")
		g := f.Lookup(name)
		if g == nil || !ok {
			return fmt.Errorf("option %s is not known", o)
		}
		g.Changed = true
		err := error(nil)
		if s, ok := g.Value.(pflag.SliceValue); ok {
			lists[name] = append(lists[name], value)
			err = s.Replace(lists[name])
		} else {
			err = g.Value.Set(value)
		}
		if err != nil {
			return fmt.Errorf("option %s: %w", o, err)
		}
	}
	return nil
}

// inputPaths is what a run with these flags and arguments reads.
func inputPaths(f *pflag.FlagSet) []string {
	var paths []string
	for _, a := range f.Args() {
		paths = append(paths, withDataFiles(a)...)
	}
	for _, name := range lockInputs {
		g := f.Lookup(name)
		if g == nil || g.Value.String() == "" {
			continue
		}
		path := g.Value.String()
		paths = append(paths, withDataFiles(path)...)
		if labels := samples.LabelsBeside(path); labels != "" {
			paths = append(paths, labels)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// withDataFiles is path and the files of its external data, if it is a model
// that has some.
func withDataFiles(path string) []string {
	paths := []string{path}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return paths
	}
	m, err := onnx.Load(path)
	if err != nil {
		return paths
	}
	for _, location := range onnx.DataFiles(m) {
		paths = append(paths, filepath.Join(filepath.Dir(path), location))
	}
	return paths
}

// lockFiles hashes files and folders. Others have no contents to hash.
func lockFiles(c context.Context, paths []string) ([]lockedFile, error) {
	list := make([]lockedFile, len(paths))
	for i, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		hash := hashFile
		if info.IsDir() {
			hash = hashFolder
		}
		if list[i], err = hash(c, path); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func hashFile(c context.Context, path string) (lockedFile, error) {
	info, err := os.Stat(path)
	if err != nil {
		return lockedFile{}, err
	}
	if !info.Mode().IsRegular() {
		return lockedFile{}, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return lockedFile{}, err
	}
	defer f.Close()
	h := sha256.New()
	n := int64(0)
	for err == nil && c.Err() == nil {
		var k int64
		k, err = io.CopyN(h, f, 1<<24)
		n += k
	}
	if err != nil && err != io.EOF {
		return lockedFile{}, err
	}
	return lockedFile{Path: path, Bytes: n, SHA256: hex.EncodeToString(h.Sum(nil))}, c.Err()
}

func hashFolder(c context.Context, dir string) (lockedFile, error) {
	all := lockedFile{Path: dir}
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
			return err
		}
		x, err := hashFile(c, path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		fmt.Fprintf(h, "%q %d %s\n", filepath.ToSlash(name), x.Bytes, x.SHA256)
		all.Files++
		all.Bytes += x.Bytes
		return err
	})
	all.SHA256 = hex.EncodeToString(h.Sum(nil))
	return all, err
}

// programVersion is the version, with the commit if the build knows it.
func programVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version
	}
	v := version
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			v += " " + s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			v += " modified"
		}
	}
	return v
}

func readLock(path string) (*lock, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	l := &lock{}
	if err := json.Unmarshal(b, l); err != nil {
		return nil, fmt.Errorf("%s: not a lock file: %w", path, err)
	}
	if l.Format != lockFormat {
		return nil, fmt.Errorf("%s: not a lock file of format %d", path, lockFormat)
	}
	return l, nil
}

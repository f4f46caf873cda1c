package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"onnxopt": measuredMain})
}

// peakFile names, in the environment, the file into which the command writes
// the most resident bytes that it had.
const peakFile = "ONNXOPT_TEST_PEAK"

func measuredMain() {
	f := os.Getenv(peakFile)
	if f == "" {
		main()
	}
	code := run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)
	if err := os.WriteFile(f, []byte(strconv.Itoa(peakMemory())), 0o666); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// TestScripts runs the command as users do. Beyond testscript's own commands:
//
//	model TEXT FILE        writes the model of an ONNX text
//	head N FROM FILE       writes the first N bytes of a file
//	noise N FILE           writes N random bytes
//	external FROM FILE     writes a model with its tensors in a file beside it
//	replace A B FROM FILE  writes a file with every A replaced by B
//	frugal MB CMD ...      runs a command that must fail well: see scriptFrugal
func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("MODELS", filepath.Join(root, "models"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"model": scriptModel, "head": scriptHead, "noise": scriptNoise, "frugal": scriptFrugal, "external": scriptExternal, "replace": scriptReplace,
		},
	})
}

func scriptModel(ts *testscript.TestScript, _ bool, args []string) {
	m, err := graph.Parse(ts.ReadFile(args[0]))
	ts.Check(err)
	ts.Check(onnx.Save(m, ts.MkAbs(args[1]), onnx.SaveOptions{}))
}

func scriptExternal(ts *testscript.TestScript, _ bool, args []string) {
	m, err := onnx.Load(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Check(onnx.Save(m, ts.MkAbs(args[1]), onnx.SaveOptions{External: true}))
}

func scriptReplace(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), []byte(strings.ReplaceAll(ts.ReadFile(args[2]), args[0], args[1])), 0o666))
}

func scriptHead(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(ts.ReadFile(args[1])[:n]), 0o666))
}

func scriptNoise(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o666))
}

var oneLine = regexp.MustCompile(`\Aonnxopt: [^\n]+\n\z`)

// scriptFrugal runs the command, which must fail with one line, exit code 1
// and at most so many MB of resident memory, and leave no file "out.onnx".
func scriptFrugal(ts *testscript.TestScript, _ bool, args []string) {
	limit, err := strconv.Atoi(args[0])
	ts.Check(err)
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	c := exec.Command(path, args[2:]...)
	c.Dir = ts.MkAbs(".")
	file := filepath.Join(ts.Getenv("WORK"), "peak")
	c.Env = append(c.Environ(), peakFile+"="+file)
	var b bytes.Buffer
	c.Stderr = &b
	if err := c.Run(); c.ProcessState == nil {
		ts.Fatalf("%s: %v", path, err)
	}
	code, stderr := c.ProcessState.ExitCode(), b.String()
	peak, err := strconv.Atoi(ts.ReadFile(file))
	ts.Check(err)
	if code != 1 || !oneLine.MatchString(stderr) {
		ts.Fatalf("exit code %d, message %q", code, stderr)
	}
	if peak > limit<<20 {
		ts.Fatalf("%d MB of memory", peak>>20)
	}
	if _, err := os.Stat(ts.MkAbs("out.onnx")); err == nil {
		ts.Fatalf("out.onnx was written")
	}
	fmt.Fprint(ts.Stdout(), stderr)
}

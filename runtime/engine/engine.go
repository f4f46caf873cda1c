// Package engine runs models in other runtimes, each a helper program, so
// that they can be compared with this one and cannot take it down.
//
// A helper named onnxopt-NAME is started with the path of a library, the model
// and the number of threads. It answers "ready NANOSECONDS VERSION", and to each request "ok
// NANOSECONDS" and the outputs, or "error REASON". Tensors travel as their number and, for each,
// element type, rank, sizes and number of bytes as little-endian 64-bit integers, then those bytes.
package engine

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"onnxopt/onnx/tensor"
)

// Options of Start.
type Options struct {
	Threads int // 0 is 1
	// Library is the path of the engine's shared library. "" takes the variable ONNXOPT_ONNXRUNTIME,
	// or for any other engine its name.
	Library string
}

// Engine is a model in another runtime.
type Engine struct {
	Name, Version string
	Load          time.Duration // of the library and the model
	command       *exec.Cmd
	in            io.WriteCloser
	out           *bufio.Reader
}

// maxOutput bounds what a helper may announce as one output.
const maxOutput = 4 << 30

// Start loads the model file at path into the engine. Its helper program is looked for beside
// this one, then on the PATH.
func Start(ctx context.Context, name, path string, o Options) (*Engine, error) {
	e, err := start(ctx, name, path, o)
	if err != nil {
		return nil, fmt.Errorf("engine %s: %w", name, err)
	}
	return e, nil
}

func start(ctx context.Context, name, path string, o Options) (*Engine, error) {
	helper, err := find("onnxopt-" + name)
	if err != nil {
		return nil, err
	}
	variable := "ONNXOPT_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	if o.Library == "" {
		o.Library = os.Getenv(variable)
	}
	if o.Library == "" {
		return nil, fmt.Errorf("its library is not known: set %s to the path of lib%s.so (Python's package has it in its folder capi)", variable, name)
	}
	if _, err := os.Stat(o.Library); err != nil {
		return nil, fmt.Errorf("its library: %w", err)
	}
	e := &Engine{Name: name, command: exec.CommandContext(ctx, helper, o.Library, path, strconv.Itoa(max(o.Threads, 1)))}
	if e.in, err = e.command.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := e.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	e.out = bufio.NewReaderSize(out, 1<<16)
	if err := e.command.Start(); err != nil {
		return nil, err
	}
	nanos, rest, err := e.answer("ready")
	if err != nil {
		e.Close()
		return nil, err
	}
	e.Load, e.Version = nanos, rest
	return e, nil
}

// find looks for a program beside this one, then on the PATH.
func find(program string) (string, error) {
	if self, err := os.Executable(); err == nil {
		if path, err := exec.LookPath(filepath.Join(filepath.Dir(self), program)); err == nil {
			return path, nil
		}
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("the program %s is neither beside onnxopt nor on the PATH", program)
	}
	return path, nil
}

// answer reads one line that begins with want.
func (e *Engine) answer(want string) (time.Duration, string, error) {
	line, err := e.out.ReadString('\n')
	if err != nil {
		return 0, "", fmt.Errorf("it ended without an answer: %w", err)
	}
	word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	if word == "error" {
		return 0, "", errors.New(rest)
	}
	number, rest, _ := strings.Cut(rest, " ")
	nanos, err := strconv.ParseInt(number, 10, 64)
	if word != want || err != nil {
		return 0, "", fmt.Errorf("it answered %.40q", line)
	}
	return time.Duration(nanos), rest, nil
}

// Run computes the outputs, in the model's order, and says how long that took
// in the engine.
func (e *Engine) Run(in []tensor.Value) ([]*tensor.Tensor, time.Duration, error) {
	out, took, err := e.run(in)
	if err != nil {
		return nil, 0, fmt.Errorf("engine %s: %w", e.Name, err)
	}
	return out, took, nil
}

func (e *Engine) run(in []tensor.Value) ([]*tensor.Tensor, time.Duration, error) {
	w := bufio.NewWriterSize(e.in, 1<<16)
	put := func(v ...int64) { _ = binary.Write(w, binary.LittleEndian, v) } // Flush has the error
	put(int64(len(in)))
	for i, v := range in {
		t, ok := v.(*tensor.Tensor)
		if !ok || t.Type == tensor.String {
			return nil, 0, fmt.Errorf("input %d is no tensor of numbers", i)
		}
		put(int64(t.Type), int64(t.Rank()))
		for _, d := range t.Shape {
			put(int64(d))
		}
		put(int64(len(t.Bytes())))
		w.Write(t.Bytes())
	}
	if err := w.Flush(); err != nil {
		return nil, 0, err
	}
	took, _, err := e.answer("ok")
	if err != nil {
		return nil, 0, err
	}
	n, err := e.ints(1)
	if err != nil {
		return nil, 0, err
	}
	var out []*tensor.Tensor
	for range n[0] {
		t, err := e.tensor()
		if err != nil {
			return nil, 0, err
		}
		out = append(out, t)
	}
	return out, took, nil
}

func (e *Engine) ints(n int) ([]int64, error) {
	v := make([]int64, n)
	return v, binary.Read(e.out, binary.LittleEndian, v)
}

func (e *Engine) tensor() (*tensor.Tensor, error) {
	head, err := e.ints(2)
	if err != nil {
		return nil, err
	}
	if head[0] < 0 || !tensor.DType(head[0]).Valid() || head[1] < 0 || head[1] > 64 {
		return nil, fmt.Errorf("it answered with type %d of rank %d", head[0], head[1])
	}
	rest, err := e.ints(int(head[1]) + 1)
	if err != nil {
		return nil, err
	}
	shape := make([]int, head[1])
	for i := range shape {
		shape[i] = int(rest[i])
	}
	size := rest[len(shape)]
	if want, err := tensor.ByteSize(tensor.DType(head[0]), shape); err != nil || int64(want) != size || size > maxOutput {
		return nil, fmt.Errorf("it answered with %d bytes for shape %v", size, shape)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(e.out, b); err != nil {
		return nil, err
	}
	return tensor.FromBytes(tensor.DType(head[0]), shape, b)
}

// Close ends the helper.
func (e *Engine) Close() error {
	e.in.Close()
	return e.command.Wait()
}

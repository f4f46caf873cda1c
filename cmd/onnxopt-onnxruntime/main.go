// Command onnxopt-onnxruntime runs a model in onnxruntime for onnxopt's
// comparisons, in a process of its own: the library is loaded at run time, which a
// static binary cannot do.
//
//	onnxopt-onnxruntime LIBRARY MODEL THREADS
//
// It speaks the protocol of package onnxopt/runtime/engine on standard input and output.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	if err := serve(os.Args[1:], bufio.NewReader(os.Stdin), out); err != nil {
		fmt.Fprintf(out, "error %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		out.Flush()
		os.Exit(1)
	}
}

func serve(args []string, in *bufio.Reader, out *bufio.Writer) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: onnxopt-onnxruntime LIBRARY MODEL THREADS")
	}
	threads, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	start := time.Now()
	a, err := open(args[0])
	if err != nil {
		return err
	}
	s, err := a.newSession(args[1], threads)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "ready %d %s\n", time.Since(start).Nanoseconds(), a.version)
	for {
		if err := out.Flush(); err != nil {
			return err
		}
		arrays, err := readArrays(in)
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var took time.Duration
		results, err := s.run(arrays, func(compute func() error) error {
			start := time.Now()
			defer func() { took = time.Since(start) }()
			return compute()
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "ok %d\n", took.Nanoseconds())
		if err := writeArrays(out, results); err != nil {
			return err
		}
	}
}

// Tensors travel as their number and, for each, its type, its rank, its sizes and the number of its bytes, all as
// little-endian 64-bit integers, and then those bytes.
func readArrays(r io.Reader) ([]array, error) {
	n, err := readInts(r, 1)
	if err != nil {
		return nil, err
	}
	list := make([]array, n[0])
	for i := range list {
		head, err := readInts(r, 2)
		if err != nil {
			return nil, err
		}
		rest, err := readInts(r, int(head[1])+1)
		if err != nil {
			return nil, err
		}
		list[i] = array{elem: head[0], dims: rest[:head[1]], data: make([]byte, rest[head[1]])}
		if _, err := io.ReadFull(r, list[i].data); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func readInts(r io.Reader, n int) ([]int64, error) {
	v := make([]int64, n)
	return v, binary.Read(r, binary.LittleEndian, v)
}

func writeArrays(w io.Writer, list []array) error {
	if err := binary.Write(w, binary.LittleEndian, int64(len(list))); err != nil {
		return err
	}
	for _, a := range list {
		head := append([]int64{a.elem, int64(len(a.dims))}, a.dims...)
		if err := binary.Write(w, binary.LittleEndian, append(head, int64(len(a.data)))); err != nil {
			return err
		}
		if _, err := w.Write(a.data); err != nil {
			return err
		}
	}
	return nil
}

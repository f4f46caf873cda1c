package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"onnxopt/onnx"
	"onnxopt/onnx/graph"
)

// loadModel reads a model and puts its nodes in order if they are not.
func loadModel(path string) (*graph.Model, error) {
	m, err := onnx.Load(path)
	if err != nil {
		return nil, err
	}
	if m.Verify() != nil {
		if err := m.Graph.Sort(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if err := m.Verify(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// fileSize is the bytes of a model file, without external data.
func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// parameters is the number of elements in the initializers of g and its
// subgraphs.
func parameters(g *graph.Graph) int {
	n := 0
	count := func(g *graph.Graph) {
		for v := range g.Initializers() {
			switch {
			case v.Data.Tensor != nil:
				n += v.Data.Tensor.Len()
			case v.Data.Sparse != nil:
				n += v.Data.Sparse.Values.Len()
			}
		}
	}
	count(g)
	for node := range g.All() {
		for sub := range node.Subgraphs() {
			count(sub)
		}
	}
	return n
}

// nodes is the number of nodes with those of subgraphs.
func nodes(g *graph.Graph) int {
	n := 0
	for range g.All() {
		n++
	}
	return n
}

// writeFile writes a file whole or not at all.
func writeFile(c context.Context, path string, write func(io.Writer) error) error {
	err := onnx.WriteTo(c, path, write)
	if cause := (*fs.PathError)(nil); errors.As(err, &cause) {
		err = cause.Err
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// writeBytes is writeFile of b.
func writeBytes(c context.Context, path string, b []byte) error {
	return writeFile(c, path, func(w io.Writer) error { _, err := w.Write(b); return err })
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// bytesText is a size for people.
func bytesText(n int64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 10<<10:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

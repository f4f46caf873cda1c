package onnx_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"onnxopt/onnx"
)

// A model is read, changed and written. Its weights alias the mapped file.
func Example() {
	m, err := onnx.Load("../models/lenet5.onnx")
	if err != nil {
		log.Fatal(err)
	}
	for _, v := range m.Graph.Inputs() {
		fmt.Println("input", v.Name, v.Type)
	}
	for _, v := range m.Graph.Outputs() {
		fmt.Println("output", v.Name, v.Type)
	}
	m.Doc = "digits"
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	// External: weights of 1 KB and more beside the file, as it is done by itself
	// for models of more than 2 GB.
	if err := onnx.Save(m, filepath.Join(dir, "digits.onnx"), onnx.SaveOptions{External: true}); err != nil {
		log.Fatal(err)
	}
	again, err := onnx.Load(filepath.Join(dir, "digits.onnx"))
	fmt.Println(again.Doc, err)
	// Output:
	// input input float[N,1,28,28]
	// output logits float[N,10]
	// digits <nil>
}

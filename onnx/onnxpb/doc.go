// Package onnxpb is the generated protobuf code of the ONNX wire format. Only
// package onnx imports it.
package onnxpb

//go:generate protoc --go_out=. --go_opt=paths=source_relative onnx.proto

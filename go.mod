module onnxopt

go 1.26

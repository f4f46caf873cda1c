package quant

import (
	"fmt"
	"slices"
	"strings"

	"onnxopt/onnx/graph"
	"onnxopt/onnx/shape"
	"onnxopt/onnx/tensor"
)

// Profile is what a target executes in integers, and in which form it wants it.
type Profile struct {
	Name, Doc string
	// MinOpset and MaxOpset are the ai.onnx opsets that the target reads.
	MinOpset, MaxOpset int64
	// Integer, Each, Merge and Same list the operators that get quantized inputs
	// and results, by op.QuantKind; all others stay in floating point.
	Integer, Each, Merge, Same []string
	// Activations and Weights are the types that the target takes, the default
	// first.
	Activations, Weights []tensor.DType
	// Symmetric activations have zero point 0.
	Symmetric bool
	// PerChannel targets take one weight scale for each output channel.
	PerChannel bool
	// FloatBias targets add the bias in float32; the others want it in int32 at
	// scale x_scale*w_scale.
	FloatBias bool
	// FloatResult lists the integer operators that may have a float result.
	FloatResult []string
	// QuantizedMaxPool targets run every MaxPool of a quantized model in
	// integers and fail where its input is float.
	QuantizedMaxPool bool
	// Requantizes targets round the float weights of layers between
	// DequantizeLinear and QuantizeLinear to 8 bits when they load the model.
	Requantizes bool
	// DepthwisePlane targets pad a depthwise Conv with 0 instead of the zero
	// point in the last pixels of a plane that is no multiple of so many; 0 is none.
	DepthwisePlane int64
}

// Profiles is every target. What they list was found by running models in
// onnxruntime 1.32, OpenVINO 2026.4, OpenCV 5.0 and tract 0.23, and for TensorRT in
// NVIDIA's "Working with Quantized Types".
var Profiles = []Profile{
	{
		Name: "portable", Doc: "what onnxruntime, OpenVINO, OpenCV and tract all execute",
		MinOpset: 10, MaxOpset: 21,
		Integer:     []string{"Conv", "Gemm", "MatMul", "ConvTranspose"},
		Each:        []string{"Add", "AveragePool", "GlobalAveragePool", "ReduceMean"},
		Merge:       []string{"Concat"},
		Same:        dataMovement,
		Activations: []tensor.DType{tensor.Uint8}, Weights: []tensor.DType{tensor.Int8},
		PerChannel: true, FloatResult: []string{"Gemm", "MatMul"}, QuantizedMaxPool: true, DepthwisePlane: 8, Requantizes: true,
	},
	{
		Name: "onnxruntime", Doc: "onnxruntime's CPU kernels: QLinear forms of pooling, addition and multiplication too",
		MinOpset: 10, MaxOpset: 26,
		Integer:     []string{"Conv", "Gemm", "MatMul", "ConvTranspose"},
		Each:        []string{"Add", "Mul", "AveragePool", "GlobalAveragePool", "ReduceMean", "LeakyRelu", "Sigmoid", "Softmax"},
		Merge:       []string{"Concat"},
		Same:        dataMovement,
		Activations: []tensor.DType{tensor.Uint8, tensor.Int8, tensor.Uint16, tensor.Int16},
		Weights:     []tensor.DType{tensor.Int8, tensor.Uint8, tensor.Int4, tensor.Uint4},
		PerChannel:  true, FloatResult: []string{"Gemm", "MatMul"}, Requantizes: true,
	},
	{
		Name: "openvino", Doc: "OpenVINO's CPU plugin",
		MinOpset: 10, MaxOpset: 23,
		Integer:     []string{"Conv", "Gemm", "MatMul", "ConvTranspose"},
		Each:        []string{"Add", "Mul", "AveragePool", "GlobalAveragePool", "ReduceMean"},
		Merge:       []string{"Concat"},
		Same:        dataMovement,
		Activations: []tensor.DType{tensor.Uint8, tensor.Int8, tensor.Uint16, tensor.Int16},
		Weights:     []tensor.DType{tensor.Int8, tensor.Uint8, tensor.Int4, tensor.Uint4},
		PerChannel:  true, FloatResult: []string{"Conv", "ConvTranspose", "Gemm", "MatMul"},
	},
	{
		Name: "tensorrt", Doc: "TensorRT with explicit quantization: symmetric int8, float bias",
		MinOpset: 10, MaxOpset: 22,
		Integer:     []string{"Conv", "Gemm", "MatMul", "ConvTranspose"},
		Each:        []string{"Add", "AveragePool", "GlobalAveragePool"},
		Same:        dataMovement,
		Activations: []tensor.DType{tensor.Int8}, Weights: []tensor.DType{tensor.Int8, tensor.Int4},
		Symmetric: true, PerChannel: true, FloatBias: true,
		FloatResult: []string{"Conv", "ConvTranspose", "Gemm", "MatMul"},
	},
	{
		Name: "opencv", Doc: "OpenCV's dnn module",
		MinOpset: 10, MaxOpset: 20,
		Integer:     []string{"Conv", "Gemm", "MatMul"},
		Same:        []string{"MaxPool", "Reshape", "Flatten", "Transpose"},
		Activations: []tensor.DType{tensor.Uint8, tensor.Int8}, Weights: []tensor.DType{tensor.Int8},
		PerChannel: true, FloatResult: []string{"Gemm", "MatMul"}, QuantizedMaxPool: true, DepthwisePlane: 8,
	},
	{
		Name: "tract", Doc: "sonos/tract",
		MinOpset: 10, MaxOpset: 21,
		Integer:     []string{"Conv", "Gemm", "MatMul"},
		Same:        []string{"MaxPool", "Reshape", "Flatten", "Transpose"},
		Activations: []tensor.DType{tensor.Uint8, tensor.Int8}, Weights: []tensor.DType{tensor.Int8},
		PerChannel: true, FloatResult: []string{"Conv", "Gemm", "MatMul"},
	},
}

// dataMovement is the operators whose result has the scale of their input.
var dataMovement = []string{"MaxPool", "GlobalMaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Gather",
	"Relu", "Clip", "DepthToSpace", "SpaceToDepth", "Expand", "Tile", "Split", "Pad", "Identity"}

// FindProfile is the profile of a name; "" is portable.
func FindProfile(name string) (*Profile, error) {
	names := make([]string, len(Profiles))
	for i := range Profiles {
		if Profiles[i].Name == name || i == 0 && name == "" {
			return &Profiles[i], nil
		}
		names[i] = Profiles[i].Name
	}
	return nil, fmt.Errorf("unknown target %q: want one of %s", name, strings.Join(names, ", "))
}

// padsWrongly reports that the target pads n wrongly where the zero point of
// its input is not 0.
func (p *Profile) padsWrongly(n *graph.Node, shapes *shape.Info) bool {
	if p.DepthwisePlane == 0 || !n.Is("Conv") || n.Int("group", 1) == 1 || !padded(n) {
		return false
	}
	w, y := shapes.Type(n.In(1)).Shape, shapes.Type(n.Out(0)).Shape
	if len(w) < 3 || len(y) != len(w) {
		return true
	}
	if c, ok := w[1].Const(); ok && c != 1 {
		return false
	}
	plane := int64(1) // of the dimensions that are known
	for _, d := range y[2:] {
		if k, ok := d.Const(); ok {
			plane *= k
		}
	}
	return plane%p.DepthwisePlane != 0
}

func padded(n *graph.Node) bool {
	auto := n.Str("auto_pad", "NOTSET")
	return strings.HasPrefix(auto, "SAME") || slices.ContainsFunc(n.Ints("pads"), func(k int64) bool { return k != 0 })
}

// quantizes reports that the target has an integer form of the operator.
func (p *Profile) quantizes(op string) bool {
	return slices.Contains(p.Integer, op) || slices.Contains(p.Each, op) || slices.Contains(p.Merge, op) || slices.Contains(p.Same, op)
}

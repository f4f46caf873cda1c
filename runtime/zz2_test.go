package runtime
import ("testing";"onnxopt/onnx/graph";"onnxopt/onnx/tensor")
func TestZZConv(t *testing.T) {
	m, err := graph.Parse(`<ir_version: 8, opset_import: ["": 17]> g (float[1,5,3,5] x) => (float[] y) <float[5,1,2,2] w = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20}> { y = Conv <group = 5, pads = [3, 1, 3, 2]> (x, w) }`)
	if err != nil { t.Fatal(err) }
	s, err := Compile(m, Options{})
	if err != nil { t.Fatal(err) }
	debugPanics = true
	_, err = s.Run(t.Context(), []tensor.Value{tensor.New(tensor.Float32, 1,5,3,5)})
	t.Log(err)
}

package op

import (
	"onnxopt/onnx/dim"
	"onnxopt/onnx/tensor"
)

var opMlTreeEnsembleRegressor = &Def{
	Name:   "TreeEnsembleRegressor",
	Domain: "ai.onnx.ml",
	Versions: []Version{
		{Since: 1, Schema: `X:T -> Y:float | aggregate_function:string="SUM" base_values:floats n_targets:int nodes_falsenodeids:ints nodes_featureids:ints nodes_hitrates:floats nodes_missing_value_tracks_true:ints nodes_modes:strings nodes_nodeids:ints nodes_treeids:ints nodes_truenodeids:ints nodes_values:floats post_transform:string="NONE" target_ids:ints target_nodeids:ints target_treeids:ints target_weights:floats | T: float double int64 int32`},
		{Since: 3, Schema: `X:T -> Y:float | aggregate_function:string="SUM" base_values:floats base_values_as_tensor:tensor n_targets:int nodes_falsenodeids:ints nodes_featureids:ints nodes_hitrates:floats nodes_hitrates_as_tensor:tensor nodes_missing_value_tracks_true:ints nodes_modes:strings nodes_nodeids:ints nodes_treeids:ints nodes_truenodeids:ints nodes_values:floats nodes_values_as_tensor:tensor post_transform:string="NONE" target_ids:ints target_nodeids:ints target_treeids:ints target_weights:floats target_weights_as_tensor:tensor | T: float double int64 int32`},
		{Since: 5, Schema: `X:T -> Y:float | aggregate_function:string="SUM" base_values:floats base_values_as_tensor:tensor n_targets:int nodes_falsenodeids:ints nodes_featureids:ints nodes_hitrates:floats nodes_hitrates_as_tensor:tensor nodes_missing_value_tracks_true:ints nodes_modes:strings nodes_nodeids:ints nodes_treeids:ints nodes_truenodeids:ints nodes_values:floats nodes_values_as_tensor:tensor post_transform:string="NONE" target_ids:ints target_nodeids:ints target_treeids:ints target_weights:floats target_weights_as_tensor:tensor | T: float double int64 int32`, Deprecated: true},
	},
	Infer: inferTreeRegressor,
	Eval:  evalTreeRegressor,
}

func inferTreeRegressor(f *Infer) error {
	f.Set(0, rowsDim(f), dim.Of(int64(max(f.Int("n_targets"), 1))))
	return nil
}

func evalTreeRegressor(e *Eval) error {
	m, err := featuresOf(e.Tensor(0))
	if err != nil {
		return err
	}
	f, err := newForest(&e.Attrs, "target_", max(e.Int("n_targets"), 1))
	if err != nil {
		return err
	}
	y, err := f.regress(e, m, e.Str("aggregate_function"), e.Str("post_transform"), floatsAttr(&e.Attrs, "base_values"))
	if err != nil {
		return err
	}
	e.Set(0, tensor.FromFloats(tensor.Float32, []int{m.n, f.targets}, y))
	return nil
}

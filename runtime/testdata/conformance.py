"""Write ONNX's own backend tests as files: python conformance.py OUT

Each case becomes OUT/<category>/<name>/ with model.onnx, tolerance.json and
test_data_set_<i>/{input,output}_<k>.pb. Inputs are positional over the graph's
inputs; an absent optional input has no file.
"""
import json
import os
import shutil
import sys
import warnings

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test import loader

warnings.filterwarnings("ignore")


def to_proto(value, value_info):
    kind = value_info.type.WhichOneof("value")
    if isinstance(value, (onnx.TensorProto, onnx.SequenceProto, onnx.OptionalProto)):
        return value
    if kind == "sequence_type":
        return numpy_helper.from_list(value, value_info.name)
    if kind == "optional_type":
        return numpy_helper.from_optional(value, value_info.name)
    if isinstance(value, dict):
        return numpy_helper.from_dict(value, value_info.name)
    return numpy_helper.from_array(np.asarray(value), value_info.name)


def write_values(folder, prefix, values, infos):
    for i, (value, info) in enumerate(zip(values, infos)):
        if value is None:
            continue
        with open(os.path.join(folder, f"{prefix}_{i}.pb"), "wb") as f:
            f.write(to_proto(value, info).SerializeToString())


def main(out):
    shutil.rmtree(out, ignore_errors=True)
    count = {}
    cases = [("node", c) for c in loader.load_node_model_tests()]
    for kind in ("simple", "pytorch-converted", "pytorch-operator", "light"):
        cases += [(kind, c) for c in loader.load_model_tests(kind=kind)]
    for category, case in cases:
        folder = os.path.join(out, category, case.name)
        count[category] = count.get(category, 0) + 1
        if case.model_dir:
            shutil.copytree(case.model_dir, folder)
        else:
            os.makedirs(folder)
            onnx.save(case.model, os.path.join(folder, "model.onnx"))
            for i, (inputs, outputs) in enumerate(case.data_sets):
                sub = os.path.join(folder, f"test_data_set_{i}")
                os.makedirs(sub)
                write_values(sub, "input", inputs, case.model.graph.input)
                write_values(sub, "output", outputs, case.model.graph.output)
        with open(os.path.join(folder, "tolerance.json"), "w") as f:
            json.dump({"rtol": case.rtol, "atol": case.atol}, f)
    print(" ".join(f"{k} {v}" for k, v in count.items()))


main(sys.argv[1])

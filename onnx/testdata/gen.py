"""Writes the fixtures of package onnx: python gen.py (onnx 1.23).

all.onnx    every kind of message, as the Python library writes it
all.txt     the same as onnx.printer prints it, but for what the text syntax lacks
ext.onnx    two tensors in ext.bin, one at an offset, with a checksum
"""
import hashlib
import numpy as np
import onnx
from onnx import AttributeProto, StringStringEntryProto, TensorProto as T, helper as h, numpy_helper as nh, printer


def prop(k, v):
    return StringStringEntryProto(key=k, value=v)


def value(name, *shape, elem=T.FLOAT):
    return h.make_tensor_value_info(name, elem, list(shape))


def text_model():
    typed = [h.make_tensor(n, t, [2], [1, 3]) for n, t in [
        ("f", T.FLOAT), ("d", T.DOUBLE), ("i8", T.INT8), ("u16", T.UINT16), ("i32", T.INT32), ("i64", T.INT64), ("u32", T.UINT32),
        ("u64", T.UINT64), ("b", T.BOOL), ("h", T.FLOAT16), ("bf", T.BFLOAT16), ("f8", T.FLOAT8E4M3FN)]]
    typed.append(h.make_tensor("s", T.STRING, [2], [b'a"\\', b""]))
    raw = nh.from_array(np.array([[1, 2.5], [-np.inf, 1e-38]], np.float32), "raw")
    sub = h.make_graph([h.make_node("Add", ["x", "x"], ["z.1"])], "then_branch", [], [value("z.1", None)])
    nodes = [
        h.make_node("Conv", ["x", "raw", "", "f"], ["y/0"], name="conv/1", pads=[0, 0], auto_pad="SAME", alpha=1.0, value=raw,
                    strs=["a", "b"], fl=[1.0, 2.5], body=sub, empty=h.make_tensor("e", T.FLOAT, [0], [])),
        h.make_node("Gelu", ["y/0"], ["y"], domain="com.microsoft"),
        h.make_node("F", ["y"], ["q"], domain="local", overload="o1"),
    ]
    nodes[0].attribute.append(h.make_attribute("tp", h.make_tensor_type_proto(T.FLOAT, ["N", 2, None])))
    nodes[0].attribute.append(h.make_attribute("none", [], attr_type=AttributeProto.INTS))
    inputs = [value("x", "N", 3, None, "a+b"),
              h.make_value_info("sq", h.make_sequence_type_proto(h.make_tensor_type_proto(T.FLOAT, []))),
              h.make_value_info("op", h.make_optional_type_proto(h.make_tensor_type_proto(T.FLOAT, None))),
              h.make_value_info("mp", h.make_map_type_proto(T.STRING, h.make_tensor_type_proto(T.INT64, [1]))),
              h.make_sparse_tensor_value_info("sp", T.FLOAT, [2, "M"])]
    g = h.make_graph(nodes, "a graph", inputs, [h.make_tensor_value_info("q", T.FLOAT, None)], typed + [raw],
                     value_info=[value("y/0")])
    f = h.make_function("local", "F", ["a"], ["b"], [h.make_node("Elu", ["a"], ["b"])], [h.make_opsetid("", 21)],
                        ["alpha"], [h.make_attribute("beta", 2.0)], overload="o1")
    f.node[0].attribute.append(AttributeProto(name="alpha", type=AttributeProto.FLOAT, ref_attr_name="alpha"))
    m = h.make_model(g, opset_imports=[h.make_opsetid("", 21), h.make_opsetid("local", 1), h.make_opsetid("com.microsoft", 1)],
                     functions=[f], ir_version=10, producer_name="p", doc_string='a "doc"')
    h.set_model_props(m, {"a": "b"})
    return m


def add_the_rest(m):
    g = m.graph
    g.doc_string = "graph"
    g.metadata_props.append(prop("g", "1"))
    g.node[0].doc_string = "node"
    g.node[0].metadata_props.append(prop("n", "1"))
    g.node[0].device_configurations.add(configuration_id="c", pipeline_stage=1).sharding_spec.add(tensor_name="x", device=[0, 1])
    m.configuration.add(name="c", num_devices=2, device=["a", "b"])
    g.input[0].doc_string = "input"
    g.input[0].metadata_props.append(prop("v", "1"))
    g.quantization_annotation.add(tensor_name="f").quant_parameter_tensor_names.append(prop("SCALE_TENSOR", "d"))
    g.sparse_initializer.append(h.make_sparse_tensor(h.make_tensor("spw", T.FLOAT, [1], [3.0]),
                                                     h.make_tensor("spi", T.INT64, [1], [2]), [2, 3]))
    g.initializer.append(h.make_tensor("i4", T.INT4, [3], [1, -2, 3]))
    g.initializer.append(h.make_tensor("c64", T.COMPLEX64, [1], [1 + 2j]))
    g.initializer[0].doc_string = "tensor"
    g.initializer[0].metadata_props.append(prop("t", "1"))
    g.value_info.append(value("nothing has this name", 1))
    t = m.training_info.add()
    t.algorithm.name = "training"
    t.update_binding.append(prop("raw", "raw"))
    m.functions[0].doc_string = "function"
    m.functions[0].metadata_props.append(prop("f", "1"))


def main():
    m = text_model()
    with open("all.txt", "w") as f:
        f.write(printer.to_text(m))
    add_the_rest(m)
    with open("all.onnx", "wb") as f:
        f.write(m.SerializeToString(deterministic=True))

    data = np.arange(8, dtype=np.float32).tobytes()
    with open("ext.bin", "wb") as f:
        f.write(b"pad." + data)
    w = []
    for i, entries in enumerate([{"location": "ext.bin", "offset": "4", "length": "16", "checksum": hashlib.sha1(b"pad." + data).hexdigest()},
                                 {"location": "ext.bin", "offset": "20"}]):
        t = T(name=f"w{i}", data_type=T.FLOAT, dims=[4], data_location=T.EXTERNAL)
        t.external_data.extend(prop(k, v) for k, v in entries.items())
        w.append(t)
    g = h.make_graph([h.make_node("Add", ["x", "w0"], ["s"]), h.make_node("Mul", ["s", "w1"], ["y"])], "g", [value("x", 4)],
                     [value("y", 4)], w)
    onnx.save(h.make_model(g, opset_imports=[h.make_opsetid("", 17)], ir_version=8), "ext.onnx")


main()

"""Opset conversion against onnxruntime and onnx.checker: python testdata/convert.py ONNXOPT OUT [SUITE]

Old models, one operator each, are converted to newer and older opsets; onnx.checker accepts every file, and
onnxruntime gives the same for the original (or, before opset 7, which it does not run, numpy does) and for
every file. With SUITE, the folder that conformance.py wrote, its models are converted too and must be
accepted as the originals are.
"""
import glob
import os
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

TOOL, OUT = sys.argv[1:3]
TARGETS = [7, 8, 9, 10, 11, 12, 13, 15, 18, 20, 21, 23]
rng = np.random.default_rng(3)
failed, files = [], 0


def f32(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def ints(*v):
    return np.array(v, np.int64)


def model(op, opset, inputs, const, outputs, attrs):
    names, graph_in, inits = [], [], []
    ir = 3 if opset < 9 else 8 if opset < 19 else 10
    for i, x in enumerate(inputs):
        if x is None:
            names.append("")
            continue
        names.append(f"x{i}")
        info = helper.make_tensor_value_info(names[-1], helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        if i in const:
            inits.append(numpy_helper.from_array(x, names[-1]))
            if ir > 3:
                continue
        graph_in.append(info)
    outs = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op, names, outs, **attrs)
    graph = helper.make_graph([node], op, graph_in, [onnx.ValueInfoProto(name=o) for o in outs], inits)
    m = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    return onnx.shape_inference.infer_shapes(m)


def run(path, feeds):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, feeds)


def same(a, b):
    return len(a) == len(b) and all(
        x.dtype == y.dtype and x.shape == y.shape and np.allclose(x, y, 1e-4, 1e-5, equal_nan=True) for x, y in zip(a, b))


def convert(path, opset):
    """The converted file, or None and why not."""
    global files
    out = os.path.join(OUT, "converted.onnx")
    r = subprocess.run([TOOL, "convert", path, "--opset", str(opset), "-o", out], capture_output=True, text=True)
    if r.returncode:
        return None, r.stderr.strip()
    files += 1
    return out, None


def case(name, op, opset, inputs, const=(), outputs=1, want=None, **attrs):
    """want is the result where onnxruntime cannot run the original."""
    inputs = [x if x is None else np.asarray(x) for x in inputs]
    m = model(op, opset, inputs, const, outputs, attrs)
    path = os.path.join(OUT, name + ".onnx")
    onnx.save(m, path)
    feeds = {f"x{i}": x for i, x in enumerate(inputs) if x is not None and i not in const}
    if want is None:
        want = run(path, feeds)
    for info, y in zip(m.graph.output, want):
        info.CopyFrom(helper.make_tensor_value_info(info.name, helper.np_dtype_to_tensor_dtype(y.dtype), y.shape))
    onnx.save(m, path)
    for target in TARGETS:
        if target == opset:
            continue
        out, why = convert(path, target)
        if out is None:
            if target > opset:
                failed.append(f"{name} to {target}: {why}")
            continue
        try:
            onnx.checker.check_model(out, full_check=True)
            got = run(out, feeds)
        except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
            continue
        except Exception as e:
            failed.append(f"{name} to {target}: {str(e)[:300]}")
            continue
        if not same(want, got):
            failed.append(f"{name} to {target}: {got} instead of {want}")


def before_seven():
    a, b = f32(2, 3, 4, 5), f32(3, 4)
    for op, y in ("Add", a + b[:, :, None]), ("Mul", a * b[:, :, None]), ("Sub", a - b[:, :, None]):
        case(f"{op}_axis", op, 6, [a, b], want=[y], broadcast=1, axis=1)
    case("Add_suffix", "Add", 6, [a, f32(4, 5) * 0 + 2], want=[a + 2], broadcast=1)
    case("Less_axis", "Less", 1, [a, b], want=[a < b[:, :, None]], broadcast=1, axis=-3)
    slope = f32(3)
    case("PRelu_channel", "PRelu", 6, [a, slope], want=[np.where(a < 0, a * slope[:, None, None], a)])
    case("Reshape_attribute", "Reshape", 1, [a], want=[a.reshape(2, 12, 5)], shape=[0, -1, 5])
    case("Cast_name", "Cast", 1, [a], want=[a.astype(np.int32)], to="INT32")
    case("Concat_default", "Concat", 1, [a, a], want=[np.concatenate([a, a], 1)])
    case("Pad_paddings", "Pad", 1, [f32(2, 3) * 0 + 1], want=[np.pad(np.ones((2, 3), np.float32), ((1, 2), (0, 1)), constant_values=3)],
         paddings=[1, 0, 2, 1], value=3.0)
    case("Tile_axis", "Tile", 1, [a, np.float32(2), np.float32(1)], const=(1, 2), want=[np.tile(a, (1, 2, 1, 1))])
    case("Upsample_sides", "Upsample", 1, [a], want=[a.repeat(2, 2).repeat(3, 3)], height_scale=2.0, width_scale=3.0)
    case("Split_input", "Split", 1, [a, np.array([1, 2], np.float32)], const=(1,), outputs=2, want=[a[:, :1], a[:, 1:]], axis=1)
    case("Gemm_broadcast", "Gemm", 6, [f32(2, 3) * 0 + 1, f32(3, 4) * 0 + 2, f32(4) * 0 + 3], want=[np.full((2, 4), 9, np.float32)], broadcast=1)
    case("Dropout_test", "Dropout", 6, [a], want=[a], is_test=1, ratio=0.3)
    scale, bias, mean, var = f32(3), f32(3), f32(3), np.abs(f32(3))
    k = lambda v: v[:, None, None]
    case("BatchNormalization_test", "BatchNormalization", 6, [a, scale, bias, mean, var],
         want=[(a - k(mean)) / np.sqrt(k(var) + np.float32(1e-5)) * k(scale) + k(bias)], is_test=1)
    case("GlobalLpPool_float", "GlobalLpPool", 1, [a], want=[(np.abs(a) ** 3).sum((2, 3), keepdims=True) ** np.float32(1 / 3)], p=3.0)
    case("Selu_default", "Selu", 1, [a], want=[np.where(a > 0, 1.0507 * a, 1.0507 * 1.6732 * (np.exp(a) - 1)).astype(np.float32)])


def since_seven():
    a = f32(2, 3, 4, 5)
    for op in "Softmax", "LogSoftmax", "Hardmax":
        for axis in 0, 1, 2, 3:
            case(f"{op}_{axis}", op, 7, [a], axis=axis)
            case(f"{op}_13_{axis}", op, 13, [a], axis=axis)
        case(f"{op}_default", op, 11, [a])
        case(f"{op}_vector", op, 7, [f32(2, 6, 1, 1)])
        case(f"{op}_negative", op, 13, [a], axis=-3)
    case("BatchNormalization", "BatchNormalization", 7, [a, f32(3), f32(3), f32(3), np.abs(f32(3))])
    case("BatchNormalization_places", "BatchNormalization", 7, [a, f32(3, 4, 5), f32(3, 4, 5), f32(3, 4, 5), np.abs(f32(3, 4, 5))], spatial=0)
    case("Dropout", "Dropout", 7, [a], ratio=0.4)
    for mode in "nearest", "linear":
        case(f"Upsample_7_{mode}", "Upsample", 7, [a], mode=mode, scales=[1.0, 1.0, 2.0, 3.0])
        for tag, s in ("up", (1, 1, 1.7, 2.3)), ("down", (1, 1, 0.6, 0.7)), ("both", (1, 1, 1.7, 0.6)):
            s = np.array(s, np.float32)
            if tag == "up":
                case(f"Upsample_9_{mode}_{tag}", "Upsample", 9, [a, s], const=(1,), mode=mode)
            case(f"Resize_10_{mode}_{tag}", "Resize", 10, [a, s], const=(1,), mode=mode)
            case(f"Resize_10_{mode}_{tag}_computed", "Resize", 10, [a, s], mode=mode)
    none = np.array([], np.float32)
    for mode in "asymmetric", "half_pixel", "align_corners":
        case(f"Resize_11_{mode}", "Resize", 11, [a, none, np.array([1, 1, 2, 1.5], np.float32)], const=(1, 2), mode="linear", coordinate_transformation_mode=mode)
        case(f"Resize_18_{mode}", "Resize", 18, [a, None, np.array([2, 1.5], np.float32)], const=(2,), mode="linear", axes=[3, 2], coordinate_transformation_mode=mode)
    case("Resize_13_sizes", "Resize", 13, [a, None, None, ints(2, 3, 7, 9)], const=(3,), mode="cubic")
    case("Slice", "Slice", 7, [a], starts=[1, -3], ends=[4, 2 ** 31 - 1], axes=[1, 3])
    case("Slice_all", "Slice", 7, [a], starts=[0, 1], ends=[1, 3])
    case("Slice_13", "Slice", 13, [a, ints(-3), ints(2 ** 63 - 1), ints(-1)], const=(1, 2, 3))
    case("TopK", "TopK", 7, [a], outputs=2, k=2, axis=2)
    case("TopK_smallest", "TopK", 11, [a, ints(3)], const=(1,), outputs=2, largest=0)
    case("Pad", "Pad", 7, [a], pads=[0, 0, 1, 2, 0, 1, 0, 3], value=1.5)
    case("Pad_reflect", "Pad", 7, [a], pads=[0, 0, 1, 2, 0, 1, 0, 3], mode="reflect")
    case("Pad_axes", "Pad", 18, [a, ints(1, 2, 0, 1), np.float32(2), ints(-1, 1)], const=(1, 2, 3))
    case("Clip", "Clip", 7, [a], min=-0.3, max=0.5)
    case("Clip_max", "Clip", 7, [a], max=0.5)
    case("Clip_13", "Clip", 13, [a, np.float32(-0.2)], const=(1,))
    case("Squeeze", "Squeeze", 7, [f32(1, 3, 1, 2)], axes=[0, 2])
    case("Squeeze_all", "Squeeze", 7, [f32(1, 3, 1, 2)])
    case("Squeeze_13", "Squeeze", 13, [f32(1, 3, 1, 2), ints(-2)], const=(1,))
    case("Unsqueeze", "Unsqueeze", 7, [f32(3, 2)], axes=[0, 3])
    case("Unsqueeze_13", "Unsqueeze", 13, [f32(3, 2), ints(-1, 0)], const=(1,))
    case("Split", "Split", 7, [a], outputs=2, axis=3, split=[2, 3])
    case("Split_equal", "Split", 7, [a], outputs=2, axis=2)
    case("Split_18", "Split", 18, [a], outputs=3, axis=3, num_outputs=3)
    for op in "Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare":
        x = np.abs(a) if op == "LogSum" else a
        case(f"Reduce{op}", f"Reduce{op}", 7, [x], axes=[1, 3], keepdims=0)
        case(f"Reduce{op}_all", f"Reduce{op}", 11, [x])
        case(f"Reduce{op}_18", f"Reduce{op}", 18, [x, ints(-2)], const=(1,))
    for op in "Add", "Pow", "Greater":
        case(f"{op}_7", op, 7, [np.abs(a), f32(4, 1)])
    special = np.array([np.nan, np.inf, -np.inf, 1, 0, -0.0], np.float32)
    case("Equal_floats", "Equal", 11, [special[:, None], special])
    case("Equal_bytes", "Equal", 13, [rng.integers(0, 3, (4, 5)).astype(np.uint8), rng.integers(0, 3, 5).astype(np.uint8)])
    case("Max_8", "Max", 8, [a, f32(4, 1)])
    case("PRelu_9", "PRelu", 9, [a, f32(3, 1, 1)])
    case("Gemm_7", "Gemm", 7, [f32(2, 3), f32(4, 3), f32(4)], transB=1)
    case("Gemm_11", "Gemm", 11, [f32(2, 3), f32(3, 4)])
    case("Scatter", "Scatter", 9, [a, rng.integers(0, 3, (2, 2, 4, 5)), f32(2, 2, 4, 5)], axis=1)
    case("OneHot", "OneHot", 11, [ints(0, 2, 1), ints(3), f32(2)], const=(1,), axis=-1)
    case("Flatten", "Flatten", 11, [a], axis=-2)
    case("Cast", "Cast", 7, [a], to=TensorProto.INT32)
    case("Erf", "Erf", 9, [a])
    case("ConstantOfShape", "ConstantOfShape", 9, [ints(2, 3)], const=(0,), value=helper.make_tensor("v", TensorProto.INT64, [1], [5]))
    case("Shape_15", "Shape", 15, [a], start=-3, end=-1)
    case("MaxPool", "MaxPool", 7, [a], kernel_shape=[2, 2], strides=[2, 1])
    case("AveragePool", "AveragePool", 7, [a], kernel_shape=[2, 2], pads=[1, 0, 1, 0], count_include_pad=1)
    case("LpPool", "LpPool", 7, [a], kernel_shape=[2, 2], p=3)
    case("RoiAlign", "RoiAlign", 10, [a, np.array([[0, 0, 3, 3], [1, 0, 4, 2]], np.float32), ints(0, 1)], output_height=2, output_width=2)
    for mode in "bilinear", "nearest", "bicubic":
        case(f"GridSample_{mode}", "GridSample", 16, [a, f32(2, 3, 3, 2) / 2], mode=mode)
    case("DFT", "DFT", 17, [f32(2, 8, 1)], onesided=1, axis=1)
    case("GroupNormalization", "GroupNormalization", 21, [f32(2, 6, 4), f32(6), f32(6)], num_groups=3)
    case("LayerNormalization", "LayerNormalization", 17, [a, f32(4, 5), f32(4, 5)], axis=-2)
    case("Gelu", "Gelu", 20, [a])
    case("Gelu_tanh", "Gelu", 20, [a], approximate="tanh")
    case("Trilu", "Trilu", 14, [a, ints(1).reshape(())], const=(1,), upper=0)
    case("RMSNormalization", "RMSNormalization", 23, [a, f32(4, 5)], axis=2)
    attention()
    case("HardSwish", "HardSwish", 14, [a])
    case("Mish", "Mish", 18, [a])
    case("Celu", "Celu", 12, [a], alpha=1.7)
    case("GreaterOrEqual", "GreaterOrEqual", 12, [a, a.round()])
    case("CastLike", "CastLike", 15, [a, f32(1).astype(np.float64)])
    case("LSTM", "LSTM", 7, [f32(3, 2, 4), f32(1, 20, 4), f32(1, 20, 5)], outputs=3, hidden_size=5)
    case("GRU", "GRU", 7, [f32(3, 2, 4), f32(2, 15, 4), f32(2, 15, 5)], outputs=2, hidden_size=5, direction="bidirectional", linear_before_reset=1)
    case("QuantizeLinear", "QuantizeLinear", 10, [a, np.float32(0.05), np.uint8(100)])
    case("DequantizeLinear", "DequantizeLinear", 13, [rng.integers(0, 255, (2, 3)).astype(np.uint8), np.float32(0.05), np.uint8(100)], axis=1)
    scan()


def attention():
    q, k, v = f32(2, 4, 3, 8), f32(2, 2, 5, 8), f32(2, 2, 5, 6)
    shown = rng.random((3, 5)) > 0.4
    shown[:, 0] = True
    case("Attention", "Attention", 23, [q, k, v])
    case("Attention_mask", "Attention", 23, [q, k, v, shown], softcap=2.0)
    case("Attention_bias", "Attention", 23, [q, k, v, f32(2, 1, 3, 5)], scale=0.3)
    past = [f32(2, 2, 3, 8), f32(2, 2, 3, 6)]
    case("Attention_past", "Attention", 23, [q, k[:, :, :3], v[:, :, :3], None] + past, outputs=3, is_causal=1)
    flat = [x.transpose(0, 2, 1, 3).reshape(2, x.shape[2], -1) for x in (q, k, v)]
    case("Attention_flat", "Attention", 23, flat, q_num_heads=4, kv_num_heads=2)
    cos, sin, ids = f32(9, 4), f32(9, 4), rng.integers(0, 9, (2, 3))
    for inter in 0, 1:
        case(f"RotaryEmbedding_{inter}", "RotaryEmbedding", 23, [q, cos, sin, ids], interleaved=inter)
        case(f"RotaryEmbedding_{inter}_part", "RotaryEmbedding", 23, [f32(2, 3, 40), cos, sin, ids], interleaved=inter, num_heads=4, rotary_embedding_dim=8)


def scan():
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "v"], ["t"]), helper.make_node("Identity", ["t"], ["o"])], "body",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [3]) for n in "sv"],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [3]) for n in "to"])
    case("Scan_8", "Scan", 8, [None, f32(2, 3), f32(2, 4, 3)], outputs=2, body=body, num_scan_inputs=1, directions=[1])
    case("Scan_9", "Scan", 9, [f32(3), f32(4, 3)], outputs=2, body=body, num_scan_inputs=1)


def accepted(path):
    try:
        onnx.checker.check_model(path, full_check=True)
    except Exception as e:
        return str(e)


def suite(root):
    for path in sorted(glob.glob(os.path.join(root, "*", "*", "model.onnx"))):
        own = next((o.version for o in onnx.load(path).opset_import if o.domain in ("", "ai.onnx")), 0)
        if own == 0 or accepted(path):
            continue
        for target in {28, 21, 13, 11, 8, 6} - {own}:
            out, why = convert(path, target)
            if out is None:
                if target > own:
                    failed.append(f"{path} to {target}: {why}")
                continue
            if e := accepted(out):
                failed.append(f"{path} {own} to {target}: {e[:300]}")


before_seven()
since_seven()
if len(sys.argv) > 3:
    suite(sys.argv[3])
print(files, "files converted,", len(failed), "failures")
for line in failed:
    print("failed:", line)
sys.exit(bool(failed))

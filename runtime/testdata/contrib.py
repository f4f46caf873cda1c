"""Write what onnxruntime computes for its own operators: python contrib.py OUT

Each case becomes OUT/<name>/ in the form of conformance.py. Inputs are random with
a fixed seed; weights that onnxruntime wants constant are initializers.
"""
import json
import os
import shutil
import sys

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

OUT = sys.argv[1]
MS = "com.microsoft"
rng = np.random.default_rng(7)
# onnxruntime's CPU kernels of half precision are left out: their rounding inside is their own.
CLOSE, LOOSE = (1e-4, 1e-5), (1e-3, 1e-4)


def f32(*shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def u8(*shape):
    return rng.integers(0, 256, shape).astype(np.uint8)


def s8(*shape):
    return rng.integers(-128, 128, shape).astype(np.int8)


def f(x):
    return np.float32(x)


def case(name, op, inputs, outputs=1, const=(), tol=CLOSE, domain=MS, **attrs):
    """inputs: arrays or None for absent; const: the slots that are initializers; outputs: a count
    or a list of booleans."""
    names, graph_in, inits, feeds = [], [], [], {}
    for i, x in enumerate(inputs):
        if x is None:
            names.append("")
            continue
        x = np.asarray(x)
        names.append(f"x{i}")
        if i in const:
            inits.append(numpy_helper.from_array(x, names[-1]))
        else:
            graph_in.append(helper.make_tensor_value_info(names[-1], helper.np_dtype_to_tensor_dtype(x.dtype), x.shape))
            feeds[names[-1]] = x
    wants = [True] * outputs if isinstance(outputs, int) else outputs
    outs = [f"y{i}" if w else "" for i, w in enumerate(wants)]
    node = helper.make_node(op, names, outs, domain=domain, **attrs)
    write(name, [node], graph_in, [o for o in outs if o], inits, feeds, tol)


def write(name, nodes, graph_in, outs, inits, feeds, tol):
    graph = helper.make_graph(nodes, name, graph_in, [onnx.ValueInfoProto(name=o) for o in outs], inits)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid(MS, 1)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1  # DynamicQuantizeLSTM takes the range of what one thread computes
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    got = session.run(None, feeds)
    del model.graph.output[:]
    model.graph.output.extend(
        helper.make_tensor_value_info(o, helper.np_dtype_to_tensor_dtype(y.dtype), y.shape) for o, y in zip(outs, got))
    folder = os.path.join(OUT, name)
    data = os.path.join(folder, "test_data_set_0")
    os.makedirs(data)
    onnx.save(model, os.path.join(folder, "model.onnx"))
    for prefix, values in ("input", list(feeds.values())), ("output", got):
        for i, x in enumerate(values):
            with open(os.path.join(data, f"{prefix}_{i}.pb"), "wb") as out:
                out.write(numpy_helper.from_array(x).SerializeToString())
    with open(os.path.join(folder, "tolerance.json"), "w") as out:
        json.dump({"rtol": tol[0], "atol": tol[1]}, out)


def four_bits(kind, low, high):
    """QuantizeLinear to 4 bits and back; numpy cannot hold what is between."""
    name = f"Ms4_{TensorProto.DataType.Name(kind)}"
    zero = helper.make_tensor("z", kind, [3], rng.integers(low, high, 3).tolist())
    scale = numpy_helper.from_array(np.abs(f32(3)) + f(0.1), "s")
    x = f32(3, 8, scale=2)
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], domain=MS, axis=0),
             helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], domain=MS, axis=0)]
    write(name, nodes, [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)], ["y"], [scale, zero], {"x": x}, CLOSE)


def quantized():
    for make, tag in (u8, "u8"), (s8, "s8"):
        z = [make()[()] for _ in range(3)]
        for op in "QLinearAdd", "QLinearMul":
            cs = f(0.05 if op == "QLinearAdd" else 0.9)
            case(f"{op}_{tag}", op, [make(2, 3, 9), f(0.02), z[0], make(2, 3, 9), f(0.03), z[1], cs, z[2]])
            half = np.arange(99).astype(z[0].dtype)
            case(f"{op}_{tag}_halves", op, [half, f(0.5), z[0] * 0, half * 0 + 1, f(1), z[0] * 0, f(1), z[0] * 0 + 7])
            case(f"{op}_{tag}_broadcast", op, [make(2, 3, 4), f(0.02), z[0], make(3, 1), f(0.03), z[1], cs, z[2]])
        case(f"QLinearLeakyRelu_{tag}", "QLinearLeakyRelu", [make(4, 33), f(0.02), z[0], f(0.017), z[1]], const=(1, 2, 3, 4), alpha=0.1)
        case(f"QLinearSigmoid_{tag}", "QLinearSigmoid", [make(4, 33), f(0.04), z[0], f(1 / 256), z[1]], const=(1, 2, 3, 4))
        case(f"QLinearConcat_{tag}", "QLinearConcat", [f(0.03), z[0], make(2, 3), f(0.02), z[1], make(2, 5), f(0.05), z[2]],
             const=(0, 1, 3, 4, 6, 7), axis=-1)
        case(f"QLinearGlobalAveragePool_{tag}", "QLinearGlobalAveragePool", [make(2, 5, 4, 3), f(0.02), z[0], f(0.01), z[1]])
        case(f"QLinearGlobalAveragePool_{tag}_last", "QLinearGlobalAveragePool", [make(2, 4, 3, 5), f(0.02), z[0], f(0.01), z[1]], channels_last=1)
        pool = dict(kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])
        case(f"QLinearAveragePool_{tag}", "QLinearAveragePool", [make(2, 3, 7, 6), f(0.02), z[0], f(0.015), z[1]], **pool)
        case(f"QLinearAveragePool_{tag}_padding", "QLinearAveragePool", [make(2, 3, 7, 6), f(0.02), z[0], f(0.015), z[1]], count_include_pad=1, **pool)
        case(f"QLinearAveragePool_{tag}_last", "QLinearAveragePool", [make(2, 7, 6, 3), f(0.02), z[0], f(0.015), z[1]], channels_last=1, **pool)
        case(f"QLinearWhere_{tag}", "QLinearWhere",
             [rng.random((2, 1, 5)) > 0.5, make(3, 1), f(0.02), z[0], make(2, 3, 5), f(0.03), z[1], f(0.025), z[2]], const=(2, 3, 5, 6, 7, 8))
        conv = dict(pads=[1, 0, 1, 2], strides=[1, 2])
        for last in 0, 1:
            x = make(2, 7, 6, 4) if last else make(2, 4, 7, 6)
            case(f"MsQLinearConv_{tag}_{last}", "QLinearConv",
                 [x, f(0.02), z[0], make(6, 2, 3, 3), np.abs(f32(6, scale=0.01)), np.repeat(z[1] if make is u8 else z[1] * 0, 6),
                  f(0.3), z[2], rng.integers(-999, 999, 6).astype(np.int32)], const=(1, 2, 3, 4, 5, 6, 7, 8), group=2, channels_last=last, **conv)
        case(f"NhwcMaxPool_{tag}", "NhwcMaxPool", [make(2, 7, 6, 3)], **pool)
        for axis, opset in (-1, 13), (1, 13), (1, 12):
            case(f"QLinearSoftmax_{tag}_{axis}_{opset}", "QLinearSoftmax", [make(2, 4, 6), f(0.03), z[0], f(1 / 256), np.asarray(0, z[1].dtype)],
                 const=(1, 2, 3, 4), axis=axis, opset=opset)
    for b, tag in (u8, "u8"), (s8, "s8"):
        bz = b(5)
        c = rng.integers(-9000, 9000, 5).astype(np.int32)
        for ta in 0, 1:
            a = u8(7, 4) if ta else u8(4, 7)
            case(f"QGemm_{tag}_{ta}", "QGemm", [a, f(0.02), np.uint8(120), b(7, 5), f(0.03), b()[()], c, f(0.3), np.uint8(131)], transA=ta, alpha=0.7)
            case(f"QGemm_{tag}_{ta}_float", "QGemm", [a, f(0.02), np.uint8(120), b(5, 7), np.abs(f32(5, scale=0.05)), bz, c], transA=ta, transB=1)
        x = f32(3, 4, 8)
        case(f"DynamicQuantizeMatMul_{tag}", "DynamicQuantizeMatMul", [x, b(8, 5), np.abs(f32(5, scale=0.1)), bz, f32(5)], tol=LOOSE)
        case(f"DynamicQuantizeMatMul_{tag}_tensor", "DynamicQuantizeMatMul", [x, b(8, 5), f32(1, scale=0.1)], tol=LOOSE)
        case(f"MatMulIntegerToFloat_{tag}", "MatMulIntegerToFloat",
             [u8(3, 4, 8), b(8, 5), f(0.02), np.abs(f32(5, scale=0.1)), np.uint8(100), bz, f32(5)])
        case(f"MatMulIntegerToFloat_{tag}_tensor", "MatMulIntegerToFloat", [u8(4, 8), b(8, 5), f(0.02), f(0.1)])


def lstm():
    seq, batch, size, hidden = 5, 3, 7, 4
    for b, tag in (u8, "u8"), (s8, "s8"):
        for direction in "forward", "reverse", "bidirectional":
            dirs = 2 if direction == "bidirectional" else 1
            x, w, r = f32(seq, batch, size), b(dirs, size, 4 * hidden), b(dirs, hidden, 4 * hidden)
            zero = np.full(dirs, 0 if b is s8 else 131, w.dtype)
            scales = [np.abs(f32(dirs, scale=0.01)) for _ in range(2)]
            base = [x, w, r, f32(dirs, 8 * hidden), None, f32(dirs, batch, hidden), f32(dirs, batch, hidden), None]
            name, more = f"DynamicQuantizeLSTM_{tag}_{direction}", dict(direction=direction, hidden_size=hidden, tol=LOOSE)
            quant = [scales[0], zero, scales[1], zero]
            case(name, "DynamicQuantizeLSTM", base + quant, 3, **more)
            case(f"{name}_lengths", "DynamicQuantizeLSTM", base[:4] + [np.array([3, 5, 2], np.int32)] + base[5:] + quant, 3, **more)
            case(f"{name}_bare", "DynamicQuantizeLSTM", [x, w, r] + [None] * 5 + quant, 1, **more)
            wide = np.repeat(zero[:, None], 4 * hidden, 1)
            quant = [np.abs(f32(dirs, 4 * hidden, scale=0.01)), wide, np.abs(f32(dirs, 4 * hidden, scale=0.01)), wide]
            case(f"{name}_columns", "DynamicQuantizeLSTM", base + quant, 3, **more)
            case(f"{name}_clip", "DynamicQuantizeLSTM", base + quant, 3, clip=0.8, **more)
            case(f"{name}_peepholes", "DynamicQuantizeLSTM", base[:7] + [f32(dirs, 3 * hidden)] + quant, 3, **more)


def n_bits():
    for bits, k, n, block in (4, 64, 6, 32), (4, 70, 5, 16), (4, 128, 3, 128), (8, 70, 5, 32), (2, 64, 6, 32):
        blocks = -(-k // block)
        b = u8(n, blocks, block * bits // 8)
        scales = f32(n * blocks, scale=0.1)
        zeros = u8(n * (-(-blocks * bits // 8)))
        base = dict(K=k, N=n, block_size=block, bits=bits)
        tag = f"MatMulNBits_{bits}_{k}_{block}"
        for rows in 1, 3:
            a = f32(2, rows, k)
            case(f"{tag}_{rows}", "MatMulNBits", [a, b, scales], const=(1, 2), tol=LOOSE, **base)
            case(f"{tag}_{rows}_zero", "MatMulNBits", [a, b, scales, zeros], const=(1, 2, 3), tol=LOOSE, **base)
        if bits == 4:
            group = rng.integers(0, blocks, k).astype(np.int32)
            # onnxruntime takes no notice of zero points beside g_idx.
            case(f"{tag}_group", "MatMulNBits", [a, b, scales, None, group], const=(1, 2, 4), tol=LOOSE, **base)
        case(f"{tag}_bias", "MatMulNBits", [a, b, scales, None, None, f32(n)], const=(1, 2, 5), tol=LOOSE, **base)
    for kind in 0, 1:
        for k, n, block in (64, 6, 16), (70, 5, 32), (33, 3, 16):
            case(f"MatMulBnb4_{kind}_{k}", "MatMulBnb4",
                 [f32(2, 3, k), u8((n * k + 1) // 2), np.abs(f32(-(-n * k // block)))], const=(1, 2), K=k, N=n, block_size=block, quant_type=kind)
    ids = np.array([[3, -1, 0], [2, 3, 6]], np.int64)
    for bits in 2, 4, 8:
        rows, block = 70 if bits == 8 else 80, 16
        data, blocks = u8(7, rows * bits // 8), -(-rows // block)
        scales, zeros = f32(7, blocks), u8(7, -(-blocks * bits // 8))
        case(f"GatherBlockQuantized_{bits}", "GatherBlockQuantized", [data, ids, scales], const=(0, 2), bits=bits, block_size=block)
        case(f"GatherBlockQuantized_{bits}_zero", "GatherBlockQuantized", [data, ids, scales, zeros], const=(0, 2, 3), bits=bits, block_size=block)
    for kind in ml_dtypes.int4, ml_dtypes.uint4:
        data, zeros = rng.integers(0, 8, (5, 7, 36)).astype(kind), rng.integers(0, 8, (5, 7, 3)).astype(kind)
        case(f"GatherBlockQuantized_{kind.__name__}", "GatherBlockQuantized", [data, ids, f32(5, 7, 3), zeros], const=(0, 2, 3),
             gather_axis=1, quantize_axis=2, block_size=16)
        case(f"GatherBlockQuantized_{kind.__name__}_first", "GatherBlockQuantized", [data, ids.astype(np.int32), f32(1, 7, 36)], const=(0, 2),
             gather_axis=1, quantize_axis=0, block_size=16)
    data = f32(7, 40).astype(ml_dtypes.float8_e4m3fn)
    case("GatherBlockQuantized_f8", "GatherBlockQuantized", [data, ids, f32(1, 3)], const=(0, 2), block_size=16)
    case("GatherBlockQuantized_f8_axis", "GatherBlockQuantized", [data, ids, f32(7, 1)], const=(0, 2), block_size=0)


def fused():
    a, b = f32(2, 3, 4, 5), f32(2, 3, 5, 6)
    case("FusedMatMul", "FusedMatMul", [a, b], alpha=0.3)
    case("FusedMatMul_trans", "FusedMatMul", [a.swapaxes(2, 3), b.swapaxes(2, 3)], transA=1, transB=1)
    case("FusedMatMul_batch", "FusedMatMul", [a.transpose(2, 0, 1, 3), b], transBatchA=1)
    case("FusedMatMul_batch_trans", "FusedMatMul", [a.transpose(3, 0, 1, 2), b.transpose(3, 0, 1, 2)], transBatchA=1, transA=1, transBatchB=1, transB=1)
    x, w, bias = f32(2, 4, 7, 6), f32(6, 2, 3, 3, scale=0.3), f32(6)
    conv = dict(kernel_shape=[3, 3], group=2, pads=[1, 1, 1, 1])
    for name, params in ("Relu", []), ("Sigmoid", []), ("Tanh", []), ("LeakyRelu", [0.2]), ("Clip", [-0.3, 0.8]), ("HardSigmoid", [0.3, 0.4]):
        more = dict(activation_params=params) if params else {}
        case(f"FusedConv_{name}", "FusedConv", [x, w, bias], const=(1, 2), activation=name, **more, **conv)
        if name != "Clip":
            more = {f"activation_{k}": v for k, v in zip(("alpha", "beta"), params)}
            case(f"FusedGemm_{name}", "FusedGemm", [f32(4, 5), f32(6, 5), f32(6)], activation=name, transB=1, beta=0.5, **more)
    case("FusedConv_sum", "FusedConv", [x, w, bias, f32(2, 6, 7, 6)], const=(1, 2), activation="Relu", **conv)
    case("Gelu", "Gelu", [f32(4, 9, scale=2)])
    case("FastGelu", "FastGelu", [f32(4, 9, scale=2)])
    case("FastGelu_bias", "FastGelu", [f32(4, 9, scale=2), f32(9)])
    case("QuickGelu", "QuickGelu", [f32(4, 9, scale=2)], alpha=1.3)
    case("TransposeMatMul", "TransposeMatMul", [a.swapaxes(2, 3), b], transA=1, alpha=0.7)
    case("Inverse", "Inverse", [f32(2, 3, 4, 4)], tol=LOOSE)
    for upper in 0, 1:
        case(f"MsTrilu_{upper}", "Trilu", [f32(2, 3, 5), np.array(1 - 2 * upper, np.int64)], upper=upper)
    grid = f32(2, 3, 5, 2)
    for mode in "bilinear", "nearest", "bicubic":
        for padding in "zeros", "border", "reflection":
            case(f"MsGridSample_{mode}_{padding}", "GridSample", [f32(2, 3, 4, 6), grid], mode=mode, padding_mode=padding, align_corners=int(mode == "bicubic"))
    case("BiasGelu", "BiasGelu", [f32(2, 4, 9, scale=2), f32(9)])


def norms():
    x, skip, gamma, beta, bias = f32(2, 5, 8), f32(2, 5, 8), f32(8), f32(8), f32(8)
    sums = [True, False, False, True]
    case("SkipLayerNormalization", "SkipLayerNormalization", [x, skip, gamma, beta, bias], sums, epsilon=1e-5)
    case("SkipLayerNormalization_bare", "SkipLayerNormalization", [x, skip, gamma])
    case("SkipLayerNormalization_one_skip", "SkipLayerNormalization", [x, f32(1, 5, 8), gamma, beta], sums)
    case("SkipLayerNormalization_flat_skip", "SkipLayerNormalization", [x, f32(5, 8), gamma, beta], sums)
    case("SkipSimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization", [x, skip, gamma, bias], sums, epsilon=1e-5)
    case("SimplifiedLayerNormalization", "SimplifiedLayerNormalization", [x, gamma], domain="", axis=-1, epsilon=1e-5)
    case("SimplifiedLayerNormalization_axis", "SimplifiedLayerNormalization", [x, f32(5, 8)], 2, domain="", axis=1)
    ids, segments = rng.integers(0, 11, (2, 5)).astype(np.int32), rng.integers(0, 2, (2, 5)).astype(np.int32)
    words, places, parts = f32(11, 8), f32(6, 8), f32(2, 8)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0]], np.int32)
    case("EmbedLayerNormalization", "EmbedLayerNormalization", [ids, segments, words, places, parts, gamma, beta, mask], 3, epsilon=1e-5)
    case("EmbedLayerNormalization_no_segments", "EmbedLayerNormalization", [ids, None, words, places, None, gamma, beta], 2)
    case("EmbedLayerNormalization_positions", "EmbedLayerNormalization",
         [ids, segments, words, places, parts, gamma, beta, mask, np.array([[4, 3, 2, 1, 0]] * 2, np.int32)], 3)


    for make, tag in (u8, "u8"), (s8, "s8"):
        tables = [make(11, 8), make(6, 8), make(2, 8), make(8), make(8)]
        scales, zeros = [f(0.01 * (i + 1)) for i in range(5)], [make()[()] for _ in range(5)]
        case(f"QEmbedLayerNormalization_{tag}", "QEmbedLayerNormalization", [ids, segments] + tables + [mask] + scales + zeros, 2, epsilon=1e-5)
        tables[2] = scales[2] = zeros[2] = None
        case(f"QEmbedLayerNormalization_{tag}_bare", "QEmbedLayerNormalization", [ids, None] + tables + [None] + scales + zeros, 2)


def masks(batch, seq, total):
    raw = (rng.random((batch, total)) > 0.3).astype(np.int32)
    raw[:, 0] = 1
    deep = (rng.random((batch, seq, total)) > 0.3).astype(np.int32)
    deep[:, :, 0] = 1
    lengths = np.array([total - 1, total - 2][:batch], np.int32)
    return {"none": None, "lengths": lengths, "spans": np.concatenate([lengths, np.array([1, 0][:batch], np.int32)]), "raw": raw, "deep": deep}


def attention():
    b, s, n, h, past = 2, 4, 2, 3, 2
    d = n * h
    x, w, bias = f32(b, s, 5), f32(5, 3 * d), f32(3 * d)
    for tag, m in masks(b, s, s).items():
        for causal in 0, 1:
            case(f"Attention_{tag}_{causal}", "Attention", [x, w, bias, m], num_heads=n, unidirectional=causal, tol=LOOSE)
            case(f"QAttention_{tag}_{causal}", "QAttention",
                 [u8(b, s, 5), s8(5, 3 * d), bias, f(0.02), f(0.01), m, np.uint8(110), np.int8(3)], num_heads=n, unidirectional=causal, tol=LOOSE)
    for tag, m in masks(b, s, s + past).items():
        for causal in 0, 1:
            cache = f32(2, b, n, past, h)
            case(f"Attention_past_{tag}_{causal}", "Attention", [x, w, bias, m, cache], 2, num_heads=n, unidirectional=causal, tol=LOOSE)
            case(f"QAttention_past_{tag}_{causal}", "QAttention",
                 [u8(b, s, 5), u8(5, 3 * d), bias, f(0.02), np.abs(f32(3 * d, scale=0.01)), m, np.uint8(110), u8(3 * d), cache], 2,
                 num_heads=n, unidirectional=causal, tol=LOOSE)
    case("Attention_bias", "Attention", [x, w, bias, None, None, f32(b, n, s, s)], num_heads=n, tol=LOOSE)
    case("Attention_bias_one", "Attention", [x, w, bias, masks(b, s, s)["raw"], None, f32(1, 1, s, s)], num_heads=n, tol=LOOSE)
    case("Attention_no_bias", "Attention", [x, w], num_heads=n, scale=0.4, tol=LOOSE)
    case("Attention_filter", "Attention", [x, w, bias, masks(b, s, s)["raw"]], num_heads=n, mask_filter_value=-2.0, tol=LOOSE)
    case("Attention_sizes", "Attention", [x, f32(5, 2 * d + 8), f32(2 * d + 8)], num_heads=n, qkv_hidden_sizes=[d, d, 8], tol=LOOSE)
    kv = 5
    q, k, v = f32(b, s, d), f32(b, kv, d), f32(b, kv, 8)
    for tag, m in masks(b, s, kv).items():
        if tag == "spans":
            continue
        case(f"MultiHeadAttention_{tag}", "MultiHeadAttention", [q, k, v, f32(2 * d + 8), m], num_heads=n, tol=LOOSE)
    case("MultiHeadAttention_heads", "MultiHeadAttention", [q, f32(b, n, kv, h), f32(b, n, kv, h)], num_heads=n, tol=LOOSE)
    case("MultiHeadAttention_score_bias", "MultiHeadAttention", [q, k, v, None, None, f32(1, n, s, kv)], num_heads=n, scale=0.3, tol=LOOSE)
    k, v = f32(b, s, d), f32(b, s, d)
    cache = [f32(b, n, past, h), f32(b, n, past, h)]
    for causal in 0, 1:
        case(f"MultiHeadAttention_self_{causal}", "MultiHeadAttention", [q, k, v, f32(3 * d)], num_heads=n, unidirectional=causal, tol=LOOSE)
        case(f"MultiHeadAttention_past_{causal}", "MultiHeadAttention", [q, k, v, None, None, None] + cache, 3, num_heads=n, unidirectional=causal, tol=LOOSE)
    half = 4
    cos, sin = f32(12, half), f32(12, half)
    ids = rng.integers(0, 12, (2, 3)).astype(np.int64)
    for inter in 0, 1:
        case(f"MsRotaryEmbedding_{inter}", "RotaryEmbedding", [f32(2, 3, 16), ids, cos, sin], interleaved=inter)
        case(f"MsRotaryEmbedding_{inter}_offset", "RotaryEmbedding", [f32(2, 2, 3, 8), np.array([5], np.int64), cos, sin], interleaved=inter)
        case(f"MsRotaryEmbedding_{inter}_part", "RotaryEmbedding", [f32(2, 3, 20), ids, cos, sin], interleaved=inter, num_heads=2, rotary_embedding_dim=8)


def grouped():
    batch, seq, n, kv, size = 2, 5, 4, 2, 16
    caches = [f32(16, size // 2), f32(16, size // 2)]
    q, k, v = f32(batch, seq, n * size), f32(batch, seq, kv * size), f32(batch, seq, kv * size)
    heads = dict(num_heads=n, kv_num_heads=kv, tol=LOOSE)
    full = [np.full(batch, seq - 1, np.int32), np.int32(seq)]
    packed = np.concatenate([q, k, v], -1)
    bias = f32(1, n, seq, seq)
    sink = f32(n)
    for tag, parts in ("", [q, k, v]), ("_packed", [packed, None, None]):
        base = parts + [None, None] + full
        case(f"GroupQueryAttention{tag}", "GroupQueryAttention", base, 3, const=(6,), **heads)
        case(f"GroupQueryAttention{tag}_scale", "GroupQueryAttention", base, 3, const=(6,), scale=0.2, softcap=1.5, **heads)
        case(f"GroupQueryAttention{tag}_window", "GroupQueryAttention", base, 3, const=(6,), local_window_size=2, **heads)
        case(f"GroupQueryAttention{tag}_smooth", "GroupQueryAttention", base, 3, const=(6,), smooth_softmax=1, **heads)
        case(f"GroupQueryAttention{tag}_sink", "GroupQueryAttention", base + [None, None, None, bias, sink], 3, const=(6,), **heads)
        for inter in 0, 1:
            rotary = dict(do_rotary=1, rotary_interleaved=inter, **heads)
            case(f"GroupQueryAttention{tag}_rotary_{inter}", "GroupQueryAttention", base + caches, 3, const=(6,), **rotary)
            # One more token on sequences of 4 and 6 keys, in a cache for 7 and in one for 9.
            for capacity in 6, 9:
                past = [f32(batch, kv, capacity, size), f32(batch, kv, capacity, size)]
                one = [None if p is None else p[:, :1] for p in parts]
                case(f"GroupQueryAttention{tag}_past_{inter}_{capacity}", "GroupQueryAttention",
                     one + past + [np.array([4, 6], np.int32), np.int32(7)] + caches, 3, const=(6,), **rotary)


def linear():
    x = f32(3, 8, scale=2)
    for kind, low, high in (np.uint16, 0, 65535), (np.int16, -32768, 32767), (np.uint8, 0, 255), (np.int8, -128, 127):
        z = kind(rng.integers(low, high))
        s = f(8 / 65535 if kind in (np.uint16, np.int16) else 8 / 255)
        case(f"MsQuantizeLinear_{kind.__name__}", "QuantizeLinear", [x, s, z])
        q = rng.integers(low, high, (3, 8)).astype(kind)
        case(f"MsDequantizeLinear_{kind.__name__}", "DequantizeLinear", [q, s, z])
        zs = rng.integers(low, high, 3).astype(kind)
        case(f"MsQuantizeLinear_{kind.__name__}_axis", "QuantizeLinear", [x, np.abs(f32(3)) * s, zs], axis=0)
        case(f"MsDequantizeLinear_{kind.__name__}_axis", "DequantizeLinear", [q, np.abs(f32(3)) * s, zs], axis=0)
    four_bits(TensorProto.INT4, -8, 8)
    four_bits(TensorProto.UINT4, 0, 16)
    case("MsDequantizeLinear_int32", "DequantizeLinear", [rng.integers(-9999, 9999, (3, 8)).astype(np.int32), f(0.01)])


shutil.rmtree(OUT, ignore_errors=True)
os.makedirs(OUT)
for part in quantized, lstm, n_bits, fused, norms, attention, grouped, linear:
    part()
print(len(os.listdir(OUT)), "cases")

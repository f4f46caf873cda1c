"""Encoded weights in other runtimes: python testdata/encoded.py ONNXOPT OUT

Writes a small network with weights of every form that the pass encode-weights knows, encodes it, and runs
both files in this tool, onnxruntime, OpenVINO and OpenCV. Fails where answers differ, where onnxruntime or OpenVINO
is left with more than the network's own operators, or where onnxruntime runs the encoded file slower.
"""
import subprocess
import sys
import time

import cv2
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

IN, HIDDEN, OUT = 400, 300, 10
# Form in the ledger: number of values, share of the weights that are not zero, whether they stand in clusters.
FORMS = {
    "an index for each element": (15, 0.9, False),
    "blocks of 1": (8, 0.4, False),
    "blocks of 8": (8, 0.05, True),
    "Elias-Fano": (8, 0.01, False),
    "float16": (2000, 1, False),
}


def weight(rng, rows, columns, values, share, clustered):
    book = rng.normal(size=values).astype(np.float32) / 8
    kept = rng.random((rows, columns)) < share
    if clustered:
        kept = np.repeat(rng.random((rows, columns // 8 + 1)) < 2 * share, 8, 1)[:, :columns] & (rng.random((rows, columns)) < 0.5)
    if values > 128:
        book = book.astype(np.float16)
    return np.where(kept, book[rng.integers(0, values, (rows, columns))], 0).astype(np.float32)


def network(rng, form):
    bias = (rng.integers(-60, 60, HIDDEN) / 64).astype(np.float32)
    weights = {"w": weight(rng, HIDDEN, IN, *FORMS[form]), "b": bias, "v": weight(rng, OUT, HIDDEN, *FORMS[form])}
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["h"], transB=1), helper.make_node("Relu", ["h"], ["r"]),
             helper.make_node("Gemm", ["r", "v"], ["y"], transB=1)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", IN])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", OUT])],
                              [numpy_helper.from_array(a, n) for n, a in weights.items()])
    return helper.make_model(graph, ir_version=7, opset_imports=[helper.make_opsetid("", 13)])


def session(path, optimized=None):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if optimized:
        options.optimized_model_filepath = optimized
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def vino(path):
    return openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def opencv(path, x):
    net = cv2.dnn.readNetFromONNX(path)
    net.setInput(x, "x")
    return net.forward()


def ours(tool, path, out, x):
    np.savez(out + "/x.npz", x=x)
    subprocess.run([tool, "run", path, "--data", out + "/x.npz", "-o", out + "/y.npz"], check=True, capture_output=True)
    return np.load(out + "/y.npz")["y"]


def slower(a, b, x):
    """Least time of b over that of a, runs taking turns."""
    best = [1e9, 1e9]
    for _ in range(300):
        for i, s in enumerate((a, b)):
            start = time.perf_counter()
            s.run(None, {"x": x})
            best[i] = min(best[i], time.perf_counter() - start)
    return best[1] / best[0]


def main(tool, out):
    rng = np.random.default_rng(0)
    missed = []
    print("form                         bytes           difference: ours, onnxruntime, OpenVINO, OpenCV   time in onnxruntime")
    for form in FORMS:
        plain, small = out + "/plain.onnx", out + "/small.onnx"
        onnx.save(network(rng, form), plain)
        p = subprocess.run([tool, "optimize", plain, "-o", small, "--verbose", "--passes", "encode-weights,dead-code,short-names"],
                           check=True, capture_output=True, text=True)
        onnx.checker.check_model(small, full_check=True)
        x = rng.normal(size=(4, IN)).astype(np.float32)
        a, b = session(plain), session(small, out + "/folded.onnx")
        want = a.run(None, {"x": x})[0]
        answers = ours(tool, small, out, x), b.run(None, {"x": x})[0], vino(small)(x)[0], opencv(small, x)
        far = [float(np.abs(y - want).max() / np.abs(want).max()) for y in answers]
        ratio = slower(a, b, x)
        sizes = len(open(plain, "rb").read()), len(open(small, "rb").read())
        print(f"{form:28} {sizes[0]:6} {sizes[1]:6}   {far[0]:.1e} {far[1]:.1e} {far[2]:.1e} {far[3]:.1e}   {ratio:.2f}")
        left = {n.op_type for n in onnx.load(out + "/folded.onnx").graph.node}
        kept = len(vino(small).get_runtime_model().get_ops()) - len(vino(plain).get_runtime_model().get_ops())
        for ok, what in (
            (p.stdout.count(form) == 2, f"not the form that was to be tested: {p.stdout}"),
            (p.stdout.count("int8 multiples") == 1, "the bias is not int8"),
            (max(far) < 1e-5, "answers differ"),
            (left <= {"Gemm", "FusedGemm", "Relu"}, f"onnxruntime is left with {left}"),
            (kept <= 0, f"OpenVINO is left with {kept} more operators"),
            (ratio < 1.2, f"onnxruntime takes {ratio:.2f} times as long"),
        ):
            if not ok:
                missed.append(f"{form}: {what}")
    for m in missed:
        print("missed:", m)
    sys.exit(bool(missed))


main(*sys.argv[1:])

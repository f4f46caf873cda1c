"""Deploy the shipped models: python testdata/deploy.py ONNXOPT OUT

Quantizes every model of models/ with ONNXOPT, runs float and int8 files in this
tool, onnxruntime and OpenVINO on the 10,000 MNIST test images, prints what came out
and fails where a bar is missed.
"""
import gzip
import os
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import openvino

MNIST = "models/mnist/"
# Model: the largest drop of top-1 in points.
MODELS = {"lenet300": 0.1, "lenet5": 0.1, "resnet8": 0.1, "mbnet": 0.3, "tinyvit": 0.3}
SIZE, AGREEMENT, FLOAT = 0.28, 0.999, 1e-4


def idx(path):
    with gzip.open(path) as f:
        data = f.read()
    rank = data[3]
    shape = np.frombuffer(data, ">i4", rank, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


images = idx(MNIST + "t10k-images-idx3-ubyte.gz")[:, None].astype(np.float32) / 255
labels = idx(MNIST + "t10k-labels-idx1-ubyte.gz")
np.savez("%s/images.npz" % sys.argv[2], input=images)


def batches(run):
    return np.concatenate([run(images[i:i + 500]) for i in range(0, len(images), 500)])


def ours(tool, path, out):
    subprocess.run([tool, "run", path, "--data", out + "/images.npz", "-o", out + "/logits.npz"], check=True, capture_output=True)
    return np.load(out + "/logits.npz")["logits"]


def with_onnxruntime(path, level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return batches(lambda x: session.run(None, {"input": x})[0])


def with_openvino(path):
    # f32 keeps CPUs with bfloat16 units at the file's own precision.
    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return batches(lambda x: model(x)[0].copy())


def error(logits):
    return 100 * np.mean(logits.argmax(1) != labels)


def agreement(a, b):
    return np.mean(a.argmax(1) == b.argmax(1))


def sqnr(a, b):
    return 10 * np.log10((a ** 2).sum() / ((a - b) ** 2).sum())


def main(tool, out):
    missed = []

    def want(ok, what):
        if not ok:
            missed.append(what)

    print("model     bytes            x     error % of 10,000: float, int8 ours, onnxruntime, OpenVINO   "
          "int8 agreement with onnxruntime: basic, all; OpenVINO   float against onnxruntime")
    for name, drop in MODELS.items():
        path, small = f"models/{name}.onnx", f"{out}/{name}.int8.onnx"
        subprocess.run([tool, "optimize", path, "--data", MNIST, "-o", small, "--quiet"], check=True, stdout=subprocess.DEVNULL)
        onnx.checker.check_model(small, full_check=True)
        a, b = ours(tool, path, out), with_onnxruntime(path)
        float_error = np.abs(a - b).max() / np.abs(b).max()
        mine, vino = ours(tool, small, out), with_openvino(small)
        # The basic level keeps QuantizeLinear and DequantizeLinear apart: exact on CPUs whose u8 x s8 products saturate.
        basic = with_onnxruntime(small, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC)
        best = with_onnxruntime(small)
        sizes = os.path.getsize(path), os.path.getsize(small)
        print(f"{name:9} {sizes[0]:7} {sizes[1]:6} {sizes[1] / sizes[0]:.3f}   {error(b):.2f} {error(mine):.2f} {error(best):.2f} {error(vino):.2f}   "
              f"{agreement(mine, basic):.4f} {agreement(mine, best):.4f} {agreement(mine, vino):.4f}   {float_error:.1e}")
        want(float_error <= FLOAT, f"{name}: float differs from onnxruntime by {float_error:.1e}")
        want(sizes[1] <= SIZE * sizes[0], f"{name}: {sizes[1] / sizes[0]:.3f} of the size")
        want(agreement(mine, basic) >= AGREEMENT, f"{name}: int8 agrees with onnxruntime on {agreement(mine, basic):.4f}")
        for engine, logits in ("ours", mine), ("onnxruntime", basic), ("OpenVINO", vino):
            want(error(logits) <= error(b) + drop + 1e-9, f"{name}: error {error(logits):.2f} in {engine}, float {error(b):.2f}")
    # Layers that stay float between integer ones: onnxruntime would round their weights itself.
    small = f"{out}/mbnet.mixed.onnx"
    subprocess.run([tool, "quantize", "models/mbnet.onnx", "--data", MNIST, "--per-tensor", "--calibration-samples", "64", "--samples", "1", "-o", small, "--quiet"],
                   check=True, stdout=subprocess.DEVNULL)
    reference, best = with_onnxruntime("models/mbnet.onnx"), with_onnxruntime(small)
    print(f"mbnet with float layers between integer ones: {sqnr(reference, ours(tool, small, out)):.1f} dB, {sqnr(reference, best):.1f} in onnxruntime")
    want(sqnr(reference, best) >= 30, f"mbnet with float layers: {sqnr(reference, best):.1f} dB in onnxruntime")
    for m in missed:
        print("missed:", m)
    sys.exit(bool(missed))


main(*sys.argv[1:])

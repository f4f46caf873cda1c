"""Integers against onnxruntime: python testdata/agree.py ONNXOPT OUT [MODEL.onnx SAMPLES.npz]...

Runs quantized models in this tool and in onnxruntime on the same inputs and counts the output elements that
are equal, bit for bit: ONNX's node tests of quantized operators (build/conformance), the shipped models
quantized by ONNXOPT into OUT on 256 test images, and what is given. With qemu-x86_64 on the path onnxruntime
also runs on an emulated processor with AVX2 and without VNNI, against --device avx2-saturating.
Exit status 1 if a node test or a shipped model differs; tinyvit is only reported: float operators between its
integers round differently in both.
"""
import glob
import gzip
import os
import shutil
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

SHIPPED = ["lenet300", "lenet5", "resnet8", "mbnet", "tinyvit"]
NODES = ["qlinear", "convinteger", "matmulinteger", "basic_convinteger", "dynamicquantizelinear", "quantizelinear", "dequantizelinear"]
DEVICE = "avx2-saturating"


def with_onnxruntime(path, data):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: data[i.name] for i in session.get_inputs()})


def emulated(path, data):
    """with_onnxruntime in a process on an emulated Haswell."""
    np.savez(out + "/emulated-in.npz", **data)
    subprocess.run(["qemu-x86_64", "-cpu", "Haswell", sys.executable, __file__, "--run", path, out + "/emulated-in.npz", out + "/emulated-out.npz"],
                   check=True, stderr=subprocess.DEVNULL)
    z = np.load(out + "/emulated-out.npz")
    return [z["o%d" % i] for i in range(len(z.files))]


def ours(path, data, device=None):
    np.savez(out + "/in.npz", **data)
    batch = str(max([len(v) for v in data.values() if v.ndim] or [1]))
    subprocess.run([tool, "run", path, "--data", out + "/in.npz", "--batch", batch, "-o", out + "/out.npz"] +
                   (["--device", device] if device else []), check=True, capture_output=True)
    z = np.load(out + "/out.npz")
    return [z[v.name] for v in onnx.load(path, load_external_data=False).graph.output]


def equal(got, want):
    """How many elements are equal, and of how many; NaN equals NaN."""
    pairs = [(g, w) for g, w in zip(got, want) if g.shape == w.shape and g.dtype == w.dtype]
    return sum(int(np.sum((g == w) | ((g != g) & (w != w)))) for g, w in pairs), sum(w.size for w in want)


def node_tests():
    passed = refused = 0
    different = []
    for path in sorted(glob.glob("build/conformance/node/test_*/model.onnx")):
        name = os.path.basename(os.path.dirname(path))
        if not name[5:].startswith(tuple(NODES)):
            continue
        folder = os.path.dirname(path) + "/test_data_set_0"
        try:
            model = onnx.load(path)
            data = {}
            for i, v in enumerate(model.graph.input):
                t = onnx.TensorProto()
                t.ParseFromString(open("%s/input_%d.pb" % (folder, i), "rb").read())
                data[v.name] = numpy_helper.to_array(t)
            want = with_onnxruntime(path, data)
        except Exception:
            refused += 1  # a type or version that onnxruntime or NumPy does not have
            continue
        done = subprocess.run([tool, "run", path, "--data", folder, "-o", out + "/out.npz"], capture_output=True)
        got = []
        if done.returncode == 0:
            z = np.load(out + "/out.npz")
            got = [z[v.name] for v in model.graph.output]
        if got and equal(got, want)[0] == sum(w.size for w in want):
            passed += 1
        else:
            different.append(name)
    print("node tests: %d equal, %d different %s, %d not run by onnxruntime" % (passed, len(different), different, refused))
    return not different


def images(n):
    with gzip.open("models/mnist/t10k-images-idx3-ubyte.gz") as f:
        return np.frombuffer(f.read(), np.uint8, n * 784, 16).reshape(n, 1, 28, 28).astype(np.float32) / 255


def model(path, data):
    name = os.path.basename(path)
    a, n = equal(ours(path, data), with_onnxruntime(path, data))
    line = "%-28s %7d of %7d equal" % (name, a, n)
    good = a == n
    if shutil.which("qemu-x86_64"):
        want = emulated(path, data)
        b, _ = equal(ours(path, data, DEVICE), want)
        c, _ = equal(ours(path, data), want)
        line += "; AVX2 without VNNI: %7d equal with --device, %7d without" % (b, c)
        good = good and b == n
    print(line, flush=True)
    return good


def main():
    os.makedirs(out, exist_ok=True)
    good = node_tests()
    batch = {"input": images(256)}
    for name in SHIPPED:
        path = "%s/%s.onnx" % (out, name)
        if not os.path.exists(path):
            subprocess.run([tool, "optimize", "models/%s.onnx" % name, "--data", "models/mnist", "--samples", "500", "--force", "-q", "-o", path], check=True, capture_output=True)
        good = (model(path, batch) or name == "tinyvit") and good
    for path, samples in zip(sys.argv[3::2], sys.argv[4::2]):
        z = np.load(samples)
        inputs = [i.name for i in onnx.load(path, load_external_data=False).graph.input]
        model(path, {k: z[k][:1] for k in inputs})
    sys.exit(not good)


if sys.argv[1] == "--run":
    results = with_onnxruntime(sys.argv[2], dict(np.load(sys.argv[3])))
    np.savez(sys.argv[4], **{"o%d" % i: v for i, v in enumerate(results)})
else:
    tool, out = sys.argv[1], sys.argv[2]
    main()

"""Block-wise weights in other runtimes: python testdata/blocks.py ONNXOPT OUT

Quantizes shipped networks with a scale for each block of inputs, in 8 and 4 bits, as DequantizeLinear with a block
size and as MatMulNBits, rounded on samples. Fails where onnxruntime (OpenVINO for DequantizeLinear) answers
otherwise than this tool, or where the errors of the answers are not those expected of so many bits.
"""
import os
import subprocess
import sys

import numpy as np
import onnxruntime
import openvino

BLOCKS = [32, 128]
LEAST = {"int8": 38, "int4": 14}  # dB against the float network


def images(models, count):
    import gzip
    raw = gzip.open(f"{models}/mnist/t10k-images-idx3-ubyte.gz").read()
    return np.frombuffer(raw, np.uint8, count * 784, 16).reshape(count, 1, 28, 28).astype(np.float32) / 255


def onnx(path, feeds):
    o = onnxruntime.SessionOptions()
    o.log_severity_level, o.intra_op_num_threads = 4, 1
    o.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")  # by default activations are rounded to 8 bits
    return onnxruntime.InferenceSession(path, o, providers=["CPUExecutionProvider"]).run(None, feeds)[0]


def vino(path, feeds):
    m = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0})
    return list(m(feeds).values())[0]


def main(tool, out):
    os.makedirs(out, exist_ok=True)
    models = os.path.dirname(os.path.abspath(__file__)) + "/../models"
    bad = 0
    for name in "lenet300", "tinyvit":
        path = f"{models}/{name}.onnx"
        x = images(models, 16)
        session = onnxruntime.InferenceSession(path)
        feeds, output = {session.get_inputs()[0].name: x}, session.get_outputs()[0].name
        np.savez(out + "/x.npz", **feeds)
        want = onnx(path, feeds)
        for weights in "int8", "int4":
            for block in BLOCKS:
                for form in [], ["--matmul-nbits"]:
                    file = f"{out}/{name}.{weights}.{block}{'.nbits' if form else ''}.onnx"
                    subprocess.run([tool, "quantize", path, "-o", file, "--weights", weights, "--activations", "float32", "--block", str(block),
                                    "--data", out + "/x.npz", "--min-sqnr", "-1", "--quiet", *form], check=True, capture_output=True)
                    subprocess.run([tool, "run", file, "--data", out + "/x.npz", "-o", out + "/y.npz"], check=True, capture_output=True)
                    ours = np.load(out + "/y.npz")[output]
                    far = [float(abs(ours - onnx(file, feeds)).max() / abs(ours).max())]
                    if not form:
                        far.append(float(abs(ours - vino(file, feeds)).max() / abs(ours).max()))
                    db = 10 * np.log10((want ** 2).sum() / ((want - ours) ** 2).sum())
                    ok = max(far) < 1e-4 and db > LEAST[weights]
                    bad += not ok
                    print(f"{os.path.basename(file):34} {os.path.getsize(file) / os.path.getsize(path):.3f}x {db:.1f} dB, other runtimes differ by "
                          f"{', '.join(f'{f:.1e}' for f in far)}{'' if ok else '  FAIL'}")
    sys.exit(bad)


main(*sys.argv[1:])

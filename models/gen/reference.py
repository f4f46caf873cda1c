"""Check the shipped models and print size, test error and operators of each.

    python models/gen/reference.py [MODEL.onnx ...]

Every file passes onnx.checker with full_check; the error is that of
onnxruntime without graph optimization on 10,000 test images.
"""
import collections
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from mnist import read_idx
from scenes import TEST, scenes

MODELS = pathlib.Path(__file__).resolve().parent.parent


def error(path, images, labels):
    """Returns the percentage of images whose largest logit is not at their label."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    wrong = 0
    for i in range(0, len(images), 500):
        logits, = session.run(["logits"], {"input": images[i:i + 500]})
        wrong += int((logits.argmax(1) != labels[i:i + 500]).sum())
    return 100 * wrong / len(images)


def main():
    digits = read_idx(MODELS / "mnist/t10k-images-idx3-ubyte.gz")[:, None], read_idx(MODELS / "mnist/t10k-labels-idx1-ubyte.gz")
    for path in sys.argv[1:] or map(str, sorted(MODELS.glob("*.onnx"))):
        model = onnx.load(path)
        images, labels = scenes(10000, TEST) if pathlib.Path(path).stem.startswith("scenes") else digits
        onnx.checker.check_model(model, full_check=True)
        ops = collections.Counter(node.op_type for node in model.graph.node)
        print(f"{pathlib.Path(path).stem}: {pathlib.Path(path).stat().st_size} bytes, "
              f"error {error(path, images.astype(np.float32) / 255, labels):.2f} %, "
              f"{', '.join(f'{n} {op}' for op, n in sorted(ops.items()))}")


main()

"""Errors of trained models quantized by this tool and its peers: bench_labels.py TOOL OUT [MODEL.onnx ...]

The networks of models/, by default all. Each is calibrated on the same 300 unlabelled training images by every tool and
runs in onnxruntime on 10,000 labelled test images: MNIST's, or those of models/gen/scenes.py. Printed are the errors in %
and the sizes relative to the float file; exit code 1 where an int8 error of this tool is above the best peer's, more than 0.05
points above the float one on MNIST, or an int4 error more than 0.3 points above. Options: --tools a,b --peers PYTHON.
"""
import argparse
import glob
import os
import subprocess
import sys

import numpy as np
import onnxruntime

from bench_quantize import job, size, write_samples

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../models/gen"))
from mnist import read_idx  # noqa: E402
from scenes import TEST, TRAIN, scenes  # noqa: E402

INT8, INT4 = ["onnxopt", "ort-minmax", "ort-percentile", "nncf", "onc"], ["onnxopt-int4", "ort-int4", "nncf-int4"]
CALIBRATION, IMAGES = 300, 10000
WORSE_INT8, WORSE_INT4 = 0.05, 0.3


def data(name):
    """Calibration images, test images and their labels."""
    if name.startswith("scenes"):
        calibration, (images, labels) = scenes(500, TRAIN)[0], scenes(IMAGES, TEST)
    else:
        calibration, images = (read_idx(f"models/mnist/{x}-images-idx3-ubyte.gz")[:, None] for x in ("calib", "t10k"))
        labels = read_idx("models/mnist/t10k-labels-idx1-ubyte.gz")
    real = lambda x: x.astype(np.float32) / 255
    return real(calibration[:CALIBRATION]), real(images), labels


def error(path, images, labels):
    """Percentage of images whose largest output is not at their label."""
    o = onnxruntime.SessionOptions()
    o.log_severity_level, o.intra_op_num_threads = 4, 1
    s = onnxruntime.InferenceSession(path, o, providers=["CPUExecutionProvider"])
    n = s.get_inputs()[0].shape[0]
    n = n if isinstance(n, int) else 500
    wrong = sum(int((s.run(None, {"input": images[i:i + n]})[0].argmax(1) != labels[i:i + n]).sum()) for i in range(0, len(images), n))
    return 100 * wrong / len(images)


def main(o):
    os.makedirs(o.out, exist_ok=True)
    missed = []
    for path in o.models or sorted(glob.glob("models/*.onnx")):
        name = os.path.basename(path)[:-5]
        calibration, images, labels = data(name)
        np.savez(f"{o.out}/calibration.npz", input=calibration)
        write_samples(f"{o.out}/samples.npz", [{"input": x[None]} for x in calibration])
        errors = {"float": error(path, images, labels)}
        cells = [f"{name:14} float {errors['float']:.2f}"]
        for tool in o.tools:
            out = f"{o.out}/{name}.{tool}.onnx"
            if os.path.exists(out):
                os.remove(out)
            if tool.startswith("onnxopt"):
                flags = ["--weights", "int4", "--target", "onnxruntime"] if tool.endswith("int4") else []
                p = subprocess.run([o.tool, "quantize", path, "--data", f"{o.out}/calibration.npz", "-o", out, "--quiet"] + flags, capture_output=True, text=True)
                r = {"error": p.stderr.strip()[-200:]} if p.returncode else {}
            else:
                r = job(o.peers, o.out, 600, tool=tool, model=path, samples=f"{o.out}/samples.npz", count=len(calibration), out=out)
            if "error" not in r:
                try:
                    errors[tool] = error(out, images, labels)
                except Exception as e:
                    r["error"] = str(e).splitlines()[0][:100]
            cells.append(f"{tool}: {r['error']}" if "error" in r else f"{tool} {errors[tool]:.2f} {size(out) / size(path):.3f}x")
        print(" | ".join(cells), flush=True)

        def want(tool, most, what):
            if tool in o.tools and not errors.get(tool, 100) <= most + 1e-9:
                missed.append(f"{name}: {tool} has an error of {errors.get(tool, 100):.2f} %, {what}")

        peers = [errors[t] for t in INT8[1:] if t in errors]
        want("onnxopt", min(peers, default=100), f"the best peer {min(peers, default=100):.2f}")
        if not name.startswith("scenes"):
            want("onnxopt", errors["float"] + WORSE_INT8, f"float {errors['float']:.2f}")
        want("onnxopt-int4", errors["float"] + WORSE_INT4, f"float {errors['float']:.2f}")
    for m in missed:
        print("missed:", m)
    sys.exit(bool(missed))


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("tool")
    p.add_argument("out")
    p.add_argument("models", nargs="*")
    p.add_argument("--tools", default=",".join(INT8 + INT4), type=lambda s: s.split(","))
    p.add_argument("--peers", default="build/peers/bin/python", help="the Python that has the peers")
    main(p.parse_args())

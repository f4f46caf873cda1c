"""Compare gradients and speed of runtime/grad with PyTorch on the shipped models.

    python runtime/grad/testdata/torch_grad.py [--rounds 5] [MODEL ...]

Needs PyTorch (models/gen/requirements.txt) and Go. A step is a forward and a
backward pass of 128 images on one thread; both programs take turns, and the
fastest step of each counts. A gradient's error is relative to its largest
element; it is that of 8 images, few enough that no activation lies within a
rounding error of the kink of a Relu.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import torch
from onnx import numpy_helper

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "models/gen"))
from nets import NETS  # noqa: E402


def load(name):
    """The network with the weights of the exported file."""
    graph = onnx.load(ROOT / f"models/{name}.onnx").graph
    state = {t.name: torch.tensor(numpy_helper.to_array(t)) for t in graph.initializer}
    for node in graph.node:  # biases that training kept equal are written once
        if node.op_type == "Identity" and node.input[0] in state:
            state[node.output[0]] = state[node.input[0]]
    net = NETS[name]()
    missing = net.load_state_dict(state, strict=False).missing_keys
    assert all(k.endswith("num_batches_tracked") for k in missing), missing
    return net.eval()


def step(net, x, cotangent):
    start = time.perf_counter()
    net.zero_grad()
    net(x).backward(cotangent)
    return 1e3 * (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(NETS))
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        binary = f"{folder}/grad.test"
        subprocess.run(["go", "test", "-c", "-o", binary, "./runtime/grad"], cwd=ROOT, check=True)
        for name in args.models:
            work = pathlib.Path(folder, name)
            work.mkdir()
            rng = np.random.default_rng(0)
            x = rng.random((128, 1, 28, 28), np.float32)
            cotangent = np.zeros((128, 10), np.float32)
            cotangent[:8] = rng.standard_normal((8, 10))
            x.tofile(work / "input.f32")
            cotangent.tofile(work / "cotangent.f32")
            (work / "model.onnx").write_bytes((ROOT / f"models/{name}.onnx").read_bytes())
            net, times = load(name), ([], [])
            for _ in range(args.rounds):
                subprocess.run([binary, "-test.run", "TestAgainstTorch"], check=True, stdout=subprocess.DEVNULL,
                               cwd=ROOT / "runtime/grad", env=os.environ | {"ONNXOPT_TORCH": str(work)})
                times[0].append(float((work / "steps.txt").read_text()))
                times[1].extend(step(net, torch.tensor(x), torch.tensor(cotangent)) for _ in range(5))
            grads, error = {k: v.grad.numpy() for k, v in net.named_parameters()}, 0.0
            tied = onnx.load(work / "model.onnx").graph.node
            for node in tied:
                if node.op_type == "Identity" and node.output[0] in grads:
                    grads[node.input[0]] = grads[node.input[0]] + grads.pop(node.output[0])
            for key, want in grads.items():
                got = np.fromfile(work / f"{key}.f32", np.float32).reshape(want.shape)
                error = max(error, float(np.abs(got - want).max() / max(np.abs(want).max(), 1e-12)))
            worst = max(worst, error)
            go, pt = min(times[0]), min(times[1])
            print(f"{name}: largest gradient error {error:.1e}; {go:.2f} ms a step, PyTorch {pt:.2f} ms, ratio {pt / go:.2f}", flush=True)
    sys.exit(worst > 1e-4)


main()

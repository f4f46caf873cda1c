"""Training steps beside PyTorch's on one thread, interleaved.

    python testdata/bench_train.py TEST_BINARY [--rounds 5] [MODEL ...]

TEST_BINARY is the tests of passes/distill (go test -c). A step is the same on
both sides: 128 images are gathered, the network runs forward, the loss is the
Kullback-Leibler divergence to a teacher's outputs at temperature 2, the
gradients of all weights follow, then Adam. PyTorch has the file's graph node by
node, batch norms folded into convolutions, as here. Time is that of the
processor, which other load on the machine touches little. A ratio is PyTorch's
divided by ours, the median of the rounds: above 1 this tool is faster.
"""
import argparse
import os
import pathlib
import resource
import subprocess
import time

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch.nn import functional as F

ROOT = pathlib.Path(__file__).resolve().parent.parent
STEPS = {"lenet300": 50, "lenet5": 8, "resnet8": 4, "mbnet": 4}  # of one round


class Network:
    """An ONNX graph in PyTorch, its weights as parameters."""

    def __init__(self, path):
        graph = onnx.load(path).graph
        self.input, self.output = graph.input[0].name, graph.output[0].name
        self.values = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
        self.nodes = []
        for n in graph.node:
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in n.attribute}
            if n.op_type == "Constant":
                self.values[n.output[0]] = torch.from_numpy(numpy_helper.to_array(attributes["value"]).copy())
            elif n.op_type == "Identity" and n.input[0] in self.values:
                self.values[n.output[0]] = self.values[n.input[0]]
            elif n.op_type == "BatchNormalization":
                self.fold(n, attributes["epsilon"])
            else:
                self.nodes.append((n.op_type, list(n.input), n.output[0], attributes))
        used = {name for op, inputs, _, _ in self.nodes for name in inputs if op in ("Conv", "Gemm")}
        self.parameters = [v.requires_grad_() for name, v in self.values.items() if name in used]

    def fold(self, node, epsilon):
        """Puts a batch norm into the convolution before it: W' = W*s, b' = (b-mean)*s + beta, s = gamma/sqrt(var+eps)."""
        at = next(i for i, n in enumerate(self.nodes) if n[2] == node.input[0])
        op, inputs, _, attributes = self.nodes[at]
        gamma, beta, mean, var = (self.values[name] for name in node.input[1:])
        scale, name = gamma / torch.sqrt(var + epsilon), node.output[0]
        bias = self.values[inputs[2]] if len(inputs) > 2 else torch.zeros_like(mean)
        self.values[name + ".w"] = self.values[inputs[1]] * scale.reshape(-1, 1, 1, 1)
        self.values[name + ".b"] = (bias - mean) * scale + beta
        self.nodes[at] = op, [inputs[0], name + ".w", name + ".b"], name, attributes

    def __call__(self, x):
        values = {**self.values, self.input: x}
        for op, inputs, output, a in self.nodes:
            values[output] = self.apply(op, [values[i] for i in inputs], a)
        return values[self.output]

    def apply(self, op, v, a):
        if op == "Conv":
            return F.conv2d(v[0], v[1], v[2] if len(v) > 2 else None, a["strides"], a["pads"][:2], a["dilations"], a["group"])
        if op == "Gemm":
            return F.linear(v[0], v[1], v[2])
        if op == "MaxPool":
            return F.max_pool2d(v[0], a["kernel_shape"], a["strides"])
        if op == "Relu":
            return F.relu(v[0])
        if op == "Clip":
            return F.hardtanh(v[0], v[1].item(), v[2].item())
        if op == "Add":
            return v[0] + v[1]
        if op == "Flatten":
            return v[0].flatten(1)
        if op == "ReduceMean":
            return v[0].mean((2, 3))
        raise NotImplementedError(op)


def trainer(path):
    net = Network(path)
    images = torch.from_numpy(np.random.default_rng(1).random((1024, 1, 28, 28), np.float32))
    with torch.no_grad():
        teacher = F.log_softmax(net(images) / 2, 1)
    adam = torch.optim.Adam(net.parameters, 1e-3, (0.9, 0.99), fused=True)

    def steps(n):
        """Processor seconds of one of n steps."""
        start = time.process_time()
        for i in range(n):
            rows = torch.arange(128) + i % 8 * 128
            adam.zero_grad()
            loss = F.kl_div(F.log_softmax(net(images[rows]) / 2, 1), teacher[rows], reduction="batchmean", log_target=True) * 4
            loss.backward()
            adam.step()
        return (time.process_time() - start) / n

    return steps


def cpu():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


def bench(binary, name, steps):
    """Processor seconds of a run of the benchmark."""
    before = cpu()
    subprocess.run([os.path.abspath(binary), "-test.run", "^$", "-test.bench", f"Advance/{name}$", "-test.benchtime", f"{steps}x"],
                   cwd=ROOT / "passes/distill", env={**os.environ, "GOMAXPROCS": "1"}, stdout=subprocess.DEVNULL, check=True)
    return cpu() - before


def ours(binary, name):
    """Processor seconds of one step: the difference of a longer run and a shorter one."""
    few, many = STEPS[name], 5 * STEPS[name]
    return (bench(binary, name, many) - bench(binary, name, few)) / (many - few)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("models", nargs="*", default=list(STEPS))
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_intermixed_args()
    torch.set_num_threads(1)
    for name in args.models:
        theirs = trainer(ROOT / f"models/{name}.onnx")
        theirs(2)
        pairs = [(theirs(STEPS[name]), ours(args.binary, name)) for _ in range(args.rounds)]
        torch_time, time_here = (np.median(times) for times in zip(*pairs))
        print(f"{name}: {1e3 * time_here:.1f} ms of a step, PyTorch {torch.__version__} {1e3 * torch_time:.1f}, "
              f"ratio {np.median([a / b for a, b in pairs]):.2f}", flush=True)


main()

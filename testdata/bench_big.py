"""Memory of the verbs on a model larger than a protobuf file may be.

usage: bench_big.py ONNXOPT FOLDER [--gigabytes 4] [--limit 600]

Makes a decoder of so many gigabytes in FOLDER, runs the verbs on it and prints what each held at most: RssAnon is
memory of its own, RssFile are pages of mapped files, which the system can drop at any time. Both are sampled every
10 ms from /proc. Weights of the results are compared with numpy's. Ends with code 1 if a verb held more than
--limit MB of its own, or failed. What it made is deleted.
"""
import argparse
import math
import os
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import onnx
from onnx import TensorProto, helper

WIDTH, HIDDEN, WORDS, LENGTH = 2048, 8192, 32000, 8
LAYER_BYTES = 4 * (4 * WIDTH * WIDTH + 2 * WIDTH * HIDDEN)


class Writer:
    """External data, a page for each tensor: distinct values from one random block."""

    def __init__(self, path, seed=1):
        self.file = open(path, "wb")
        self.name = os.path.basename(path)
        self.block = np.random.default_rng(seed).standard_normal((HIDDEN, WIDTH), dtype=np.float32)
        self.count = 0
        self.tensors = []

    def add(self, name, shape):
        n = int(np.prod(shape))
        self.count += 1
        scale = np.float32(0.02 / (1 + self.count / 1000))
        offset = self.file.tell()
        flat = self.block.reshape(-1)
        for at in range(0, n, flat.size):
            (flat[: min(flat.size, n - at)] * (scale + np.float32(at) * np.float32(1e-12))).tofile(self.file)
        t = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
        for k, v in (("location", self.name), ("offset", str(offset)), ("length", str(4 * n))):
            t.external_data.add(key=k, value=v)
        self.tensors.append(t)
        return name


def make(folder, layers):
    w = Writer(os.path.join(folder, "big.data"))
    nodes, small = [], []

    def node(op, inputs, **attrs):
        out = f"{op}_{len(nodes)}"
        nodes.append(helper.make_node(op, inputs, [out], name=f"node_{len(nodes)}", **attrs))
        return out

    def constant(name, value):
        small.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    ones, zeros = constant("ones", np.ones(WIDTH, np.float32)), constant("zeros", np.zeros(WIDTH, np.float32))
    root = constant("root", np.float32(WIDTH**0.5))
    x = node("Gather", [w.add("words", [WORDS, WIDTH]), "ids"])
    for i in range(layers):
        h = node("LayerNormalization", [node("Identity", [x]), ones, zeros])
        q, k, v = (node("MatMul", [h, w.add(f"layer{i}.{p}", [WIDTH, WIDTH])]) for p in "qkv")
        scores = node("Div", [node("MatMul", [q, node("Transpose", [k], perm=[0, 2, 1])]), root])
        y = node("MatMul", [node("Softmax", [scores], axis=-1), v])
        x = node("Add", [x, node("MatMul", [y, w.add(f"layer{i}.o", [WIDTH, WIDTH])])])
        h = node("LayerNormalization", [x, ones, zeros])
        h = node("Relu", [node("MatMul", [h, w.add(f"layer{i}.up", [WIDTH, HIDDEN])])])
        x = node("Add", [x, node("MatMul", [h, w.add(f"layer{i}.down", [HIDDEN, WIDTH])])])
    nodes.append(helper.make_node("MatMul", [x, w.add("head", [WIDTH, WORDS])], ["logits"], name="head"))
    w.file.close()
    g = helper.make_graph(
        nodes, "big",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, LENGTH])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, LENGTH, WORDS])],
        small + w.tensors)
    path = os.path.join(folder, "big.onnx")
    with open(path, "wb") as f:
        f.write(helper.make_model(g, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    return path


def measure(args):
    """Runs a command: exit code, seconds, most RssAnon and RssFile in MB, its output."""
    start = time.time()
    p = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    most = {"RssAnon": 0, "RssFile": 0}

    def sample():
        while p.poll() is None:
            try:
                with open(f"/proc/{p.pid}/status") as f:
                    for line in f:
                        key, _, value = line.partition(":")
                        if key in most:
                            most[key] = max(most[key], int(value.split()[0]))
            except OSError:
                return
            time.sleep(0.01)

    t = threading.Thread(target=sample)
    t.start()
    out = p.communicate()[0]
    t.join()
    return p.returncode, time.time() - start, most["RssAnon"] / 1024, most["RssFile"] / 1024, out


def weights(path):
    """The initializers of a model as arrays over mapped files, by name."""
    m = onnx.load(path, load_external_data=False)
    out = {}
    for t in m.graph.initializer:
        dtype, place = helper.tensor_dtype_to_np_dtype(t.data_type), {e.key: e.value for e in t.external_data}
        if place:
            out[t.name] = np.memmap(os.path.join(os.path.dirname(path), place["location"]), dtype, "r",
                                    int(place["offset"]), tuple(t.dims))
        else:
            out[t.name] = onnx.numpy_helper.to_array(t)
    return out


def same_float16(before, after):
    half = {k: v for k, v in after.items() if v.dtype == np.float16}
    for name, w in before.items():
        if w.ndim < 2:
            continue
        if not any(h.shape == w.shape and np.array_equal(w[:64].astype(np.float16), h[:64]) for h in half.values()):
            return f"{name} is not there in float16"
    return ""


def same_int8(before, after):
    for name, w in before.items():
        q = after.get(name + "_q")
        if w.ndim < 2:
            continue
        if q is None or q.dtype != np.int8 or q.shape != w.shape:
            return f"{name} is not there in int8"
        a, b = w[:64].astype(np.float64).ravel(), q[:64].astype(np.float64).ravel()
        if np.corrcoef(a, b)[0, 1] < 0.98:
            return f"{name} is not what its integers say"
    return ""


def same(before, after):
    for name, w in before.items():
        if w.ndim >= 2 and not np.array_equal(w, after.get(name, np.zeros(0))):
            return f"{name} changed"
    return ""


def main():
    p = argparse.ArgumentParser()
    p.add_argument("onnxopt")
    p.add_argument("folder")
    p.add_argument("--gigabytes", type=float, default=4)
    p.add_argument("--limit", type=float, default=600)
    o = p.parse_args()
    folder = os.path.join(o.folder, "big")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    bad = 0
    try:
        path = make(folder, max(1, math.ceil((o.gigabytes * 1e9 - 8 * WORDS * WIDTH) / LAYER_BYTES)))
        before = weights(path)
        size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder))
        print(f"model of {size / 1e9:.2f} GB, {len(before)} weights")
        print(f"{'verb':34} {'code':>4} {'s':>6} {'own MB':>7} {'file MB':>8} {'result GB':>9}")
        out = os.path.join(folder, "out.onnx")
        for args, verify in (
            (["inspect"], None),
            (["check"], None),
            (["simplify", "-q", "-o", out], same),
            (["convert", "--opset", "21", "-o", out], same),
            (["quantize", "-q", "--weights", "int8", "-o", out], same_int8),
            (["quantize", "-q", "--weights", "float16", "-o", out], same_float16),
            (["quantize", "-q", "--weights", "int4", "-o", out], None),
        ):
            code, seconds, anon, mapped, text = measure([o.onnxopt, args[0], path, *args[1:]])
            written = [os.path.join(folder, f) for f in os.listdir(folder) if f.startswith("out.onnx")]
            fault = text if code else verify(before, weights(out)) if verify else ""
            print(f"{' '.join(a for a in args if a != out and a not in ('-o', '-q')):34} {code:4} {seconds:6.1f} {anon:7.0f} {mapped:8.0f} "
                  f"{sum(map(os.path.getsize, written)) / 1e9:9.2f}", flush=True)
            if fault or anon > o.limit:
                bad += 1
                print("   ", fault.strip() or f"more than {o.limit:.0f} MB")
            if written and verify == same:
                code, seconds, anon, mapped, text = measure([o.onnxopt, "check", out])
                if code:
                    bad += 1
                    print("    the result:", text.strip())
            for f in written:
                os.remove(f)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if bad else 0)


main()

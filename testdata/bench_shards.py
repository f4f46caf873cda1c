"""What splitting calibration and evaluation over machines costs.

usage: bench_shards.py ONNXOPT FOLDER [ONNXOPT_BEAM]

Runs a job in 1 to 64 shards, one after the other, checks that the merged bytes are those of one process, and prints the
CPU time of all shards and of the merge as a ratio to that of one process; with ONNXOPT_BEAM also that of the pipeline on
Prism in process. Two figures are fitted by least squares, CPU seconds = samples * a + shards * b; prints what they and the
time of merging a part predict for 10,000 shards.
"""
import os
import resource
import shutil
import subprocess
import sys

import numpy as np

beam = os.path.abspath(sys.argv[3]) if len(sys.argv) > 3 else None
onnxopt, folder = os.path.abspath(sys.argv[1]), os.path.join(os.path.abspath(sys.argv[2]), "shards")
root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
model, images = os.path.join(root, "models/resnet8.onnx"), os.path.join(root, "models/mnist")
COUNTS, SAMPLES = (1, 2, 4, 8, 16, 32, 64), 4000


def cpu(*args, program=onnxopt):
    """Least CPU seconds of two runs."""
    best = float("inf")
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([program, *args], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best = min(best, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return best


def same(a, b):
    with open(os.path.join(folder, a), "rb") as f, open(os.path.join(folder, b), "rb") as g:
        return f.read() == g.read()


def job(name, args):
    print(f"\n{name}: {SAMPLES} samples\n{'shards':>7} {'shards, CPU s':>14} {'merge, CPU s':>13} {'ratio':>6} {'each shard':>11} {'Beam':>6}  bytes")
    one, rows, costs = None, [], []
    for n in COUNTS:
        parts = [f"{i}.part" for i in range(1, n + 1)]
        total = 0
        for i, part in enumerate(parts, 1):
            total += cpu(*args, "--shard", f"{i}/{n}", "-o", part)
        merge = cpu("merge", *parts, "-o", "all")
        if one is None:
            one = total
            shutil.copy(os.path.join(folder, parts[0]), os.path.join(folder, "one"))
        equal, pipeline = same("one", "all"), ""
        if beam:
            pipeline = cpu("--shards", str(n), "-o", "beam", "--onnxopt", onnxopt, "--", *args, program=beam) / one
            equal, pipeline = equal and same("one", "beam"), f"{pipeline:.2f}"
        rows.append([SAMPLES, n])
        costs.append(total)
        print(f"{n:7} {total:14.2f} {merge:13.2f} {(total + merge) / one:6.2f} {total / n:11.3f} {pipeline:>6}  {'equal' if equal else 'OTHER'}", flush=True)
        if not equal:
            sys.exit(1)
    (a, b), *_ = np.linalg.lstsq(np.array(rows, float), np.array(costs), rcond=None)
    each = merge / COUNTS[-1]
    print(f"one sample {1e3 * a:.3f} ms, one shard {1e3 * b:.1f} ms, merging one part {1e3 * each:.1f} ms")
    for per in (100, 1000, 10000):
        work = 10000 * per * a
        print(f"10,000 shards of {per} samples: ratio {(work + 10000 * (b + each) + b) / (work + b):.3f}, "
              f"merge in one process {10000 * each / 60:.1f} min, in a tree of 100 times 100 {200 * each:.1f} s")


shutil.rmtree(folder, ignore_errors=True)
os.makedirs(folder)
subprocess.run([onnxopt, "quantize", model, "--data", images, "--calibration-samples", "100", "--samples", "100", "-q", "-o", "int8.onnx"],
               cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
job("calibrate", ["calibrate", model, "--data", os.path.join(images, "t10k-images-idx3-ubyte.gz"), "--calibration-samples", str(SAMPLES)])
job("compare", ["compare", model, "int8.onnx", "--data", images, "--samples", str(SAMPLES)])
shutil.rmtree(folder)

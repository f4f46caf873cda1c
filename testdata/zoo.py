"""Every model of the zoo against onnxruntime: python testdata/zoo.py ONNXOPT ZOO [NAME ...]

Checks, infers and runs each ZOO/NAME.onnx at its sample and, where dimensions are symbolic, at two
more sizes. Prints the difference from onnxruntime without graph optimization, relative to the largest
value, and in brackets onnxruntime's own: what its optimization changes or, where ours is larger still,
moving the inputs by one unit in the last place (rounding to int8 makes steps of such differences).
Fails on differences beyond 1e-4 that are not also onnxruntime's own.
"""
import glob
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as runtime_state

TOLERANCE = 1e-4
SCALES = 1, 2, 3
NUDGES = 32
# What onnxopt check must find: files that lie about themselves and run all the same.
INVALID = {
    "captcha_new": "output 387 is declared float[1,seqlen], inferred",
    "captcha_old": "output 387 is declared float[1,seqlen], inferred",
    "keras_transformer": "unknown operator Erfc",
}


def sized(x, dims, scale):
    """x with every symbolic dimension scale times as long, by repetition."""
    for axis, d in enumerate(dims):
        if isinstance(d, str):
            x = np.concatenate([x] * scale, axis)
    return x


def ours(tool, path, feeds):
    with tempfile.TemporaryDirectory() as d:
        os.mkdir(d + "/test_data_set_0")
        for i, x in enumerate(feeds.values()):
            with open(f"{d}/test_data_set_0/input_{i}.pb", "wb") as f:
                f.write(onnx.numpy_helper.from_array(x).SerializeToString())
        r = subprocess.run([tool, "run", path, "--data", d, "-o", d + "/y.npz"], capture_output=True, text=True)
        if r.returncode:
            raise RuntimeError(r.stderr.strip().splitlines()[-1])
        return dict(np.load(d + "/y.npz"))


def difference(a, b):
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{a.dtype}{list(a.shape)} wanted {b.dtype}{list(b.shape)}"
    if b.size == 0:
        return 0.0
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-9))


def matched(got, want):
    """got with the rows of detections, whose order hangs on ties of scores, in the order of want."""
    if set(want) != {"boxes", "scores", "labels"} or got["boxes"].shape != want["boxes"].shape:
        return got
    if not len(want["labels"]):
        return got
    far = np.abs(got["boxes"][None] - want["boxes"][:, None]).max(2) + 1e6 * (got["labels"][None] != want["labels"][:, None])
    order = far.argmin(1)
    if len(set(order)) < len(order):
        return got
    return {k: v[order] for k, v in got.items() if k in want}


def open_session(path, level):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = level
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def nudged(feeds, rng):
    """The feeds with each float32 one unit in the last place up or down."""
    toward = {k: np.where(rng.random(x.shape) < 0.5, -np.inf, np.inf).astype(np.float32) for k, x in feeds.items()}
    return {k: np.nextafter(x, toward[k]) if x.dtype == np.float32 else x for k, x in feeds.items()}


def examine(tool, path):
    checked = subprocess.run([tool, "check", path], capture_output=True, text=True)
    known = INVALID.get(os.path.basename(path)[:-5])
    if bool(checked.returncode) != bool(known) or known and known not in checked.stdout:
        return ["check: " + (checked.stdout.strip() or "says nothing of " + known)]
    if known and "unknown operator" in known:
        return [(0.0, 0.0)]
    session = open_session(path, onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
    fused = open_session(path, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)
    sample = dict(np.load(path[:-5] + ".npz"))
    rows = []
    dynamic = any(isinstance(d, str) for i in session.get_inputs() for d in i.shape)
    for scale in SCALES if dynamic else SCALES[:1]:
        feeds = {i.name: sized(sample[i.name], i.shape, scale) for i in session.get_inputs()}
        try:
            want = dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds)))
        except (runtime_state.Fail, runtime_state.RuntimeException, runtime_state.InvalidArgument):
            continue  # the exporter made a constant of a dimension that it calls symbolic
        try:
            got = matched(ours(tool, path, feeds), want)
            worst = [difference(got[k], v) for k, v in want.items()]
            texts = [w for w in worst if isinstance(w, str)]
            if texts:
                rows.append(texts[0])
                continue

            def own(run, feeds):
                other = matched(dict(zip(want, run.run(None, feeds))), want)
                return max(difference(other[k], v) for k, v in want.items())

            spread, rng = own(fused, feeds), np.random.default_rng(0)
            for _ in range(NUDGES):
                if max(worst) > max(TOLERANCE, spread):
                    spread = max(spread, own(session, nudged(feeds, rng)))
            rows.append((max(worst), spread))
        except RuntimeError as e:
            rows.append(str(e))
    return rows


def main(tool, zoo, *names):
    bad = 0
    paths = [f"{zoo}/{n}.onnx" for n in names] or sorted(glob.glob(zoo + "/*.onnx"))
    for path in paths:
        try:
            rows = examine(tool, path)
        except Exception as e:
            rows = [f"{type(e).__name__}: {str(e)[:200]}"]
        ok = all(isinstance(r, tuple) and r[0] <= max(TOLERANCE, r[1]) for r in rows)
        bad += not ok
        print(f"{os.path.basename(path)[:-5]:24} {'ok  ' if ok else 'FAIL'} " +
              "  ".join(f"{r[0]:.1e} ({r[1]:.0e})" if isinstance(r, tuple) else r for r in rows), flush=True)
    print(f"{len(paths) - bad} passed, {bad} failed")
    sys.exit(bool(bad))


main(*sys.argv[1:])

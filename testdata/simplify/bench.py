"""bench.py ONNXOPT OUT MODEL...: simplifiers side by side.

For each model and tool: nodes counted with subgraphs, standard or not, changed
outputs (more than 1e-5 of the largest value, or than onnxruntime's own
optimization levels move the original; other shapes or types), files that onnx.checker
or onnxruntime reject, larger files, wall time, peak memory. Results are kept in
OUT by the tool's version, so that a second run measures only what changed;
onnxopt is always measured. What speed.py measured last is shown beside them.

Inputs come from MODEL's .npz where there is one, else they are drawn.
"""
import collections
import hashlib
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import onnx
import onnxruntime as ort

PEERS = ["onnxsim", "onnxslim", "onnxoptimizer", "onnxscript", "ort-basic", "ort-extended"]
OURS = ["onnxopt", "onnxopt-opset20"]
HERE = pathlib.Path(__file__).resolve().parent
TIMEOUT = 600


def walk(graph):
    for n in graph.node:
        yield n
        for a in n.attribute:
            for g in [a.g] * (a.type == onnx.AttributeProto.GRAPH) + list(a.graphs):
                yield from walk(g)


def count(path):
    model = onnx.load(path, load_external_data=False)
    nodes = [n.domain for n in walk(model.graph)]
    for f in model.functions:
        nodes += [n.domain for n in f.node]
    private = sum(d not in ("", "ai.onnx", "ai.onnx.ml") for d in nodes)
    return len(nodes), private


def size(path):
    """Bytes of a model with its external data."""
    total, where = os.path.getsize(path), set()
    model = onnx.load(path, load_external_data=False)
    for t in model.graph.initializer:
        where |= {e.value for e in t.external_data if e.key == "location"}
    return total + sum(os.path.getsize(pathlib.Path(path).parent / w) for w in where)


def session(path, level="ORT_DISABLE_ALL"):
    o = ort.SessionOptions()
    o.log_severity_level = 4
    o.intra_op_num_threads = 1
    o.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    return ort.InferenceSession(str(path), o, providers=["CPUExecutionProvider"])


def draw(s):
    rng, feeds, symbols = np.random.default_rng(1), {}, collections.defaultdict(lambda: 1 if not symbols else 8)
    for i in s.get_inputs():
        shape = []
        for d in i.shape:
            if not isinstance(d, int):
                d = symbols[d]
            shape.append(d)
        kind = i.type[len("tensor("):-1]
        if kind in ("float", "double", "float16"):
            dt = {"float": np.float32, "double": np.float64, "float16": np.float16}[kind]
            feeds[i.name] = rng.standard_normal(shape).astype(dt)
        elif kind == "bool":
            feeds[i.name] = np.ones(shape, bool)
        else:
            feeds[i.name] = rng.integers(0, 2, shape).astype(kind)
    return feeds


def inputs(path, s):
    npz = pathlib.Path(path).with_suffix(".npz")
    if npz.exists():
        z = np.load(npz)
        return {i.name: z[i.name] for i in s.get_inputs()}
    return draw(s)


def original(path):
    """Inputs, outputs, and how far onnxruntime's own levels move them, of a model; no outputs if it rejects the model."""
    try:
        s = session(path)
    except Exception:
        npz = pathlib.Path(path).with_suffix(".npz")
        return (dict(np.load(npz)) if npz.exists() else None), None, 0
    feeds = inputs(path, s)
    want = s.run(None, feeds)
    return feeds, want, same(want, session(path, "ORT_ENABLE_ALL").run(None, feeds))


def same(want, got):
    """Largest difference relative to the largest value; inf for another shape or type."""
    worst = 0.0
    for a, b in zip(want, got, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape or a.dtype != b.dtype:
            return float("inf")
        if a.dtype.kind not in "fc":
            worst = max(worst, 0.0 if np.array_equal(a, b) else float("inf"))
            continue
        a, b = a.astype(np.float64), b.astype(np.float64)
        if not np.array_equal(np.isfinite(a), np.isfinite(b)):
            return float("inf")
        ok = np.isfinite(a)
        if ok.any():
            worst = max(worst, float(np.abs(a - b)[ok].max() / max(np.abs(a[ok]).max(), 1e-30)))
    return worst


def interface(path):
    g = onnx.load(path, load_external_data=False).graph
    init = {t.name for t in g.initializer}
    one = lambda v: (v.name, v.type.SerializeToString())
    return [one(v) for v in g.input if v.name not in init], [one(v) for v in g.output]


def simplify(tool, onnxopt, src, dst):
    """Runs a tool: seconds, processor seconds, peak kilobytes, why it failed."""
    onnxopt, src, dst = map(os.path.abspath, (onnxopt, src, dst))
    if tool in OURS:
        cmd = [onnxopt, "simplify", src, "-o", dst, "--quiet"] + (["--opset", "20"] if tool == "onnxopt-opset20" else [])
    else:
        cmd = [sys.executable, str(HERE / "peer.py"), tool, src, dst]
    with open(dst + ".log", "w+b") as log:
        subprocess.run([sys.executable, "-S", str(HERE / "measure.py"), dst + ".use", str(TIMEOUT)] + cmd, cwd=os.path.dirname(dst), stdout=log, stderr=log, check=True)
        log.seek(0)
        tail = log.read()[-300:].decode(errors="replace").strip().splitlines()
    r = json.loads(pathlib.Path(dst + ".use").read_text())
    if r.pop("code"):
        r["failed"] = (tail or ["no message"])[-1]
    return r


def examine(src, dst, feeds, want, noise):
    r = {}
    r["nodes"], r["private"] = count(dst)
    r["bytes"], r["larger"] = size(dst), size(dst) > size(src)
    r["interface"] = interface(src) == interface(dst)
    try:
        if not r["private"]:
            onnx.checker.check_model(dst, full_check=False)
    except Exception as e:
        r["rejected"] = "checker: " + str(e).splitlines()[0][:160]
    try:
        s = session(dst)
        if feeds is not None:
            got = s.run(None, feeds)
        if want is not None:
            r["difference"] = same(want, got)
            r["changed"] = not r["difference"] <= max(1e-5, noise)
    except Exception as e:
        r["rejected"] = "onnxruntime: " + str(e).splitlines()[0][:160]
    return r


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def ratio(folder):
    """What speed.py measured of folder's onnxopt.onnx, None if it has not since that was written."""
    try:
        r = json.loads((folder / "speed.json").read_text())
        return r["ratio"] if r["file"] == digest(folder / "onnxopt.onnx") else None
    except FileNotFoundError:
        return None


def version(tool):
    name = {"ort-basic": "onnxruntime", "ort-extended": "onnxruntime"}.get(tool, tool)
    return importlib.metadata.version(name)


def main():
    onnxopt, out, models = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    tools = os.environ.get("TOOLS", " ".join(OURS + PEERS)).split()
    rows = []
    for src in models:
        name = pathlib.Path(src).stem
        feeds, want, noise = original(src)
        row = {"model": name, "nodes": count(src)[0], "bytes": size(src), "tools": {}}
        for tool in tools:
            folder = out / name
            folder.mkdir(parents=True, exist_ok=True)
            kept = folder / f"{tool}.json"
            stamp = "" if tool in OURS else version(tool)
            if stamp and kept.exists():
                r = json.loads(kept.read_text())
                if r.get("stamp") == [stamp, os.path.getsize(src)]:
                    row["tools"][tool] = r
                    continue
            dst = str(folder / f"{tool}.onnx")
            if os.path.exists(dst):
                os.remove(dst)
            r = {"stamp": [stamp, os.path.getsize(src)]} | simplify(tool, onnxopt, src, dst)
            if "failed" not in r and not os.path.exists(dst):
                r["failed"] = "no file"
            if "failed" not in r:
                r |= examine(src, dst, feeds, want, noise)
                if tool in OURS:
                    again = simplify(tool, onnxopt, dst, dst + ".again")
                    r["unstable"] = "failed" in again or digest(dst) != digest(dst + ".again")
                if tool not in OURS:
                    os.remove(dst)
            kept.write_text(json.dumps(r))
            row["tools"][tool] = r
        row["ratio"] = ratio(out / name)
        rows.append(row)
        print(line(row, tools), flush=True)
    summary(rows, tools)
    (out / "results.json").write_text(json.dumps(rows, indent=1))


def line(row, tools):
    parts = [f"{row['model']:24.24} {row['nodes']:5}"]
    for t in tools:
        r = row["tools"][t]
        mark = "F" if "failed" in r else "R" if "rejected" in r else "C" if r.get("changed") else "L" if r["larger"] else "i" if not r["interface"] else "U" if r.get("unstable") else ""
        parts.append(f"{r.get('nodes', '-'):>6}{mark:1}{'*' if r.get('private') else ' '}")
    ours = row["tools"].get(OURS[0], {})
    parts.append(f"{row['ratio']:.3f}" if row["ratio"] else "  -  ")
    if ours.get("changed"):
        parts.append(f"difference {ours['difference']:.1e}")
    if ours.get("failed") or ours.get("rejected"):
        parts.append(ours.get("failed") or ours.get("rejected"))
    return " ".join(parts)


def summary(rows, tools):
    print("\n* with operators outside the standard; F failed, R rejected by onnx.checker or onnxruntime, C changed outputs, L larger file, i changed interface, U changed by a second run")
    print(f"{'':16}{'nodes':>8}{'failed':>8}{'rejected':>10}{'changed':>9}{'larger':>8}{'interface':>11}{'seconds':>9}{'cpu s':>8}{'peak MB':>9}{'worst peak/file':>17}")
    for t in tools:
        rs = [(row, row["tools"][t]) for row in rows]
        n = sum(r.get("nodes", row["nodes"]) for row, r in rs)
        c = lambda f: sum(bool(f(r)) for _, r in rs)
        peak = max(r["peak"] for _, r in rs) / 1024
        over = max((r["peak"] * 1024 - 100e6) / row["bytes"] for row, r in rs)
        print(f"{t:16}{n:8}{c(lambda r: 'failed' in r):8}{c(lambda r: 'rejected' in r):10}{c(lambda r: r.get('changed')):9}"
              f"{c(lambda r: r.get('larger')):8}{c(lambda r: not r.get('interface', True)):11}{sum(r['seconds'] for _, r in rs):9.1f}{sum(r['cpu'] for _, r in rs):8.1f}{peak:9.0f}{over:17.2f}")
    print("a failed model counts with its original nodes; peak/file: (peak - 100 MB) / file")
    ratios = [row["ratio"] for row in rows if row["ratio"]]
    if ratios:
        print(f"run time in onnxruntime relative to the original, of {len(ratios)} models: {min(ratios):.3f} to {max(ratios):.3f}, mean {np.exp(np.mean(np.log(ratios))):.3f}")
    ours = [t for t in tools if t in OURS]
    standard = [t for t in tools if t not in OURS and t != "ort-extended"]
    for row in rows:
        good = [row["tools"][t]["nodes"] for t in standard if not any(k in row["tools"][t] for k in ("failed", "rejected")) and not row["tools"][t].get("changed") and not row["tools"][t].get("private")]
        mine = row["tools"][ours[0]].get("nodes", row["nodes"]) if ours else 0
        if good and ours and mine > min(good):
            print(f"more nodes than the best: {row['model']}: {mine}, best {min(good)}")


if __name__ == "__main__":
    main()

"""Quantize real models with this tool and its peers: bench_quantize.py TOOL OUT MODEL.onnx ...

Each MODEL.onnx has a MODEL.npz beside it with one value for every input, which gives shapes,
types and the spread of the samples drawn here. Every tool calibrates on the same 16 samples. Each file
then runs on 8 others in onnxruntime, and on two of them in OpenVINO, OpenCV and tract; the figure is the SQNR of the
worst float output, in dB, against the float model in onnxruntime. Outputs that are boxes chosen by their scores change places
with the least noise: of detectors the share of the float model's boxes found again is printed as well (by onnxopt compare). Times
are processor seconds on one core, of this tool with its comparison of all samples; the speed is that of the float file in
onnxruntime over the quantized one's, one thread, least of interleaved runs. Options: --tools a,b --timeout SECONDS --json FILE;
--resume keeps the results in FILE, but for the tools of --again; --speed --calibration N quantizes only, compares nothing, and
prints how many times as long as this tool each peer takes, and its memory.
"""
import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

TOOLS = ["onnxopt", "ort-minmax", "ort-percentile", "ort-entropy", "nncf", "onc", "onnxsim"]
RUNTIMES = {"onnxruntime": 8, "openvino": 2, "opencv": 2, "tract": 2}  # held-out samples of each
CALIBRATION, HELD_OUT, ROUNDS = 16, 8, 10


# Samples.

def draw(like, count, seed):
    """count samples distributed as the arrays of like: smooth noise for images, integers of the same range."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        s = {}
        for name, x in like.items():
            if x.dtype.kind == "f":
                v = rng.standard_normal(x.shape)
                if x.ndim >= 3 and min(x.shape[-2:]) >= 32:  # images are smooth
                    for axis in (-1, -2):
                        for _ in range(3):
                            v = (v + np.roll(v, 1, axis)) / np.sqrt(2 + 2 * 0.5)
                    v /= v.std()
                s[name] = (v * max(float(x.std()), 1e-6) + float(x.mean())).astype(x.dtype) if x.size > 1 else x
                if x.min() >= 0:
                    s[name] = np.clip(s[name], x.min(), x.max())
            elif x.dtype.kind in "iu" and x.ndim > 0 and x.min() != x.max():
                s[name] = rng.integers(x.min(), int(x.max()) + 1, x.shape).astype(x.dtype)
            else:
                s[name] = x
        out.append(s)
    return out


def write_sets(samples, order, folder):
    """ONNX's own test_data_set folders: the form that takes any input."""
    import onnx
    for k, s in enumerate(samples):
        d = f"{folder}/test_data_set_{k}"
        os.makedirs(d, exist_ok=True)
        for i, name in enumerate(order):
            with open(f"{d}/input_{i}.pb", "wb") as f:
                f.write(onnx.numpy_helper.from_array(s[name], name).SerializeToString())


# Runtimes, each in a process of its own: some crash.

def session(path):
    import onnxruntime
    o = onnxruntime.SessionOptions()
    o.log_severity_level, o.intra_op_num_threads = 4, 1
    s = onnxruntime.InferenceSession(path, o, providers=["CPUExecutionProvider"])
    have = {i.name for i in s.get_inputs()}
    return lambda x: s.run(None, {k: v for k, v in x.items() if k in have})


def load(runtime, path, sample):
    """A function from a sample to the outputs."""
    if runtime == "onnxruntime":
        return session(path)
    if runtime == "openvino":
        import openvino
        m = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})
        have = {n for i in m.inputs for n in i.names}
        return lambda x: list(m({k: v for k, v in x.items() if k in have}).values())
    if runtime == "tract":
        import tract
        kinds = {"float32": "f32", "int64": "i64", "int32": "i32", "uint8": "u8", "int8": "i8", "bool": "bool", "float64": "f64"}
        m = tract.onnx().load(path)
        names = [m.input_name(i) for i in range(m.input_count())]
        for i, name in enumerate(names):
            m.set_input_fact(i, ",".join([str(d) for d in sample[name].shape] + [kinds[str(sample[name].dtype)]]))
        r = m.into_model().into_runnable()
        return lambda x: [y.to_numpy() for y in r.run([x[n] for n in names])]
    import cv2
    import onnx
    cv2.setNumThreads(1)
    net = cv2.dnn.readNetFromONNX(path)
    names = [o.name for o in onnx.load(path, load_external_data=False).graph.output]

    def call(x):
        for k, v in x.items():
            net.setInput(v, k)
        return list(net.forward(names))
    return call


def times(paths, sample):
    """Least milliseconds of each file in onnxruntime, run in turn."""
    runs = [session(p) for p in paths]
    least = [np.inf] * len(runs)
    for _ in range(ROUNDS):
        for i, run in enumerate(runs):
            start = time.perf_counter()
            run(sample)
            least[i] = min(least[i], (time.perf_counter() - start) * 1e3)
    return least


def sqnr(reference, outs):
    """dB of the worst float output; None where shapes differ, as after another choice of boxes."""
    worst = 200.0
    for i in range(len(reference[0])):
        signal = noise = 0.0
        for a, b in zip(reference, outs):
            if a[i].dtype.kind != "f":
                continue
            if a[i].size != b[i].size:
                return None
            x, y = a[i].astype(np.float64).ravel(), b[i].astype(np.float64).ravel()
            ok = np.isfinite(x)
            signal += float((x[ok] ** 2).sum())
            noise += float(((x[ok] - y[ok]) ** 2).sum())
        if signal > 0:
            worst = min(worst, 10 * np.log10(signal / max(noise, 1e-20 * signal)))
    return round(worst, 1) if worst == worst else -99.0


def agreement(reference, outs):
    """Share of the positions of the first float output whose largest element of the last axis is the same."""
    same = total = 0
    for a, b in zip(reference, outs):
        x, y = next(((u, v) for u, v in zip(a, b) if u.dtype.kind == "f" and u.ndim), (None, None))
        if x is not None and x.shape == y.shape and x.size:
            same, total = same + int((x.argmax(-1) == y.argmax(-1)).sum()), total + x[..., 0].size
    return same / max(total, 1)


# Tools.

class Reader:
    def __init__(self, samples):
        self.samples, self.at = samples, 0

    def get_next(self):
        self.at += 1
        return self.samples[self.at - 1] if self.at <= len(self.samples) else None

    def rewind(self):
        self.at = 0


def processor():
    """Processor seconds of this process and its children."""
    return sum(u.ru_utime + u.ru_stime for u in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)))


def quantize(tool, path, samples, out):
    if tool in ("ort-minmax", "ort-percentile", "ort-entropy"):
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
        pre = out + ".pre.onnx"
        try:
            quant_pre_process(path, pre, skip_symbolic_shape=True)
        except Exception:
            pre = path
        quantize_static(pre, out, Reader(samples), quant_format=QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
                        weight_type=QuantType.QInt8,
                        calibrate_method={"minmax": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile,
                                          "entropy": CalibrationMethod.Entropy}[tool[4:]])
    elif tool == "ort-int4":
        import onnx
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
        q = MatMulNBitsQuantizer(onnx.load(path), block_size=32, is_symmetric=True)
        q.process()
        q.model.save_model_to_file(out)
    elif tool == "nncf-int4":
        import nncf
        import onnx
        onnx.save(nncf.compress_weights(onnx.version_converter.convert_version(onnx.load(path), 21), mode=nncf.CompressWeightsMode.INT4_SYM, group_size=-1, all_layers=True), out)
    elif tool == "nncf":
        import nncf
        import onnx
        onnx.save(nncf.quantize(onnx.load(path), nncf.Dataset(samples), subset_size=len(samples)), out)
    elif tool == "onnxsim":
        import onnx
        import onnxsim
        onnx.save(onnxsim.quantize_static(onnxsim.simplify(path)[0], samples), out)
    elif tool == "onc":
        from onnx_neural_compressor import data_reader
        from onnx_neural_compressor.quantization import QuantFormat, config, quantize as onc

        class R(data_reader.CalibrationDataReader, Reader):
            def __init__(self, samples):
                Reader.__init__(self, samples)
            get_next, rewind = Reader.get_next, Reader.rewind
        onc(path, out, config.StaticQuantConfig(R(samples), quant_format=QuantFormat.QDQ, per_channel=True))


def child(args):
    """One job of parent: argv[2] names a JSON file that says what, and is overwritten by the answer."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    with open(args[0]) as f:
        job = json.load(f)
    z = np.load(job["samples"])
    samples = [{k[4:]: z[k] for k in z.files if k.startswith(f"{i:03d}/")} for i in range(job["count"])]
    if "runtime" in job:
        call = load(job["runtime"], job["model"], samples[0])
        np.savez(job["out"], **{f"{i:03d}/{k:03d}": np.array(v) for i, x in enumerate(samples) for k, v in enumerate(call(x))})
        answer = {}
    elif "models" in job:
        answer = {"ms": times(job["models"], samples[0])}
    else:
        start = processor()
        quantize(job["tool"], job["model"], samples, job["out"])
        answer = {"seconds": processor() - start, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    with open(args[0], "w") as f:
        json.dump(answer, f)


def job(python, folder, timeout, **what):
    """What child answers in a process of the given Python, or an error."""
    path = folder + "/job.json"
    with open(path, "w") as f:
        json.dump(what, f)
    try:
        r = subprocess.run([python, __file__, "child", path], capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return {"error": f"more than {timeout} s"}
    if r.returncode:
        lines = [x for x in r.stderr.strip().splitlines() if x.strip()] or [f"exit {r.returncode}"]
        return {"error": lines[-1][:300]}
    with open(path) as f:
        return json.load(f)


def write_samples(path, samples):
    """The form that child reads."""
    np.savez(path, **{f"{i:03d}/{k}": v for i, x in enumerate(samples) for k, v in x.items()})


def size(path):
    """Bytes of a model file and the files that hold its tensors."""
    import onnx
    parts = {e.value for t in onnx.load(path, load_external_data=False).graph.initializer for e in t.external_data if e.key == "location"}
    return sum(os.path.getsize(os.path.join(os.path.dirname(path), x)) for x in parts | {os.path.basename(path)})


def outputs(path, count):
    z = np.load(path)
    return [[z[k] for k in z.files if k.startswith(f"{i:03d}/")] for i in range(count)]


class Bench:
    """One model: its samples, and what its files answer to them."""

    def __init__(self, o, path):
        self.o, self.path, self.name = o, path, os.path.basename(path)[:-5]
        self.base, self.reference, self.sets = f"{o.out}/{self.name}.", None, {}
        like = dict(np.load(path[:-5] + ".npz"))
        for kind, count, seed in ("calibration", o.calibration, 1), ("held-out", HELD_OUT, 2):
            s = draw(like, count, seed)
            self.sets[kind] = f"{self.base}{kind}.npz"
            write_samples(self.sets[kind], s)
            write_sets(s, list(like), f"{self.base}{kind}.sets")

    def answer(self, runtime, path):
        """How far path in runtime is from the float model in onnxruntime."""
        y, count = self.o.out + "/y.npz", RUNTIMES[runtime]
        r = job(sys.executable, self.o.out, self.o.timeout, runtime=runtime, model=path, samples=self.sets["held-out"], count=count, out=y)
        if "error" not in r:
            y = outputs(y, count)
            if self.reference is None:
                self.reference = y
            r["sqnr"], r["agree"] = sqnr(self.reference, y), agreement(self.reference, y)
        return r

    def float(self):
        return {r: self.answer(r, self.path) for r in ([] if self.o.speed else RUNTIMES)}

    def quantized(self, tool, out):
        """What tool makes of the model, and how its file runs."""
        if os.path.exists(out):
            os.remove(out)
        if tool == "onnxopt":
            r = self.ours(out)
        else:
            r = job(self.o.peers, self.o.out, self.o.timeout, tool=tool, model=self.path, samples=self.sets["calibration"], count=self.o.calibration, out=out)
        if not os.path.exists(out) or "error" in r:
            return r
        r["bytes"] = size(out)
        if not self.o.speed:
            r.update({x: self.answer(x, out) for x in RUNTIMES})
            r["boxes"] = self.boxes(out)
        return r

    def ours(self, out):
        p = subprocess.run(["/usr/bin/env", "python3", "-c",
                            "import resource,subprocess,sys; r=subprocess.run(sys.argv[1:]); u=resource.getrusage(resource.RUSAGE_CHILDREN); "
                            "print(u.ru_maxrss/1024); print(u.ru_utime+u.ru_stime); sys.exit(r.returncode)",
                            self.o.tool, "optimize", self.path, "--calibration" if self.o.speed else "--data", f"{self.base}calibration.sets", "-o", out, "--quiet"] + self.o.flags.split(),
                           capture_output=True, text=True)
        mb, seconds = p.stdout.strip().splitlines()[-2:]
        r = {"seconds": float(seconds), "mb": float(mb)}
        if p.returncode:
            r["error"] = p.stderr.strip()[-300:]
        return r

    def boxes(self, out):
        """Share of the float model's boxes found again; None of other models."""
        with open(self.path, "rb") as f:
            if b"NonMaxSuppression" not in f.read():
                return None
        p = subprocess.run([self.o.tool, "compare", self.path, out, "--data", f"{self.base}held-out.sets", "--json"], capture_output=True, text=True)
        return json.loads(p.stdout).get("detection", {}).get("matched") if p.returncode == 0 else None

    def times(self, row):
        """Adds speed, the float file's time over the quantized one's, to the tools' results."""
        tools = [t for t in self.o.tools if "sqnr" in row[t].get("onnxruntime", {})]
        r = job(sys.executable, self.o.out, self.o.timeout, models=[self.path] + [f"{self.base}{t}.onnx" for t in tools], samples=self.sets["held-out"], count=1)
        for t, ms in zip(tools, r.get("ms", [])[1:]):
            row[t]["speed"] = r["ms"][0] / ms


def parent(o):
    os.makedirs(o.out, exist_ok=True)
    o.peers = o.peers if os.path.exists(o.peers) else sys.executable
    table = []
    if o.resume and o.json and os.path.exists(o.json):
        with open(o.json) as f:
            table = json.load(f)
    for path in o.models:
        b = Bench(o, path)
        row = next((r for r in table if r["model"] == b.name), None)
        if row is None:
            row = {"model": b.name, "bytes": os.path.getsize(path)}
            table.append(row)
        todo = [t for t in o.tools if t not in row or t in o.again]
        if todo:
            row["float"] = b.float()
        for tool in todo:
            row[tool] = b.quantized(tool, f"{b.base}{tool}.onnx")
            save(o, table)
        if todo and not o.speed:
            b.times(row)
            save(o, table)
        print(speed(row, o.tools) if o.speed else line(row, o.tools), flush=True)
    if not o.speed:
        summary(table, o.tools)


def save(o, table):
    if o.json:
        with open(o.json + ".new", "w") as f:
            json.dump(table, f, indent=1)
        os.replace(o.json + ".new", o.json)


def speed(row, tools):
    """Times as ratios to that of this tool."""
    mine = row["onnxopt"]["seconds"]
    return f"{row['model']:22} " + " | ".join(
        f"{t}: {row[t]['error'][:110]}" if "error" in row[t] and t != "onnxopt" else
        f"{t}: {row[t]['seconds']:.1f} s, {row[t]['seconds'] / mine:.2f}x, {row[t]['mb']:.0f} MB" for t in tools)


def cell(r):
    if "error" in r:
        return "-"
    return "?" if r.get("sqnr") is None else f"{r['sqnr']:.1f}"


def line(row, tools):
    out = [f"{row['model']:22} float runs in {sum('error' not in r for r in row['float'].values())}"]
    for t in tools:
        r = row[t]
        if "error" in r:
            out.append(f"{t}: {r['error'][:110]}")
        else:
            boxes = "" if r.get("boxes") is None else f" boxes {100 * r['boxes']:.0f} %"
            agree = 100 * r["onnxruntime"].get("agree", 0)
            out.append(f"{t}: {' '.join(cell(r[x]) for x in RUNTIMES)} dB {agree:.1f} %{boxes}, size {r['bytes'] / row['bytes']:.2f}, "
                       f"speed {r.get('speed', 0):.2f}, {r['seconds']:.0f} s {r['mb']:.0f} MB")
    return " | ".join(out)


def summary(table, tools):
    runs = lambda r, x: x in r and "error" not in r[x]
    print(f"\n{len(table)} models; floats run in " + ", ".join(f"{x} {sum(runs(r['float'], x) for r in table)}" for x in RUNTIMES))
    for t in tools:
        print(f"{t:15} written {sum('error' not in r[t] for r in table)}, runs in " +
              ", ".join(f"{x} {sum(runs(r[t], x) for r in table)}" for x in RUNTIMES) +
              f"; where the float runs and the result does not: {sum(runs(r['float'], x) and not runs(r[t], x) for r in table for x in RUNTIMES)}"
              f"; larger: {sum(r[t].get('bytes', 0) > r['bytes'] for r in table)}")
    if "onnxopt" in tools:
        db = lambda r, t: (r[t].get("onnxruntime", {}).get("sqnr") if "error" not in r[t] else None)
        peers = [t for t in tools if t != "onnxopt"]
        behind = []
        for r in table:
            mine, best = db(r, "onnxopt"), max((db(r, t) for t in peers if db(r, t) is not None), default=None)
            if mine is not None and best is not None and mine < best - 0.05:
                behind.append(f"{r['model']} {mine:.1f} < {best:.1f}")
        print("SQNR behind the best peer's:", ", ".join(behind) or "none")
        print("SQNR under 20 dB:", ", ".join(f"{r['model']} {db(r, 'onnxopt'):.1f}" for r in table if (db(r, "onnxopt") or 99) < 20) or "none")


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2:])
    else:
        p = argparse.ArgumentParser(description=__doc__)
        p.add_argument("tool")
        p.add_argument("out")
        p.add_argument("models", nargs="+")
        p.add_argument("--tools", default=",".join(TOOLS), type=lambda s: s.split(","))
        p.add_argument("--peers", default="build/peers/bin/python", help="the Python that has the peers")
        p.add_argument("--timeout", type=float, default=600)
        p.add_argument("--flags", default="", help="more flags of onnxopt optimize")
        p.add_argument("--calibration", type=int, default=CALIBRATION, help="samples")
        p.add_argument("--speed", action="store_true", help="quantize only")
        p.add_argument("--json")
        p.add_argument("--resume", action="store_true", help="keep what the JSON file has")
        p.add_argument("--again", default="", type=lambda s: s.split(","), help="but measure these tools again")
        parent(p.parse_args())

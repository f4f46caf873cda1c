"""Speed and memory against onnxruntime, OpenVINO, tract and OpenCV, interleaved: python testdata/bench_runtime.py ONNXOPT [options] MODEL ...

Every engine runs the same file on the same inputs, in turn, in a process of its own. A ratio is
theirs divided by ours, above 1 is faster than they are: of the fastest runs, so that other load on
the machine counts little, and of the processor time spent, which it does not touch. "First" is loading
the model and its first answer, without the start of the process and its libraries.
"""
import argparse
import glob
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx

RUNS = 25
PAUSE = 0.05  # seconds: threads that still wait busily after one engine's run would take the cores of the next


def quantized(tool, path, folder, batch):
    """The model as the tool quantizes it, made once, with the inputs of the original beside it."""
    os.makedirs(folder, exist_ok=True)
    out = os.path.join(folder, os.path.basename(path))
    sample = out[:-5] + ".npz"
    if not os.path.exists(out):
        np.savez(sample, **inputs(path, batch))
        done = subprocess.run([tool, "optimize", path, "-o", out, "--preset", "int8", "--data", sample, "--calibration-samples", "2", "--samples", "1",
                               "--max-drop", "100", "--force", "-q"], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().split("\n")[-1])
    return out


def inputs(path, batch):
    """The model's own sample if there is one, else random numbers."""
    sample = path[:-5] + ".npz"
    model = onnx.load(path, load_external_data=False)
    stored = {v.name for v in model.graph.initializer}
    feeds = {}
    loaded = dict(np.load(sample)) if os.path.exists(sample) else {}
    for v in model.graph.input:
        if v.name in stored:
            continue
        if v.name in loaded:
            feeds[v.name] = loaded[v.name]
            continue
        shape = [d.dim_value or (batch if i == 0 else 1) for i, d in enumerate(v.type.tensor_type.shape.dim)]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(v.type.tensor_type.elem_type)
        feeds[v.name] = np.random.default_rng(1).standard_normal(shape).astype(dtype)
    return feeds


def cpu_time(pid):
    """Nanoseconds that all threads of a process have run."""
    total = 0
    for p in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        with open(p) as f:
            total += int(f.read().split()[0])
    return total


def memory(pid):
    with open(f"/proc/{pid}/status") as f:
        fields = dict(line.split(":", 1) for line in f)
    return int(fields["VmHWM"].split()[0]) / 1024


class Engine:
    """A process that prints a line when ready, and one for each line it reads."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("ready"):
            raise RuntimeError(f"{command[0]}: {line}")
        self.first = sum(float(x) for x in line.split()[1:3])  # ms of loading and of the first run
        self.wall, self.cpu = [], []

    def run(self):
        time.sleep(PAUSE)
        before = cpu_time(self.process.pid)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.wall.append(int(self.process.stdout.readline()) / 1e6)
        self.cpu.append((cpu_time(self.process.pid) - before) / 1e6)

    def close(self):
        self.peak = memory(self.process.pid)
        self.process.stdin.close()
        self.process.wait()


SERVE = """
import sys, time, numpy as np
engine, path, data, threads = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
feeds = dict(np.load(data))
if engine == "onnxruntime":
    import onnxruntime
    start = time.perf_counter_ns()
    o = onnxruntime.SessionOptions()
    o.intra_op_num_threads, o.inter_op_num_threads, o.log_severity_level = threads, 1, 4
    s = onnxruntime.InferenceSession(path, o, providers=["CPUExecutionProvider"])
    run = lambda: s.run(None, feeds)
elif engine == "openvino":
    import openvino
    start = time.perf_counter_ns()
    core = openvino.Core()
    model = core.compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"})
    request = model.create_infer_request()
    run = lambda: request.infer(feeds)
elif engine == "tract":  # one thread, whatever is asked for
    import tract
    start = time.perf_counter_ns()
    kinds = {"float32": "f32", "int64": "i64", "int32": "i32", "uint8": "u8", "int8": "i8", "bool": "bool", "float64": "f64"}
    m = tract.onnx().load(path)
    for i in range(m.input_count()):
        x = feeds[m.input_name(i)]
        m.set_input_fact(i, ",".join([str(d) for d in x.shape] + [kinds[str(x.dtype)]]))
    given = [feeds[m.input_name(i)] for i in range(m.input_count())]
    r = m.into_model().into_runnable()
    run = lambda: [y.to_numpy() for y in r.run(given)]
else:
    import cv2
    start = time.perf_counter_ns()
    cv2.setNumThreads(threads)
    net = cv2.dnn.readNetFromONNX(path)
    def run():
        for name, x in feeds.items():
            net.setInput(x, name)
        return net.forward(net.getUnconnectedOutLayersNames())
loaded = time.perf_counter_ns()
run()
print("ready", (loaded - start) / 1e6, (time.perf_counter_ns() - loaded) / 1e6, flush=True)
for line in sys.stdin:
    start = time.perf_counter_ns()
    run()
    print(time.perf_counter_ns() - start, flush=True)
"""


def compare(tool, path, engines, threads, batch, runs):
    feeds = inputs(path, batch)
    with tempfile.TemporaryDirectory() as d:
        data = d + "/inputs.npz"
        np.savez(data, **feeds)
        os.mkdir(d + "/test_data_set_0")
        for i, x in enumerate(feeds.values()):
            with open(f"{d}/test_data_set_0/input_{i}.pb", "wb") as f:
                f.write(onnx.numpy_helper.from_array(x).SerializeToString())
        ours = Engine([tool, "bench", path, "--serve", "--threads", str(threads), "--data", d])
        theirs, refused = [], []
        for e in engines:
            try:
                theirs.append(Engine([sys.executable, "-c", SERVE, e, path, data, str(threads)]))
            except RuntimeError:
                refused.append(e)
        engines = [e for e in engines if e not in refused]
        for _ in range(3):
            for e in [ours] + theirs:
                e.run()
        for e in [ours] + theirs:
            e.wall, e.cpu = [], []
        for _ in range(runs):
            for e in [ours] + theirs:
                e.run()
        for e in [ours] + theirs:
            e.close()
    name = os.path.basename(path)[:-5]
    for e in refused:
        print(f"| {name} | {threads} | {e} does not run it |", flush=True)
    for label, e in zip(engines, theirs):
        print(f"| {name} | {threads} | {label} | {min(ours.wall):.2f} | {min(e.wall):.2f} | {min(e.wall) / min(ours.wall):.2f} | "
              f"{np.median(e.cpu) / np.median(ours.cpu):.2f} | {min(e.cpu) / min(ours.cpu):.2f} | {ours.peak:.0f} | {e.peak:.0f} | {ours.first:.0f} | {e.first:.0f} |", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("tool")
    p.add_argument("models", nargs="+")
    p.add_argument("--engines", default="onnxruntime")
    p.add_argument("--threads", default="1")
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--int8", metavar="FOLDER", help="quantize the models into FOLDER and compare on those files")
    p.add_argument("--runs", type=int, default=RUNS)
    a = p.parse_args()
    print("| network | threads | engine | ours ms | theirs ms | ratio | processor time, median | least | our MB | their MB | our first ms | their first ms |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    for path in a.models:
        for threads in a.threads.split(","):
            try:
                if a.int8:
                    path = quantized(a.tool, path, a.int8, a.batch)
                compare(a.tool, path, a.engines.split(","), int(threads), a.batch, a.runs)
            except (RuntimeError, ValueError, OSError) as e:
                print(f"| {os.path.basename(path)} | {threads} | {e} |", flush=True)


main()

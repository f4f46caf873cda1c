"""quantized.py ONNXOPT OUT [MODEL...]: simplify keeps quantization.

Each model, by default the shipped ones and five of build/zoo, is quantized to
int8 and the result simplified: it must not be larger nor have more nodes, give
the same bits in onnxopt's own runtime, keep every QuantizeLinear and
DequantizeLinear, and leave onnxruntime as many fused integer operators as before.
"""
import collections
import pathlib
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime as ort

import bench

SHIPPED = [f"models/{m}.onnx" for m in ("lenet300", "lenet5", "resnet8", "mbnet", "tinyvit")]
ZOO = [f"build/zoo/{m}.onnx" for m in ("squeezenet", "mobilenetv2", "shufflenetv2", "encoder", "lstm")]


def operators(path):
    return collections.Counter(n.op_type for n in bench.walk(onnx.load(path, load_external_data=False).graph))


def fused(path):
    """The operators on integers that onnxruntime makes of a file."""
    o = ort.SessionOptions()
    o.log_severity_level = 4
    o.optimized_model_filepath = path + ".fused.onnx"
    ort.InferenceSession(path, o, providers=["CPUExecutionProvider"])
    return {k: n for k, n in operators(path + ".fused.onnx").items() if k.startswith(("QLinear", "QGemm", "QAttention")) or k.endswith("Integer")}


def main():
    onnxopt, out = sys.argv[1], pathlib.Path(sys.argv[2])
    bad = 0
    for src in sys.argv[3:] or SHIPPED + ZOO:
        folder = out / pathlib.Path(src).stem
        folder.mkdir(parents=True, exist_ok=True)
        data = src.replace(".onnx", ".npz") if src not in SHIPPED else "models/mnist"
        a, b = str(folder / "int8.onnx"), str(folder / "int8.sim.onnx")
        run = lambda *words: subprocess.run([onnxopt, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        run("quantize", src, "-o", a, "--data", data, "--calibration-samples", "16", "--samples", "16", "--min-sqnr=-1", "--max-drop=100", "--force", "-q")
        run("simplify", a, "-o", b, "-q", "--force")
        for f in a, b:
            run("run", f, "--data", data, "--samples", "4", "-o", f + ".npz")
        before, after = operators(a), operators(b)
        x, y = np.load(a + ".npz"), np.load(b + ".npz")
        faults = []
        if bench.size(b) > bench.size(a):
            faults.append(f"{bench.size(b)} bytes were {bench.size(a)}")
        if any(n > before[k] or k.endswith("Linear") and n != before[k] for k, n in after.items()):
            faults.append(f"nodes {after - before} more, {before - after} fewer")
        if x.files != y.files or any(x[k].tobytes() != y[k].tobytes() for k in x.files):
            faults.append("other outputs")
        p, q = fused(a), fused(b)
        if sum(q.values()) < sum(p.values()):
            faults.append(f"onnxruntime fuses {q}, before {p}")
        bad += bool(faults)
        print(f"{folder.name:16} {sum(before.values()):5} nodes, {sum(after.values()):5} simplified, {bench.size(a):9} and {bench.size(b):9} bytes, "
              f"{sum(p.values()):4} and {sum(q.values()):4} fused by onnxruntime  {'; '.join(faults) or 'equal'}", flush=True)
    sys.exit(bad)


if __name__ == "__main__":
    main()

"""Compress the shipped models from the MNIST training images and print what came out.

    python testdata/bench_compress.py BINARY DATA OUT [--seeds 1,2,3] [MODEL ...]

DATA holds MNIST's four idx.gz files. No label is used, but for lenet300-labels.
The test images are looked at once for each run, at its end. Size is that of the
container, all overhead counted, against the model's file; beside it is the error
of the dense network that was distilled with the same augmentation (not with
--no-dense).

The estimate of the loss has its standard error added. On a LeNet-300-100
trained on 50,000 of the images, six networks of 2 to 5 % of its weights lost
0.1 to 0.3 points less on the 10,000 others than the estimate said; so the
--max-drop of 0.3 below asks for about no loss. From 5,000 images 1,000 are held
out, too few to show a tenth of a point: there the density is fixed, as tried
with the same network on the same 10,000.
"""
import argparse
import json
import pathlib
import resource
import subprocess
import sys
import time

MODELS = pathlib.Path(__file__).resolve().parent.parent / "models"
RECIPES = {  # chosen on training images; name[-samples] or name-labels
    "lenet300": "--density-step 0.85 --steps 6000 --rung-steps 1000 --refine-steps 5000 --share-steps 2500 --max-drop 0.3",
    "lenet5": "--density-step 0.69 --rungs 5 --steps 1500 --rung-steps 800 --refine-steps 8000 --share-steps 3000 --max-drop 0.3",
    "lenet300-5000": "--fixed --density 0.11 --warp 0.7 --steps 5000 --refine-steps 3000 --share-steps 2500",
    "resnet8": "--fixed --density 0.18 --steps 1500 --refine-steps 2000 --share-steps 1000",
    "mbnet": "--fixed --density 0.2 --steps 1500 --refine-steps 1000 --share-steps 1000",
    "tinyvit": "--fixed --density 0.25 --steps 1500 --refine-steps 1000 --share-steps 1000",
}


def slowdown(path, original):
    """Time in onnxruntime on one thread relative to the original, batch 1: the least of many interleaved runs."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [ort.InferenceSession(str(p), options) for p in (path, original)]
    x = np.random.default_rng(0).random((1, 1, 28, 28), np.float32)
    best = [float("inf")] * 2
    for _ in range(1500):
        for i, s in enumerate(sessions):
            start = time.perf_counter()
            s.run(None, {s.get_inputs()[0].name: x})
            best[i] = min(best[i], time.perf_counter() - start)
    return best[0] / best[1]


def cpu():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("data")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("models", nargs="*", default=["lenet300", "lenet5", "lenet300-5000"])
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--no-dense", action="store_true")
    parser.add_argument("--extension", default=".onnxz", help=".onnx for plain models instead of containers, whose time in onnxruntime is then shown")
    args = parser.parse_intermixed_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.models:
        model, _, samples = name.partition("-")
        labels = samples == "labels"
        flags = RECIPES[model if labels else name].split() + ["--samples", "0" if labels else samples or "0"] + ["--no-labels"] * (not labels) + ["--dense"] * (not args.no_dense)
        ratios, errors = [], []
        for seed in args.seeds.split(","):
            before = cpu()
            run = subprocess.run([args.binary, "compress", MODELS / f"{model}.onnx", "--data", args.data, "--test", args.data, "--force",
                                  "--seed", seed, "--json", "--quiet", "-o", args.out / f"{name}-{seed}{args.extension}", *flags], stdout=subprocess.PIPE)
            if run.returncode:
                sys.exit(f"{name} seed {seed}: exit code {run.returncode}")
            took, r = cpu() - before, json.loads(run.stdout)
            if args.extension == ".onnx":
                print(f"{name} seed {seed}: {slowdown(args.out / f'{name}-{seed}.onnx', MODELS / f'{model}.onnx'):.2f} of the original's time in onnxruntime")
            dense = f", dense {r['test']['dense']:.2f} %" if "dense" in r["test"] else ""
            ratios.append(r["bytes_before"] / r["bytes_after"])
            errors.append(r["test"]["result"])
            print(f"{name} seed {seed}: {r['bytes_after']} bytes, {ratios[-1]:.1f}x, error {errors[-1]:.2f} % "
                  f"(original {r['test']['original']:.2f} %{dense}), {took:.0f} CPU-seconds{'' if r['search']['chosen']['fits'] else ', over --max-drop'}", flush=True)
        print(f"{name}: mean {sum(ratios) / len(ratios):.1f}x at {sum(errors) / len(errors):.2f} %, "
              f"worst {min(ratios):.1f}x, {max(errors):.2f} %", flush=True)


main()

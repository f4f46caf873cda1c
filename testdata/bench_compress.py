"""Compress the shipped models from the MNIST training images and print what came out.

    python testdata/bench_compress.py BINARY DATA OUT [--seeds 1,2,3] [MODEL ...]

DATA holds MNIST's four idx.gz files. No label is used. The test images are
looked at once for each run, at its end. Size is that of the container, all
overhead counted, against the model's file; with --dense, beside it the error of
the dense network that was distilled with the same augmentation.
"""
import argparse
import json
import pathlib
import resource
import subprocess
import sys

MODELS = pathlib.Path(__file__).resolve().parent.parent / "models"
RECIPES = {  # chosen on training images
    "lenet300": [],
    "lenet5": ["--density-step", "0.75", "--steps", "3000"],
}


def cpu():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("data")
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("models", nargs="*", default=list(RECIPES))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--dense", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.models:
        ratios, errors = [], []
        for seed in args.seeds.split(","):
            before = cpu()
            run = subprocess.run([args.binary, "compress", MODELS / f"{name}.onnx", "--data", args.data, "--no-labels", "--test", args.data,
                                  "--seed", seed, "--json", "--quiet", "-o", args.out / f"{name}-{seed}.onnxz", *RECIPES.get(name, []), *["--dense"] * args.dense],
                                 stdout=subprocess.PIPE)
            if run.returncode:
                sys.exit(f"{name} seed {seed}: exit code {run.returncode}")
            took, r = cpu() - before, json.loads(run.stdout)
            dense = f", dense {r['test']['dense']:.2f} %" if args.dense else ""
            ratios.append(r["bytes_before"] / r["bytes_after"])
            errors.append(r["test"]["result"])
            print(f"{name} seed {seed}: {r['bytes_after']} bytes, {ratios[-1]:.1f}x, error {errors[-1]:.2f} % "
                  f"(original {r['test']['original']:.2f} %{dense}), {took:.0f} CPU-seconds", flush=True)
        print(f"{name}: mean {sum(ratios) / len(ratios):.1f}x at {sum(errors) / len(errors):.2f} %, "
              f"worst {min(ratios):.1f}x, {max(errors):.2f} %", flush=True)


main()

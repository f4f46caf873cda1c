"""Memory and processor time of calibration: python testdata/bench_calibrate.py ONNXOPT OUT

Quantizes lenet5 on 100, 1,000 and 10,000 images by every method. Prints peak memory, which must not grow with the
samples (10,000 at most 1.25 times 1,000: the collector's turns; the images alone are 31 MB), and the time of entropy over that of minmax on 10,000, at most 1.3, least of three turns.
"""
import os
import subprocess
import sys

METHODS = ["minmax", "moving-average", "percentile", "entropy", "mse", "auto"]
COUNTS = [100, 1000, 10000]


def run(tool, out, models, method, count):
    """MB and processor seconds."""
    p = subprocess.Popen([tool, "quantize", models + "/lenet5.onnx", "--data", models + "/mnist/t10k-images-idx3-ubyte.gz", "--calibration-samples",
                          str(count), "--method", method, "--samples", "50", "--min-sqnr", "-1", "--quiet", "-o", out + "/calibrated.onnx"],
                         stdout=subprocess.DEVNULL, env=dict(os.environ, GOMAXPROCS="1"))
    _, status, used = os.wait4(p.pid, 0)
    if status:
        sys.exit(f"{method}, {count} samples: failed")
    return used.ru_maxrss / 1024, used.ru_utime + used.ru_stime


def main(tool, out):
    os.makedirs(out, exist_ok=True)
    models = os.path.dirname(os.path.abspath(__file__)) + "/../models"
    bad = 0
    print("| method | " + " | ".join(f"{n:,} samples, MB" for n in COUNTS) + " | processor seconds on the last |")
    print("|---" * (len(COUNTS) + 2) + "|")
    for method in METHODS:
        got = [run(tool, out, models, method, n) for n in COUNTS]
        bad += got[-1][0] > 1.25 * got[1][0]
        print(f"| {method} | " + " | ".join(f"{mb:.0f}" for mb, _ in got) + f" | {got[-1][1]:.2f} |", flush=True)
    turns = [(run(tool, out, models, "entropy", COUNTS[-1])[1], run(tool, out, models, "minmax", COUNTS[-1])[1]) for _ in range(3)]
    ratio = min(t[0] for t in turns) / min(t[1] for t in turns)
    print(f"entropy takes {ratio:.2f} times as long as minmax")
    sys.exit(bad or ratio > 1.3)


main(*sys.argv[1:])

"""speed.py OUT SECONDS MODEL...: run time in onnxruntime of what bench.py left in
OUT/NAME/onnxopt.onnx relative to the original's.

All of onnxruntime's optimizations, one thread, on bench.py's inputs. The two are
run in turn for SECONDS, half of it each with two new sessions, made in the other
order, because where their memory lies moves a time by some percent; the ratio is
that of the least times, in processor time of the calling thread, which does all
of the work. It is kept beside the file, and bench.py shows it while the file
stays as it is. Run it on a machine that does little else.
"""
import json
import pathlib
import sys
import time

import bench


def least(src, paths, seconds):
    """Least processor time of a run of each model on src's inputs, in turn for that long, five times or more."""
    sessions = {p: bench.session(p, "ORT_ENABLE_ALL") for p in paths}
    feeds = bench.inputs(src, sessions[src])
    best = dict.fromkeys(paths, float("inf"))
    for s in sessions.values():
        s.run(None, feeds)
    end, turns = time.perf_counter() + seconds, 0
    while turns < 5 or time.perf_counter() < end:
        turns += 1
        for p, s in sessions.items():
            t = time.thread_time()
            s.run(None, feeds)
            best[p] = min(best[p], time.thread_time() - t)
    return best


def ratio(src, dst, seconds):
    a, b = least(src, [src, dst], seconds / 2), least(src, [dst, src], seconds / 2)
    return min(a[dst], b[dst]) / min(a[src], b[src]), min(a[src], b[src])


def main():
    out, seconds = pathlib.Path(sys.argv[1]), float(sys.argv[2])
    for src in sys.argv[3:]:
        folder = out / pathlib.Path(src).stem
        try:
            r, original = ratio(src, str(folder / "onnxopt.onnx"), seconds)
        except Exception as e:
            print(f"{folder.name:24} {str(e).splitlines()[0][:100]}", flush=True)
            continue
        (folder / "speed.json").write_text(json.dumps({"file": bench.digest(folder / "onnxopt.onnx"), "ratio": r, "milliseconds": original * 1e3}))
        print(f"{folder.name:24} {r:.3f} of {original * 1e3:.3f} ms", flush=True)


if __name__ == "__main__":
    main()

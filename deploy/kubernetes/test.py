"""Checks the manifests against Kubernetes' schemas and runs what their containers run, index by index, on this machine.

usage: test.py ONNXOPT MODELS FOLDER
"""
import os
import shutil
import subprocess
import sys

import kubernetes_validate
import yaml

here = os.path.dirname(os.path.abspath(__file__))
onnxopt, models, folder = map(os.path.abspath, sys.argv[1:4])
shutil.rmtree(folder, ignore_errors=True)
os.makedirs(os.path.join(folder, "bin"))
os.symlink(onnxopt, os.path.join(folder, "bin", "onnxopt"))
path = os.path.join(folder, "bin") + os.pathsep + os.environ["PATH"]


def manifest(name):
    with open(os.path.join(here, name)) as f:
        job = yaml.safe_load(f)
    for version in ("1.29", "1.33"):  # backoffLimitPerIndex is there by default since 1.29
        kubernetes_validate.validate(job, version, strict=True)
    return job["spec"]


def container(spec, data, **env):
    """Runs the job's container over the folder data."""
    c = spec["template"]["spec"]["containers"][0]
    values = {e["name"]: e["value"] for e in c.get("env", [])} | env
    return subprocess.run(c["command"] + c["args"], cwd=data, env={"PATH": path, **values}, capture_output=True, text=True)


def run(job, one):
    """Runs every index of job, last first, and one process; true if the bytes are equal."""
    data = os.path.join(folder, job.split()[0])
    os.makedirs(data)
    os.symlink(os.path.join(models, "resnet8.onnx"), os.path.join(data, "model.onnx"))
    os.symlink(os.path.join(models, "mnist", "calib-images-idx3-ubyte.gz"), os.path.join(data, "samples"))
    if job.startswith("compare"):
        subprocess.run([onnxopt, "quantize", "model.onnx", "--weights", "int8", "-q", "-o", "int8.onnx"], cwd=data, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([onnxopt, *one.split(), "-o", "one"], cwd=data, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    shards, merge = manifest("shards.yaml"), manifest("merge.yaml")
    for i in reversed(range(shards["completions"])):
        r = container(shards, data, JOB=job, JOB_COMPLETION_INDEX=str(i))
        assert r.returncode == 0, r.stderr
    lost = os.path.join(data, "parts", "7.part")
    os.rename(lost, lost + ".away")
    r = container(merge, data)
    assert r.returncode == 2 and "a shard is lost" in r.stderr and not os.path.exists(os.path.join(data, "merged")), r.stderr
    os.rename(lost + ".away", lost)
    r = container(merge, data)
    assert r.returncode == 0, r.stderr
    with open(os.path.join(data, "one"), "rb") as a, open(os.path.join(data, "merged"), "rb") as b:
        assert a.read() == b.read(), job + ": other bytes"
    print(job.split()[0], "in", shards["completions"], "indexes: the bytes of one process")


default = next(e["value"] for e in manifest("shards.yaml")["template"]["spec"]["containers"][0]["env"] if e["name"] == "JOB")
run(default.replace(" 0", " 130"), "calibrate model.onnx --data samples --calibration-samples 130")
run("compare model.onnx int8.onnx --data samples --samples 130", "compare model.onnx int8.onnx --data samples --samples 130 --shard 1/1")

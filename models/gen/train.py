"""Train one of the networks and export it to ONNX.

    python models/gen/train.py resnet8 --mnist DIR -o models/resnet8.onnx

DIR holds MNIST's four idx.gz files; scenes_resnet and scenes_mobile make their images themselves. --calibration FILE
writes the 1,000 unlabeled training images of models/mnist instead of training.
"""
import argparse
import io
import time

import numpy as np
import onnx
import torch
from mnist import read_idx, write_idx
from nets import NETS
from scenes import TEST, TRAIN, scenes
from torch.nn import functional as F

# epochs, peak learning rate, largest shift in pixels
RECIPES = {"lenet300": (12, 2e-3, 0), "lenet5": (6, 3e-3, 0), "resnet8": (12, 1e-2, 1),
           "mbnet": (8, 1e-2, 1), "tinyvit": (12, 2e-3, 1),
           "scenes_resnet": (4, 1e-2, 1), "scenes_mobile": (5, 1e-2, 1)}


def batches(x, y, size, shift, rng):
    order = torch.randperm(len(x), generator=rng)
    for i in range(0, len(x) - size + 1, size):
        take = order[i:i + size]
        images = x[take].float() / 255
        if shift:
            dx, dy = torch.randint(-shift, shift + 1, (2,), generator=rng).tolist()
            images = torch.roll(F.pad(images, (shift,) * 4), (dy, dx), (2, 3))[..., shift:-shift, shift:-shift]
        yield images, y[take]


def error(net, x, y):
    net.eval()
    with torch.no_grad():
        wrong = sum((net(x[i:i + 500].float() / 255).argmax(1) != y[i:i + 500]).sum().item()
                    for i in range(0, len(x), 500))
    return 100 * wrong / len(x)


def train(net, x, y, epochs, rate, shift, seed):
    rng = torch.Generator().manual_seed(seed)
    opt = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.01)
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, rate, epochs * (len(x) // 128))
    for epoch in range(epochs):
        net.train()
        start, total = time.time(), 0.0
        for images, labels in batches(x, y, 128, shift, rng):
            loss = F.cross_entropy(net(images), labels)
            opt.zero_grad()
            loss.backward()
            opt.step()
            plan.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / (len(x) // 128):.4f}, {time.time() - start:.0f} s", flush=True)


def data(net, mnist):
    """Training images and labels, test images and labels of a network."""
    if net.startswith("scenes"):
        sets = scenes(40000, TRAIN), scenes(5000, TEST)
    else:
        sets = [(read_idx(f"{mnist}/{kind}-images-idx3-ubyte.gz")[:, None], read_idx(f"{mnist}/{kind}-labels-idx1-ubyte.gz")) for kind in ("train", "t10k")]
    return [t for x, y in sets for t in (torch.tensor(x), torch.tensor(y, dtype=torch.long))]


def export(net, path):
    """Exports with BatchNormalization kept as nodes, so that folding it is the optimizer's work."""
    net.eval()
    buffer = io.BytesIO()
    torch.onnx.export(net, torch.zeros(1, *getattr(net, "shape", (1, 28, 28))), buffer, dynamo=False, opset_version=17,
                      input_names=["input"], output_names=["logits"], do_constant_folding=False,
                      training=torch.onnx.TrainingMode.PRESERVE,
                      dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}})
    model = onnx.load_from_string(buffer.getvalue())
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", choices=sorted(NETS), nargs="?")
    parser.add_argument("--mnist")
    parser.add_argument("-o", "--out")
    parser.add_argument("--calibration")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not args.calibration and not (args.net and args.out):
        parser.error("a network and -o, or --calibration")
    if not args.mnist and not (args.net or "").startswith("scenes"):
        parser.error("--mnist")
    if args.calibration:
        images = read_idx(f"{args.mnist}/train-images-idx3-ubyte.gz")
        pick = np.random.default_rng(0).choice(len(images), 1000, replace=False)
        write_idx(args.calibration, images[np.sort(pick)])
        return
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    x, y, tx, ty = data(args.net, args.mnist)
    net = NETS[args.net]().to(memory_format=torch.channels_last)
    epochs, rate, shift = RECIPES[args.net]
    train(net, x, y, epochs, rate, shift, args.seed)
    print(f"{args.net}: test error {error(net, tx, ty):.2f} %, {sum(p.numel() for p in net.parameters())} parameters")
    export(net.to(memory_format=torch.contiguous_format), args.out)


main()

"""The zoo: networks as exporters really write them, random weights, fixed seeds.

    python models/gen/zoo.py OUT [NAME ...]      PyTorch, both exporters; see zoo-requirements.txt
    python models/gen/zoo_keras.py OUT [NAME ..] TensorFlow through tf2onnx

Writes OUT/NAME.onnx and OUT/NAME.npz, one input for each graph input. Files are not committed.
BatchNormalization gets statistics of random images, so that activations keep a natural scale.
"""
import os
import sys
import time

import numpy as np
import torch
import torchvision
from torch import nn

OPSET = 17
torch.set_num_threads(1)
torch.backends.mha.set_fastpath_enabled(False)  # its fused operators have no ONNX form


def spread(net):
    """Gives weights that start near zero, as last layers do, the usual scale of 1 / sqrt(inputs); boxes stay near their anchors."""
    for name, m in net.named_modules():
        if isinstance(m, (nn.Conv2d, nn.Linear)) and "bbox" not in name:
            scale = m.weight[0].numel() ** -0.5
            if m.weight.std() < 0.5 * scale:
                nn.init.normal_(m.weight, std=scale)
    return net


def settle(net, *inputs):
    """Gives BatchNormalization layers the statistics of a random batch and turns training off."""
    spread(net)
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if norms:
        for m in norms:
            m.momentum = None
        for m in net.modules():
            if isinstance(m, nn.Dropout):
                m.p = 0.0
        net.train()
        with torch.no_grad():
            net(*inputs)
    return net.eval()


def classifier(make, size=224, **options):
    def build():
        net = make(weights=None, **options)
        x = torch.randn(2, 3, size, size)
        return settle(net, x), (x[:1],), ["input"], ["logits"], {"input": {0: "N"}, "logits": {0: "N"}}
    return build


class Encoder(nn.Module):
    """A transformer encoder over token numbers with a padding mask of its own making."""

    def __init__(self, width=128, heads=4, layers=2, words=1000):
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.place = nn.Parameter(torch.randn(512, width) * 0.1)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, tokens):
        mask = tokens == 0
        x = self.embed(tokens) + self.place[: tokens.shape[1]]
        x = self.encoder(x, src_key_padding_mask=mask)
        return self.head(x.mean(1))


def encoder():
    net = Encoder().eval()
    x = torch.randint(1, 1000, (2, 16))
    return net, (x,), ["tokens"], ["logits"], {"tokens": {0: "N", 1: "L"}, "logits": {0: "N"}}


class MiniLM(nn.Module):
    """The shape of a sentence encoder: 6 BERT layers of width 384, spelled out as exporters see them."""

    def __init__(self, width=384, heads=12, layers=6, words=3000):
        super().__init__()
        self.words, self.place = nn.Embedding(words, width), nn.Embedding(512, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.heads = heads
        make = lambda i, o: nn.ModuleList(nn.Linear(i, o) for _ in range(layers))
        self.q, self.k, self.v, self.o = (make(width, width) for _ in range(4))
        self.up, self.down = make(width, 4 * width), make(4 * width, width)
        self.norm1 = nn.ModuleList(nn.LayerNorm(width, eps=1e-12) for _ in range(layers))
        self.norm2 = nn.ModuleList(nn.LayerNorm(width, eps=1e-12) for _ in range(layers))

    def forward(self, input_ids, attention_mask):
        n, length = input_ids.shape
        mask = (1.0 - attention_mask[:, None, None, :].float()) * torch.finfo(torch.float32).min
        x = self.norm(self.words(input_ids) + self.place(torch.arange(length, device=input_ids.device)[None]))
        split = lambda t: t.view(n, length, self.heads, -1).transpose(1, 2)
        for i in range(len(self.q)):
            q, k, v = split(self.q[i](x)), split(self.k[i](x)), split(self.v[i](x))
            a = torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + mask, -1) @ v
            a = a.transpose(1, 2).reshape(n, length, -1)
            x = self.norm1[i](x + self.o[i](a))
            x = self.norm2[i](x + self.down[i](nn.functional.gelu(self.up[i](x))))
        m = attention_mask[..., None].float()
        return nn.functional.normalize((x * m).sum(1) / m.sum(1).clamp(min=1e-9))


def minilm():
    ids = torch.randint(1, 3000, (1, 32))
    mask = torch.ones_like(ids)
    mask[:, 28:] = 0
    axes = {"input_ids": {0: "N", 1: "L"}, "attention_mask": {0: "N", 1: "L"}, "sentence": {0: "N"}}
    return MiniLM().eval(), (ids, mask), ["input_ids", "attention_mask"], ["sentence"], axes


class Recurrent(nn.Module):
    def __init__(self, kind, both=False, state=False):
        super().__init__()
        self.rnn = kind(40, 128, 2, batch_first=True, bidirectional=both)
        self.head = nn.Linear(256 if both else 128, 12)
        self.state = state

    def forward(self, x, *state):
        y, after = self.rnn(x, state if len(state) == 2 else state[0] if state else None)
        y = self.head(y)
        return (y, *after) if self.state else y


def recurrent(kind, both=False):
    def build():
        x = torch.randn(2, 50, 40)
        return Recurrent(kind, both).eval(), (x,), ["x"], ["y"], {"x": {0: "N", 1: "T"}, "y": {0: "N", 1: "T"}}
    return build


def stateful():
    args = torch.randn(1, 10, 40), torch.randn(2, 1, 128), torch.randn(2, 1, 128)
    return Recurrent(nn.LSTM, state=True).eval(), args, ["x", "h0", "c0"], ["y", "h1", "c1"], {"x": {1: "T"}, "y": {1: "T"}}


class UNet(nn.Module):
    def __init__(self, widths=(16, 32, 64, 128)):
        super().__init__()
        block = lambda i, o: nn.Sequential(nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(),
                                           nn.Conv2d(o, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU())
        self.down = nn.ModuleList(block(i, o) for i, o in zip((3,) + widths, widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(o, i, 2, 2) for i, o in zip(widths, widths[1:]))
        self.join = nn.ModuleList(block(2 * i, i) for i in widths[:-1])
        self.head = nn.Conv2d(widths[0], 2, 1)

    def forward(self, x):
        skips = []
        for i, d in enumerate(self.down):
            x = d(x)
            if i + 1 < len(self.down):
                skips.append(x)
                x = nn.functional.max_pool2d(x, 2)
        for u, j, s in reversed(list(zip(self.up, self.join, skips))):
            x = j(torch.cat([nn.functional.interpolate(u(x), size=s.shape[2:], mode="bilinear", align_corners=False), s], 1))
        return self.head(x)


def unet():
    x = torch.randn(2, 3, 128, 128)
    axes = {"image": {0: "N", 2: "H", 3: "W"}, "mask": {0: "N", 2: "H", 3: "W"}}
    return settle(UNet(), x), (x[:1],), ["image"], ["mask"], axes


def detector(make, size, wide=True, **options):
    """With non-maximum suppression; as initialized, if scores spread too far to leave a box."""
    def build():
        net = make(weights=None, weights_backbone=None, num_classes=5, **options)
        if wide:
            settle(net.backbone, torch.rand(2, 3, size, size))
            spread(net)
        return net.eval(), ([torch.rand(3, size, size)],), ["image"], ["boxes", "scores", "labels"], {}
    return build


MODELS = torchvision.models
ZOO = {
    "resnet18": classifier(MODELS.resnet18),
    "resnet50": classifier(MODELS.resnet50),
    "mobilenetv2": classifier(MODELS.mobilenet_v2),
    "mobilenetv3": classifier(MODELS.mobilenet_v3_small),
    "efficientnet_b0": classifier(MODELS.efficientnet_b0),
    "densenet121": classifier(MODELS.densenet121),
    "squeezenet": classifier(MODELS.squeezenet1_1),
    "shufflenetv2": classifier(MODELS.shufflenet_v2_x0_5),
    "vit_b_16": classifier(MODELS.vit_b_16),
    "swin_t": classifier(MODELS.swin_t),
    "convnext_t": classifier(MODELS.convnext_tiny),
    "encoder": encoder,
    "minilm": minilm,
    "lstm": recurrent(nn.LSTM),
    "gru": recurrent(nn.GRU),
    "bilstm": recurrent(nn.LSTM, True),
    "bigru": recurrent(nn.GRU, True),
    "lstm_state": stateful,
    "unet": unet,
    "ssdlite": detector(MODELS.detection.ssdlite320_mobilenet_v3_large, 320),
    "fasterrcnn": detector(MODELS.detection.fasterrcnn_mobilenet_v3_large_320_fpn, 320, wide=False),
}
# Exported a second time by torch.export's exporter, as NAME_dynamo.
DYNAMO = ["resnet18", "mobilenetv2", "mobilenetv3", "efficientnet_b0", "densenet121", "squeezenet", "swin_t", "convnext_t", "encoder", "minilm", "unet", "gru"]


def export(name, out, dynamo):
    torch.manual_seed(0)
    net, args, inputs, outputs, axes = ZOO[name]()
    path = os.path.join(out, name + ("_dynamo" if dynamo else "") + ".onnx")
    with torch.no_grad():
        if dynamo:
            shapes = tuple({k: torch.export.Dim.DYNAMIC for k in axes.get(i, {})} for i in inputs)
            # A batch of two: sizes of one are taken for constants.
            args = tuple(torch.cat([a, a]) if a.shape[0] == 1 and 0 in axes.get(i, {}) else a for a, i in zip(args, inputs))
            torch.onnx.export(net, args, path, dynamo=True, input_names=inputs, output_names=outputs, dynamic_shapes=shapes, external_data=False, verbose=False)
        else:
            torch.onnx.export(net, args, path, dynamo=False, opset_version=OPSET, input_names=inputs, output_names=outputs, dynamic_axes=axes)
    flat = args[0] if isinstance(args[0], list) else args
    np.savez(path[:-5] + ".npz", **{i: a.numpy() for i, a in zip(inputs, flat)})


def main(out, *names):
    os.makedirs(out, exist_ok=True)
    jobs = [(n, False) for n in ZOO] + [(n, True) for n in DYNAMO]
    failed = []
    for name, dynamo in jobs:
        title = name + ("_dynamo" if dynamo else "")
        if names and title not in names or os.path.exists(f"{out}/{title}.npz"):
            continue
        start = time.time()
        try:
            export(name, out, dynamo)
            print(f"{title:24} {os.path.getsize(f'{out}/{title}.onnx') / 1e6:8.2f} MB {time.time() - start:6.1f} s", flush=True)
        except Exception as e:
            failed.append(title)
            print(f"{title:24} not exported: {type(e).__name__}: {str(e).splitlines()[0][:200]}", flush=True)
    sys.exit(bool(failed))


main(*sys.argv[1:])

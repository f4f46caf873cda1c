"""Broken and adversarial files, each with its wanted verdict: python testdata/hostile.py ONNXOPT OUT [--peers]

Writes a corpus to OUT and gives every file to the tool in a process of its own. Each must end within 5 seconds, below 100 MB
of resident memory beyond the file, with exit code 0, or 1 and one line; no signal, no traceback, and no output file on failure.
With --peers the same models go to onnx.checker, onnxruntime and, where installed, onnxsim, onnxslim and onnxoptimizer.
"""
import gzip
import io
import os
import random
import resource
import shutil
import struct
import subprocess
import sys
import time
import zipfile

import numpy as np
import onnx
from onnx import TensorProto as T, helper as h

SECONDS, MEMORY = 5, 100 << 20
LIMITS = "--timeout", "3s", "--max-memory", "64MB"  # of run and optimize
F, I = T.FLOAT, T.INT64

# A case: name, files written by write(folder) -> path of the model, and what check, optimize and run must say:
# "bad" is exit code 1, "ok" is 0, "any" either, None is not asked. Run gets ones as inputs or the samples of write.
CASES = []


def case(name, write, check="bad", optimize="bad", run="bad", args=()):
    CASES.append((name, write, check, optimize, run, args))


def info(name, dims=(2,), elem=F):
    return h.make_tensor_value_info(name, elem, dims)


def model(nodes, inputs=None, outputs=None, inits=(), opset=17, functions=(), ir=8, imports=None, check=None):
    inputs = [info("x")] if inputs is None else inputs
    outputs = [info("y", None)] if outputs is None else outputs
    g = h.make_graph(list(nodes), "g", inputs, outputs, list(inits))
    m = h.make_model(g, opset_imports=imports or [h.make_opsetid("", opset), h.make_opsetid("local", 1)], functions=list(functions), ir_version=ir)
    return m


def saved(data):
    def write(folder):
        path = folder + "/model.onnx"
        with open(path, "wb") as f:
            f.write(data if isinstance(data, bytes) else data.SerializeToString())
        return path
    return write


def const(name, values, elem=I, dims=None):
    values = list(values)
    return h.make_tensor(name, elem, [len(values)] if dims is None else dims, values)


def good():
    return model([h.make_node("Add", ["x", "w"], ["s"], "add"), h.make_node("Relu", ["s"], ["y"], "relu")], inits=[const("w", [1.0, 2.0], F)])


def edited(change, base=good):
    m = base()
    change(m, m.graph.initializer[0] if m.graph.initializer else None)
    return saved(m)


def damaged_files():
    b = good().SerializeToString()
    for n in range(1, len(b), max(len(b) // 14, 1)):
        case(f"truncated at {n}", saved(b[:n]), "any", "any", "any")
    rng = random.Random(1)
    for i in range(24):
        at, bit = rng.randrange(len(b)), rng.randrange(8)
        case(f"bit {bit} of byte {at} flipped", saved(b[:at] + bytes([b[at] ^ 1 << bit]) + b[at + 1:]), "any", "any", "any")
    for name, data in {
        "empty": b"", "one byte": b"\x08", "random": random.Random(2).randbytes(100000), "text": b"hello\n" * 50,
        "LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4" * 64 + b"\nsize 12345\n",
        "PNG": b"\x89PNG\r\n\x1a\n" + b"\0" * 64, "zip": b"PK\x03\x04" + b"\0" * 64, "gzip of a model": gzip.compress(b),
        "HTML": b"<!DOCTYPE html><html></html>", "JSON": b'{"ir_version": 8}', "zeros": bytes(4096),
        "varint without end": b"\x3a" + b"\xff" * 64, "length beyond the file": b"\x3a\xff\xff\xff\xff\x07" + b[:20],
        "group tags": b"\x0b" * 5000, "wire type 7": b"\x0f\x0f\x0f",
    }.items():
        case(name, saved(data))

    def folder(d):
        os.mkdir(d + "/model.onnx")
        return d + "/model.onnx"

    def loop(d):
        os.symlink("model.onnx", d + "/model.onnx")
        return d + "/model.onnx"

    def fifo(d):
        os.mkfifo(d + "/model.onnx")
        return d + "/model.onnx"

    def sparse(d):
        with open(d + "/model.onnx", "wb") as f:
            f.truncate(5 << 30)
        return d + "/model.onnx"
    case("a folder", folder)
    case("a link to itself", loop)
    case("a pipe", fifo)
    case("5 GB of zeros", sparse)
    case("a device", lambda d: "/dev/zero")
    case("not there", lambda d: d + "/none.onnx")


def tensors():
    def put(**fields):
        def change(m, w):
            w.ClearField("float_data")
            for k, v in fields.items():
                if isinstance(v, list):
                    del getattr(w, k)[:]
                    getattr(w, k).extend(v)
                else:
                    setattr(w, k, v)
        return change
    for name, fields in {
        "dims claim terabytes": dict(dims=[1 << 40], raw_data=bytes(8)), "dims overflow": dict(dims=[1 << 62, 1 << 62], raw_data=bytes(8)),
        "negative dim": dict(dims=[-2], raw_data=bytes(8)), "least int64 dim": dict(dims=[-1 << 63], raw_data=bytes(8)),
        "too little raw data": dict(dims=[4], raw_data=bytes(8)), "too much raw data": dict(dims=[1], raw_data=bytes(8)),
        "raw data of odd length": dict(dims=[2], raw_data=bytes(7)), "too few values": dict(dims=[3], float_data=[1.0]),
        "no data": dict(dims=[2]), "element type 0": dict(data_type=0, raw_data=bytes(8)), "element type 99": dict(data_type=99, raw_data=bytes(8)),
        "negative element type": dict(data_type=-1, raw_data=bytes(8)), "values in the wrong field": dict(int64_data=[1, 2]),
        "strings in raw data": dict(data_type=T.STRING, raw_data=bytes(8)), "two kinds of data": dict(float_data=[1, 2], raw_data=bytes(8)),
        "zero times overflow": dict(dims=[0, 1 << 62, 1 << 62], raw_data=b""), "int4 of odd bytes": dict(data_type=T.INT4, dims=[5], raw_data=bytes(2)),
    }.items():
        case("tensor: " + name, edited(put(**fields)), check="any" if name in ("two kinds of data", "zero times overflow") else "bad",
             optimize="any" if name in ("two kinds of data", "zero times overflow") else "bad", run="any" if "two kinds" in name else "bad")


def external_data():
    def external(prepare=None, **entries):
        def write(d):
            m = good()
            w = m.graph.initializer[0]
            w.ClearField("float_data")
            w.data_location = T.EXTERNAL
            for k, v in entries.items():
                e = w.external_data.add()
                e.key, e.value = k, v
            with open(d + "/w.bin", "wb") as f:
                f.write(bytes(16))
            if prepare:
                prepare(d)
            return saved(m)(d)
        return write
    for name, entries in {
        "above the folder": dict(location="../../../../etc/passwd"), "absolute path": dict(location="/etc/passwd"),
        "backslashes": dict(location="..\\..\\secret"), "NUL in the path": dict(location="w\0.bin"), "empty location": dict(location=""),
        "no location": {}, "missing file": dict(location="none.bin"), "a folder": dict(location="."), "a device": dict(location="/dev/zero"),
        "negative offset": dict(location="w.bin", offset="-8"), "huge offset": dict(location="w.bin", offset="9223372036854775807"),
        "offset beyond int64": dict(location="w.bin", offset="99999999999999999999"), "offset of letters": dict(location="w.bin", offset="eight"),
        "huge length": dict(location="w.bin", length="9223372036854775807"), "negative length": dict(location="w.bin", length="-1"),
        "offset plus length overflow": dict(location="w.bin", offset="9223372036854775800", length="100"),
        "length of another tensor": dict(location="w.bin", length="12"), "beyond the end": dict(location="w.bin", offset="12", length="8"),
    }.items():
        case("external data: " + name, external(**entries))
    case("external data: a link out of the folder", external(lambda d: os.symlink("/etc/passwd", d + "/link"), location="link", length="8"))
    case("external data: a pipe", external(lambda d: os.mkfifo(d + "/pipe"), location="pipe"))
    case("external data: sound", external(location="w.bin", offset="8", length="8"), "ok", "ok", "ok")


def structure():
    relu = lambda i, o, n="": h.make_node("Relu", [i], [o], n)
    case("cycle", saved(model([h.make_node("Add", ["x", "b"], ["a"], "first"), relu("a", "b"), relu("b", "y")])))
    case("self loop", saved(model([h.make_node("Add", ["x", "y"], ["y"], "loop")])))
    case("unsorted", saved(model([relu("a", "y"), relu("x", "a")])), "bad", "ok", "ok")
    case("duplicate outputs", saved(model([relu("x", "y"), relu("x", "y")])))
    case("output of the name of an input", saved(model([relu("x", "x")], outputs=[info("x")])))
    case("undefined input", saved(model([relu("ghost", "y")])))
    case("undefined graph output", saved(model([relu("x", "z")])))
    case("empty op_type", saved(model([h.make_node("", ["x"], ["y"])])))
    case("unknown operator", saved(model([h.make_node("Frobnicate", ["x"], ["y"])])), "bad", "any", "bad")
    case("foreign operator", saved(model([h.make_node("Whirl", ["x"], ["y"], domain="local")])), "any", "any", "bad")
    case("too few inputs", saved(model([h.make_node("Add", ["x"], ["y"])])), "bad", "any")
    case("too many inputs", saved(model([h.make_node("Relu", ["x", "x"], ["y"])])), "bad", "any")
    case("too many outputs", saved(model([h.make_node("Relu", ["x"], ["y", "z"])])), "bad", "any")
    case("required input left out", saved(model([h.make_node("Add", ["", "x"], ["y"])])), "bad", "any")
    case("two inputs of a name", saved(model([relu("x", "y")], inputs=[info("x"), info("x")])))
    case("two initializers of a name", saved(model([h.make_node("Add", ["x", "w"], ["y"])], inits=[const("w", [1.0, 2.0], F)] * 2)))
    case("a name as initializer and node output", saved(model([relu("x", "w"), h.make_node("Add", ["x", "w"], ["y"])], inits=[const("w", [1.0, 2.0], F)])))
    case("no graph", edited(lambda m, w: m.ClearField("graph"), lambda: model([])))
    case("no nodes, input is output", saved(model([], outputs=[info("x")])), "ok", "any", "ok")
    case("declared type is wrong", saved(model([relu("x", "y")], outputs=[info("y", (2,), I)])), "bad", "any", "any")
    case("declared shape is wrong", saved(model([relu("x", "y")], outputs=[info("y", (3, 3))])), "bad", "any", "any")
    case("types that do not fit", saved(model([h.make_node("Add", ["x", "k"], ["y"])], inits=[const("k", [1, 2])])), "bad", "any")
    case("shapes that do not fit", saved(model([h.make_node("Add", ["x", "k"], ["y"])], inits=[const("k", [1.0] * 3, F)])), "bad", "any")
    case("bad UTF-8 in a name", saved(good().SerializeToString().replace(b"add", b"\xff\xfe\xfd")), "any", "any", "any")
    case("names of a megabyte", saved(model([relu("x", "n" * (1 << 20)), relu("n" * (1 << 20), "y")])), "ok", "any", "ok")
    sub = h.make_graph([relu("x", "z")], "sub", [], [info("z", None)])
    bad = h.make_graph([relu("ghost", "z")], "sub", [], [info("z", None)])
    pick = lambda a, b: model([h.make_node("If", ["c"], ["y"], then_branch=a, else_branch=b)], inputs=[info("x"), info("c", (), T.BOOL)])
    case("undefined value in a subgraph", saved(pick(sub, bad)))
    case("sound subgraphs", saved(pick(sub, sub)), "ok", "any", "ok")
    case("If without else", saved(model([h.make_node("If", ["c"], ["y"], then_branch=sub)], inputs=[info("x"), info("c", (), T.BOOL)])), "bad", "any")
    shadow = h.make_graph([relu("x", "s")], "sub", [], [info("s", None)])
    case("a subgraph that shadows", saved(model([relu("x", "s"), h.make_node("If", ["c"], ["y"], then_branch=shadow, else_branch=shadow)],
                                               inputs=[info("x"), info("c", (), T.BOOL)])), "any", "any", "any")


def attributes():
    image = [info("x", (1, 2, 8, 8))]
    w = [const("w", [0.5] * 36, F, [2, 2, 3, 3])]
    conv = lambda **a: saved(model([h.make_node("Conv", ["x", "w"], ["y"], "conv", **a)], image, None, w))
    for name, a in {
        "stride 0": dict(strides=[0, 0]), "negative stride": dict(strides=[-1, 1]), "group 0": dict(group=0), "negative group": dict(group=-1),
        "group that does not divide": dict(group=3), "dilation 0": dict(dilations=[0, 1]), "kernel 0": dict(kernel_shape=[0, 0]),
        "kernel unlike the weight": dict(kernel_shape=[5, 5]), "three strides": dict(strides=[1, 1, 1]), "pads of odd number": dict(pads=[1]),
        "kernel larger than the image": dict(dilations=[9, 9]), "unknown auto_pad": dict(auto_pad="SIDEWAYS"), "huge pads": dict(pads=[1 << 40] * 4),
        "strides as int": dict(strides=2), "group as string": dict(group="two"), "unknown attribute": dict(frobnicate=1),
    }.items():
        lenient = name in ("unknown attribute",)
        case("Conv: " + name, conv(**a), "any" if name == "kernel larger than the image" else "bad", "any", "any" if lenient else "bad")
    pool = lambda **a: saved(model([h.make_node("MaxPool", ["x"], ["y"], "pool", **a)], image))
    for name, a in {"no kernel": {}, "kernel 0": dict(kernel_shape=[0, 0]), "stride 0": dict(kernel_shape=[2, 2], strides=[0, 0]),
                    "pads beyond the kernel": dict(kernel_shape=[2, 2], pads=[9, 9, 9, 9]), "huge kernel": dict(kernel_shape=[1 << 40, 1 << 40])}.items():
        case("MaxPool: " + name, pool(**a), "any" if "pads" in name or "huge" in name else "bad", "any", "any" if "pads" in name else "bad")
    for name, node in {
        "Transpose: perm repeats": h.make_node("Transpose", ["x"], ["y"], perm=[0, 0]), "Transpose: perm too long": h.make_node("Transpose", ["x"], ["y"], perm=[0, 1, 2]),
        "Concat: axis out of range": h.make_node("Concat", ["x", "x"], ["y"], axis=7), "Concat: no axis": h.make_node("Concat", ["x", "x"], ["y"]),
        "Softmax: axis out of range": h.make_node("Softmax", ["x"], ["y"], axis=-9), "Cast: unknown type": h.make_node("Cast", ["x"], ["y"], to=99),
        "Cast: no type": h.make_node("Cast", ["x"], ["y"]), "Gather: axis out of range": h.make_node("Gather", ["x", "x"], ["y"], axis=5),
        "Flatten: axis out of range": h.make_node("Flatten", ["x"], ["y"], axis=5), "Einsum: nonsense": h.make_node("Einsum", ["x"], ["y"], equation="ij->->k"),
        "LSTM: no hidden size": h.make_node("LSTM", ["x", "x", "x"], ["y"]), "DepthToSpace: blocksize 0": h.make_node("DepthToSpace", ["x"], ["y"], blocksize=0),
        "Constant: no value": h.make_node("Constant", [], ["y"]), "Constant: two values": h.make_node("Constant", [], ["y"], value_int=1, value_float=1.0),
    }.items():
        case(name, saved(model([node], [info("x", (2, 2))])), "any" if name == "Constant: two values" else "bad", "any", "any" if name == "Constant: two values" else "bad")


def versions():
    relu = [h.make_node("Relu", ["x"], ["y"])]
    op = h.make_opsetid
    case("opset of the future", saved(model(relu, imports=[op("", 9999)])), "any", "any", "any")
    case("opset 0", saved(model(relu, imports=[op("", 0)])), "any", "any", "any")
    case("negative opset", saved(model(relu, imports=[op("", -1)])), "bad", "any", "any")
    case("no opset", edited(lambda m, w: m.ClearField("opset_import")), "bad", "any", "any")
    case("two opsets", saved(model(relu, imports=[op("", 17), op("", 13)])), "any", "any", "any")
    case("IR of the future", saved(model(relu, ir=9999)), "any", "any", "any")
    case("no IR version", edited(lambda m, w: m.ClearField("ir_version")), "bad", "any", "any")
    case("operator newer than the opset", saved(model([h.make_node("Gelu", ["x"], ["y"])], opset=13)), "bad", "any", "bad")
    case("operator that was removed", saved(model([h.make_node("Upsample", ["x", "s"], ["y"])], inits=[const("s", [2.0], F)])), "bad", "any", "any")


def nesting():
    def deep(n):
        # Written by hand: the library would recurse. GraphProto{node: If{attribute{g: ...}}}
        g = b"\x12\x01g"
        for _ in range(n):
            attribute = b"\x0a\x0bthen_branch" + b"\x32" + varint(len(g)) + g + b"\xa0\x01\x05"
            node = b"\x0a\x01c\x12\x01y\x22\x02If" + b"\x2a" + varint(len(attribute)) + attribute
            g = b"\x0a" + varint(len(node)) + node + b"\x12\x01g"
        return b"\x08\x08" + b"\x3a" + varint(len(g)) + g + b"\x42\x04\x0a\x00\x10\x11"
    case("graphs nested 300 deep", saved(deep(300)), "bad", "any", "bad")
    case("graphs nested 40,000 deep", saved(deep(40000)))
    f = lambda name, *nodes: h.make_function("local", name, ["a"], ["b"], nodes, [h.make_opsetid("", 17), h.make_opsetid("local", 1)])
    call = [h.make_node("F", ["x"], ["y"], domain="local")]
    case("a function that calls itself", saved(model(call, functions=[f("F", h.make_node("F", ["a"], ["b"], domain="local"))])), "bad", "any")
    case("functions that call each other", saved(model(call, functions=[f("F", h.make_node("G", ["a"], ["b"], domain="local")), f("G", h.make_node("F", ["a"], ["b"], domain="local"))])), "bad", "any")
    case("a function with undefined values", saved(model(call, functions=[f("F", h.make_node("Relu", ["ghost"], ["b"]))])))
    case("two functions of a name", saved(model(call, functions=[f("F", h.make_node("Relu", ["a"], ["b"]))] * 2)), "any", "any", "any")
    fan = [f(f"F{i}", *[h.make_node(f"F{i + 1}", ["a" if k == 0 else f"t{k}"], [f"t{k + 1}" if k < 9 else "b"], domain="local") for k in range(10)]) for i in range(12)]
    fan.append(f("F12", h.make_node("Relu", ["a"], ["b"])))
    case("functions that grow tenfold twelve times", saved(model([h.make_node("F0", ["x"], ["y"], domain="local")], functions=fan)), "any", "any", "any")


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def bombs():
    """Sound models whose constants or loops would fill memory or time: left alone by the optimizer, refused or stopped by run."""
    def bomb(name, nodes, inits=(), run="bad", check="ok", optimize="any"):
        case("bomb: " + name, saved(model(nodes, inits=inits)), check, optimize, run)
    n = h.make_node
    one = h.make_tensor("value", F, [1], [1.0])
    tail = [n("Add", ["x", "sum"], ["y"])]
    total = lambda v: [n("ReduceSum", [v], ["sum"], keepdims=0)] + tail
    bomb("ConstantOfShape of 4 GiB", [n("ConstantOfShape", ["s"], ["a"], value=one)] + total("a"), [const("s", [1 << 30])])
    bomb("ConstantOfShape of 4 exabytes", [n("ConstantOfShape", ["s"], ["a"], value=one)] + total("a"), [const("s", [1 << 60])], check="any")
    bomb("ConstantOfShape that overflows", [n("ConstantOfShape", ["s"], ["a"], value=one)] + total("a"), [const("s", [1 << 62, 1 << 62])], check="any")
    bomb("ConstantOfShape of negative size", [n("ConstantOfShape", ["s"], ["a"], value=one)] + total("a"), [const("s", [-5])], check="any")
    bomb("Expand", [n("Expand", ["w", "s"], ["a"])] + total("a"), [const("w", [1.0], F), const("s", [1 << 40])], check="any")
    bomb("Tile", [n("Tile", ["w", "s"], ["a"])] + total("a"), [const("w", [1.0], F), const("s", [1 << 40])], check="any")
    bomb("Range", [n("Range", ["z", "m", "o"], ["r"]), n("Cast", ["r"], ["a"], to=F)] + total("a"),
         [const("z", [0], dims=[]), const("m", [1 << 50], dims=[]), const("o", [1], dims=[])], check="any")
    bomb("Range with step 0", [n("Range", ["z", "m", "z"], ["r"]), n("Cast", ["r"], ["a"], to=F)] + total("a"), [const("z", [0], dims=[]), const("m", [5], dims=[])], check="any", run="any")
    bomb("Pad", [n("Pad", ["w", "p"], ["a"])] + total("a"), [const("w", [1.0], F), const("p", [1 << 40, 0])], check="any")
    bomb("Resize", [n("Resize", ["w", "", "s"], ["a"])] + total("a"), [const("w", [1.0], F, [1]), const("s", [1e15], F)], check="any")
    bomb("OneHot", [n("OneHot", ["i", "d", "v"], ["a"])] + total("a"), [const("i", [0]), const("d", [1 << 45], dims=[]), const("v", [0.0, 1.0], F)], check="any")
    bomb("Concat doubled 60 times", [n("Concat", [f"a{i}"] * 2, [f"a{i + 1}"], axis=0) for i in range(60)] + total("a60"), [const("a0", [1.0], F)], check="any")
    bomb("Concat doubled 60 times, of the input", [n("Concat", ["x" if i == 0 else f"a{i}"] * 2, [f"a{i + 1}"], axis=0) for i in range(60)] + total("a60"), check="any")
    body = h.make_graph([n("Identity", ["cin"], ["cout"]), n("Add", ["v", "v"], ["vout"])], "body",
                        [info("i", (), I), info("cin", (), T.BOOL), info("v", (2,))], [info("cout", (), T.BOOL), info("vout", (2,))])
    bomb("endless Loop", [n("Loop", ["", "t", "x"], ["y"], body=body)], [const("t", [True], T.BOOL, [])])
    bomb("Loop of 2^62 steps", [n("Loop", ["m", "t", "x"], ["y"], body=body)], [const("m", [1 << 62], dims=[]), const("t", [True], T.BOOL, [])])
    bomb("endless constant Loop", [n("Loop", ["", "t", "w"], ["l"], body=body), n("Add", ["x", "l"], ["y"])], [const("t", [True], T.BOOL, []), const("w", [1.0, 2.0], F)])
    grow = h.make_graph([n("Identity", ["cin"], ["cout"]), n("Concat", ["v", "v"], ["vout"], axis=0)], "body",
                        [info("i", (), I), info("cin", (), T.BOOL), info("v", None)], [info("cout", (), T.BOOL), info("vout", None)])
    bomb("Loop that doubles", [n("Loop", ["", "t", "x"], ["y"], body=grow)], [const("t", [True], T.BOOL, [])])
    bomb("MatMul of 10^18 products", [n("ConstantOfShape", ["s"], ["a"], value=one), n("MatMul", ["a", "a"], ["b"])] + total("b"), [const("s", [1 << 14, 1 << 14])], run="any")


def at_run_time():
    n = h.make_node
    def fault(name, nodes, inits=(), check="any", run="bad", **k):
        case("run: " + name, saved(model(nodes, inits=inits, **k)), check, "any", run)
    ints = [info("x", (2,), I)]
    fault("integer division by zero", [n("Div", ["x", "z"], ["y"])], [const("z", [0, 0])], inputs=ints)
    fault("least integer by -1", [n("Div", ["m", "o"], ["q"]), n("Add", ["x", "q"], ["y"])], [const("m", [-1 << 63]), const("o", [-1])], inputs=ints, run="any")
    fault("integer remainder by zero", [n("Mod", ["x", "z"], ["y"])], [const("z", [0, 0])], inputs=ints)
    fault("Gather out of range", [n("Gather", ["x", "i"], ["y"])], [const("i", [5])])
    fault("Gather far below", [n("Gather", ["x", "i"], ["y"])], [const("i", [-1 << 63])])
    fault("GatherND out of range", [n("GatherND", ["x", "i"], ["y"])], [const("i", [9], dims=[1, 1])])
    fault("GatherElements out of range", [n("GatherElements", ["x", "i"], ["y"])], [const("i", [2])])
    fault("ScatterND out of range", [n("ScatterND", ["x", "i", "u"], ["y"])], [const("i", [9], dims=[1, 1]), const("u", [1.0], F)])
    fault("ScatterElements out of range", [n("ScatterElements", ["x", "i", "u"], ["y"])], [const("i", [-7]), const("u", [1.0], F)])
    fault("Slice with step 0", [n("Slice", ["x", "a", "b", "c", "z"], ["y"])], [const("a", [0]), const("b", [2]), const("c", [0]), const("z", [0])])
    fault("Reshape to another size", [n("Reshape", ["x", "s"], ["y"])], [const("s", [3, 5])])
    fault("Reshape with two -1", [n("Reshape", ["x", "s"], ["y"])], [const("s", [-1, -1])])
    fault("Reshape by overflow", [n("Reshape", ["x", "s"], ["y"])], [const("s", [1 << 32, 1 << 32])])
    fault("Split sizes that do not add up", [n("Split", ["x", "s"], ["y", "z"])], [const("s", [1, 9])])
    fault("TopK beyond the axis", [n("TopK", ["x", "k"], ["y", "i"])], [const("k", [9])])
    fault("TopK of negative k", [n("TopK", ["x", "k"], ["y", "i"])], [const("k", [-1])])
    fault("Squeeze of a long axis", [n("Squeeze", ["x", "a"], ["y"])], [const("a", [0])])
    fault("Unsqueeze twice at one place", [n("Unsqueeze", ["x", "a"], ["y"])], [const("a", [0, 0])])
    fault("Expand that does not broadcast", [n("Expand", ["x", "s"], ["y"])], [const("s", [3])])
    fault("Cast of a word to a number", [n("Cast", ["w"], ["k"], to=F), n("Add", ["x", "k"], ["y"])], [h.make_tensor("w", T.STRING, [1], [b"seven"])])
    fault("Cast of NaN to an integer", [n("Div", ["z", "z"], ["q"]), n("Cast", ["q"], ["i"], to=I), n("Cast", ["i"], ["f"], to=F), n("Add", ["x", "f"], ["y"])], [const("z", [0.0], F)], run="any")
    fault("If with two conditions", [n("Cast", ["x"], ["c"], to=T.BOOL), n("If", ["c"], ["y"], then_branch=h.make_graph([n("Relu", ["x"], ["z"])], "s", [], [info("z", None)]),
          else_branch=h.make_graph([n("Relu", ["x"], ["z"])], "s", [], [info("z", None)]))])
    fault("element of an empty sequence", [n("SequenceEmpty", [], ["s"]), n("SequenceAt", ["s", "i"], ["q"]), n("Add", ["x", "q"], ["y"])], [const("i", [0], dims=[])])
    fault("BitShift by 200", [n("Cast", ["x"], ["u"], to=T.UINT8), n("BitShift", ["u", "k"], ["v"], direction="LEFT"), n("Cast", ["v"], ["y"], to=F)], [const("k", [200], T.UINT8)], run="any")
    fault("Range of NaN", [n("Range", ["z", "q", "o"], ["y"])], [const("z", [0.0], F, []), const("q", [float("nan")], F, []), const("o", [1.0], F, [])])
    fault("Where of shapes that do not fit", [n("Where", ["c", "x", "k"], ["y"])], [const("c", [True] * 3, T.BOOL), const("k", [1.0, 2.0], F)])


def sample_files():
    """Samples for a sound model: run must refuse them."""
    net = good()
    def samples(name, put, run="bad", m=net):
        def write(d):
            path = saved(m)(d)
            put(d)
            return path
        case("samples: " + name, write, None, None, run, ("data",))
    def file(name, data):
        def put(d):
            with open(d + "/" + name, "wb") as f:
                f.write(data)
            with open(d + "/data", "w") as f:
                f.write(name)
        return put
    npy = lambda header, data=b"": b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data
    head = lambda shape, kind="<f4": "{'descr': '%s', 'fortran_order': False, 'shape': %s, }\n" % (kind, shape)
    samples("npy of terabytes", file("x.npy", npy(head("(1099511627776, 2)"))))
    samples("npy whose shape overflows", file("x.npy", npy(head("(4611686018427387904, 4611686018427387904)"))))
    samples("npy cut short", file("x.npy", npy(head("(100, 2)"), bytes(8))))
    samples("npy of pickled objects", file("x.npy", npy(head("(1, 2)", "|O"), b"\x80\x04.")))
    samples("npy of negative shape", file("x.npy", npy(head("(-1, 2)"), bytes(8))))
    samples("npy of another shape", file("x.npy", npy(head("(4, 3)"), bytes(48))))
    samples("npy of another type", file("x.npy", npy(head("(4, 2)", "<i8"), bytes(64))))
    samples("npy header without end", file("x.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"))
    samples("empty npz", file("x.npz", b""))
    buf = io.BytesIO()
    with zipfile.ZipFile(buf, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("x.npy", npy(head("(100000000, 2)"), bytes(800 << 20)))
    samples("zip bomb", file("x.npz", buf.getvalue()), "any")
    other = io.BytesIO()
    np.savez(other, z=np.zeros((1, 2), np.float32))
    samples("npz without the input", file("x.npz", other.getvalue()))
    image = model([h.make_node("Relu", ["x"], ["y"])], [info("x", (1, 3, 8, 8))])
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", __import__("zlib").crc32(kind + data))
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 100000, 100000, 8, 2, 0, 0, 0)) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    samples("image of 30 GB", file("x.png", png), m=image)
    samples("image cut short", file("x.png", png[:20]), m=image)
    samples("image that is none", file("x.jpg", b"\xff\xd8\xff\xe0" + b"junk" * 20), m=image)
    samples("idx of terabytes", file("x-idx2-ubyte", b"\0\0\x08\x02\xff\xff\xff\xff\xff\xff\xff\xff"))
    samples("broken gzip", file("x-idx2-ubyte.gz", gzip.compress(bytes(100))[:20]))

    def loop(d):
        os.symlink(".", d + "/again")
        with open(d + "/data", "w") as f:
            f.write("again")
    samples("a folder that contains itself", loop)


def measure(command, cwd):
    """Exit code, seconds, peak resident bytes and the error output of a command."""
    start = time.time()
    with open(cwd + "/.err", "wb") as err:
        p = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=err, start_new_session=True)
        peak = 0
        while True:
            pid, status, usage = os.wait4(p.pid, os.WNOHANG)
            if pid:
                p.returncode = os.waitstatus_to_exitcode(status)
                peak = usage.ru_maxrss << 10
                break
            if time.time() - start > 4 * SECONDS:
                p.kill()
                os.wait4(p.pid, 0)
                return "hang", time.time() - start, 0, ""
            time.sleep(0.002)
    with open(cwd + "/.err", errors="replace") as f:
        return p.returncode, time.time() - start, peak, f.read()


def verdict(code, seconds, peak, err, want, size, baseline):
    said = {0: "ok", 1: "bad", 2: "bad"}.get(code, f"exit {code}")
    if want != "any" and said != want or said.startswith("exit"):
        return f"{said}, wanted {want}: {err.strip()[-200:]}"
    if seconds > SECONDS:
        return f"{seconds:.1f} s"
    if peak > baseline + size + MEMORY:
        return f"{peak >> 20} MB"
    if said == "bad" and (len([l for l in err.splitlines() if l.startswith("onnxopt:")]) != 1 or "internal error" in err or "goroutine" in err):
        return "not one line: " + err.strip()[-300:]
    return ""


def ours(tool, d, path, expect, baseline):
    _, _, check, optimize, run, args = expect
    found = []
    size = os.path.getsize(path) if os.path.isfile(path) and "/dev" not in path else 0
    size = min(size, 1 << 30)
    if "data" in args:
        with open(d + "/data") as f:
            data = f.read()
    else:
        data = d + "/x.npz"
        elem = np.int64 if expect[0].startswith("run: ") and "integer" in expect[0] else np.float32
        np.savez(data, x=np.ones(SHAPES.get(expect[0], (2,)), elem), c=np.array(True))
    for verb, want, command in (("check", check, [tool, "check", path]), ("optimize", optimize, [tool, "optimize", path, "-o", d + "/out.onnx", *LIMITS]),
                                ("run", run, [tool, "run", path, "--data", data, "-o", d + "/y.npz", *LIMITS])):
        if want is None:
            continue
        code, seconds, peak, err = measure(command, d)
        wrong = verdict(code, seconds, peak, err, want, size, baseline)
        if not wrong and code != 0 and (os.path.exists(d + "/out.onnx") and verb == "optimize" or os.path.exists(d + "/y.npz") and verb == "run"):
            wrong = "left a file"
        if wrong:
            found.append(f"{verb}: {wrong}")
    return found


SHAPES = {}


# What other tools are asked, after an import that is done once.
PEERS = {
    "onnx.checker": ("import onnx", "onnx.checker.check_model(p, full_check=True)"),
    "onnxruntime": ("import onnxruntime as o; o.set_default_logger_severity(4)", "o.InferenceSession(p, providers=['CPUExecutionProvider'])"),
    "onnxsim": ("import onnx, onnxsim", "onnxsim.simplify(onnx.load(p))"),
    "onnxslim": ("import onnxslim", "onnxslim.slim(p)"),
    "onnxoptimizer": ("import onnx, onnxoptimizer", "onnxoptimizer.optimize(onnx.load(p))"),
}

# A process that imports a tool and forks for each model: a crash or a hang is the child's.
ZYGOTE = """
import os, sys, time, traceback
exec(sys.argv[1])
answers = os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
print("ready", file=answers, flush=True)
for line in sys.stdin:
    p, start = line.rstrip("\\n"), time.time()
    pid = os.fork()
    if pid == 0:
        try:
            exec(sys.argv[2])
            os._exit(0)
        except BaseException:
            os._exit(1)
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status) if done else None
        if done or time.time() - start > float(sys.argv[3]):
            break
        time.sleep(0.005)
    if not done:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    said = "hang" if not done else "accepted" if code == 0 else "error" if code == 1 else "crash"
    print(said, file=answers, flush=True)
"""


def start_peers():
    """The tools that are installed, each waiting for paths."""
    out = {}
    for name, (load, ask) in PEERS.items():
        p = subprocess.Popen([sys.executable, "-c", ZYGOTE, load, ask, str(4 * SECONDS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if p.stdout.readline().strip() == "ready":
            out[name] = p
    return out


def ask_peers(running, path):
    """What other tools make of a model: error, accepted, crash or hang."""
    for p in running.values():
        p.stdin.write(path + "\n")
        p.stdin.flush()
    return {name: p.stdout.readline().strip() for name, p in running.items()}


def main(tool, out, *flags):
    tool = os.path.abspath(tool)
    for group in damaged_files, tensors, external_data, structure, attributes, versions, nesting, bombs, at_run_time, sample_files:
        group()
    shutil.rmtree(out, ignore_errors=True)
    wrong, table, running = 0, {}, start_peers() if "--peers" in flags else {}
    os.makedirs(out)
    baseline = measure([tool, "version"], out)[2]
    for i, c in enumerate(CASES):
        d = os.path.abspath(f"{out}/{i:03d}")
        os.makedirs(d)
        path = c[1](d)
        if "Conv" in c[0] or "MaxPool" in c[0]:
            SHAPES[c[0]] = (1, 2, 8, 8)
        elif c[0].split(":")[0] in ("Transpose", "Concat", "Softmax", "Cast", "Gather", "Flatten", "Einsum", "LSTM", "DepthToSpace", "Constant"):
            SHAPES[c[0]] = (2, 2)
        found = ours(tool, d, path, c, baseline)
        wrong += bool(found)
        for f in found:
            print(f"{i:03d} {c[0]}: {f}", flush=True)
        if running and c[2] in ("ok", "bad") and not path.startswith("/dev"):
            for name, v in ask_peers(running, path).items():
                table.setdefault(name, {}).setdefault((c[2], v), []).append(c[0])
    for name, counts in table.items():
        total = lambda want: sum(len(v) for (w, _), v in counts.items() if w == want)
        print(f"{name}: " + "; ".join(f"of {total(want)} that are {word} " + ", ".join(f"{len(v)} {k}" for (w, k), v in sorted(counts.items()) if w == want)
                                      for want, word in (("bad", "broken"), ("ok", "valid"))))
    print(f"{len(CASES) - wrong} passed, {wrong} failed")
    sys.exit(bool(wrong))


main(*sys.argv[1:])

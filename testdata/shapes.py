"""How many shapes are known: python testdata/shapes.py ONNXOPT ZOO [NAME ...]

Infers each ZOO/NAME.onnx, without the types that the exporter wrote for inner values, in this tool, in
onnx.shape_inference (strict, data_prop) and in onnxruntime's symbolic shape inference; counts the values
whose rank is known and whose sizes are all known: constants or expressions of the input's symbols, not
the names that a tool makes up for what it does not know. Fails where this tool knows less than onnx.
onnxruntime's also guesses, as that the last of a loop's outputs exists: where it knows more is only shown.
"""
import contextlib
import glob
import io
import json
import os
import re
import subprocess
import sys
import tempfile

import onnx
from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

UNKNOWN = re.compile(r"\bunk__|_d\d+\b|\?")  # the made-up names of the three tools

TOOLS = "onnx", "onnxruntime"
TIME_LIMIT = 120  # onnxruntime's can take hours


def graphs(g):
    yield g
    for n in g.node:
        for a in n.attribute:
            for sub in ([a.g] if a.HasField("g") else []) + list(a.graphs):
                yield from graphs(sub)


def stripped(model):
    """model without declared types of inner values, and of outputs only the element type; unnamed sizes of inputs get names."""
    names = {}
    for v in model.graph.input:
        for d in v.type.tensor_type.shape.dim:
            if not d.HasField("dim_value") or d.dim_value < 0:
                unnamed = d.dim_param in ("", "?")
                d.dim_param = names.setdefault(object() if unnamed else d.dim_param, f"in{len(names)}")
    for g in graphs(model.graph):
        del g.value_info[:]
        for o in g.output:
            if o.type.HasField("tensor_type"):
                o.type.tensor_type.ClearField("shape")
    return model


def known(dims):
    return all(d != "" and not UNKNOWN.search(d) for d in dims)


def of_proto(model):
    """name -> sizes of every value that a node computes, None for an unknown rank."""
    out = {}
    for g in graphs(model.graph):
        types = {v.name: v.type for v in list(g.value_info) + list(g.output)}
        for n in g.node:
            for name in n.output:
                if not name:
                    continue
                t = types.get(name)
                out[name] = None
                if t is not None and t.HasField("tensor_type") and t.tensor_type.HasField("shape"):
                    out[name] = [str(d.dim_value) if d.HasField("dim_value") else d.dim_param for d in t.tensor_type.shape.dim]
    return out


def ours(tool, path):
    r = subprocess.run([tool, "inspect", "--types", "--json", path], capture_output=True, text=True, check=True)
    out = {}
    for v in json.loads(r.stdout)["values"]:
        m = re.fullmatch(r"\w+(?:\[(.*)\])?", v["type"])
        out[v["name"]] = None
        if m and m.group(1) != "":  # "[]" is an unknown rank
            out[v["name"]] = split_dims(m.group(1)) if m.group(1) else []
    return out


def split_dims(text):
    """Sizes separated by commas outside parentheses."""
    dims, depth = [""], 0
    for c in text:
        depth += {"(": 1, ")": -1}.get(c, 0)
        if c == "," and depth == 0:
            dims.append("")
        else:
            dims[-1] += c
    return dims


def infer(tool, path):
    """The model with the types that onnx or onnxruntime infers."""
    if tool == "onnx":
        return onnx.shape_inference.infer_shapes(onnx.load(path), check_type=True, strict_mode=True, data_prop=True)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        return SymbolicShapeInference.infer_shapes(onnx.load(path), auto_merge=True, guess_output_rank=False)


def theirs(tool, path):
    """Sizes by name, in a process of its own that may take TIME_LIMIT seconds; or what went wrong."""
    try:
        r = subprocess.run([sys.executable, os.path.abspath(__file__), "--infer", tool, path], capture_output=True, text=True, timeout=TIME_LIMIT, cwd=os.path.dirname(path))
    except subprocess.TimeoutExpired:
        return "too slow"
    if r.returncode:
        return r.stderr.strip().splitlines()[-1].split(":")[0].split(".")[-1]
    return json.loads(r.stdout)


def count(shapes, names):
    ranked = sum(shapes.get(n) is not None for n in names)
    full = sum(shapes.get(n) is not None and known(shapes[n]) for n in names)
    return ranked, full


def main(tool, zoo, *names):
    bad = 0
    print(f"{'model':24} {'values':>6}  {'ranks, shapes: this tool':>24}  {'onnx':>14}  {'onnxruntime':>14}")
    for path in [f"{zoo}/{n}.onnx" for n in names] or sorted(glob.glob(zoo + "/*.onnx")):
        with tempfile.TemporaryDirectory() as d:
            bare = d + "/bare.onnx"
            onnx.save(stripped(onnx.load(path)), bare)
            mine = ours(tool, bare)
            row, less = [count(mine, mine)], []
            for name in TOOLS:
                other = theirs(name, bare)
                if isinstance(other, str):
                    row.append(other)
                    continue
                row.append(count(other, mine))
                if row[-1][0] > row[0][0] or row[-1][1] > row[0][1]:
                    less.append(name)
                if os.environ.get("SHAPES_DETAIL"):
                    for n in mine:
                        o = other.get(n)
                        if o is not None and (mine[n] is None or known(o) and not known(mine[n])):
                            print(f"  {name} {n}: {o}, here {mine[n]}")
        bad += "onnx" in less
        cells = [f"{r[0]} {r[1]}" if isinstance(r, tuple) else r for r in row]
        print(f"{os.path.basename(path)[:-5]:24} {len(mine):6}  {cells[0]:>24} {'  '.join(f'{c:>14}' for c in cells[1:])}{'  LESS than ' + ', '.join(less) if less else ''}", flush=True)
    sys.exit(bool(bad))


if sys.argv[1] == "--infer":
    json.dump(of_proto(infer(sys.argv[2], sys.argv[3])), sys.stdout)
else:
    main(*sys.argv[1:])

"""Verdicts of onnxopt check and onnx.checker: python testdata/check.py ONNXOPT SUITE OUT

SUITE is the folder that conformance.py wrote. Every model of it, and variants of each broken in systematic
ways, are checked by both. Fails where onnx.checker with full_check finds a fault that onnxopt does not, except
for the faults of onnx.checker itself that are listed below; prints how often onnxopt alone finds one.
"""
import collections
import concurrent.futures
import concurrent.futures.process
import copy
import glob
import json
import os
import random
import subprocess
import sys

import onnx
from onnx import TensorProto, helper

TOOL, SUITE, OUT = sys.argv[1:]
random.seed(5)

# Cases that onnx.checker refuses by a defect of its own.
DEFECTS = {
    "test_mvn": "its function body at opset 9 does not pass its own inference",
}


def pick(m, want=lambda n: True):
    """A node of the main graph."""
    nodes = [n for n in m.graph.node if want(n)]
    return random.choice(nodes) if nodes else None


def drop_attribute(m):
    n = pick(m, lambda n: len(n.attribute))
    n.attribute.remove(random.choice(n.attribute))


def unknown_attribute(m):
    pick(m).attribute.append(helper.make_attribute("no_such_attribute", 1))


def attribute_type(m):
    a = random.choice(pick(m, lambda n: len(n.attribute)).attribute)
    a.CopyFrom(helper.make_attribute(a.name, [1.5, 2.5] if a.type != onnx.AttributeProto.FLOATS else 7))


def attribute_twice(m):
    n = pick(m, lambda n: len(n.attribute))
    n.attribute.append(n.attribute[0])


def attribute_unnamed(m):
    pick(m, lambda n: len(n.attribute)).attribute[0].name = ""


def attribute_untyped(m):
    pick(m, lambda n: len(n.attribute)).attribute[0].type = 0


def drop_input(m):
    n = pick(m, lambda n: len(n.input))
    del n.input[-1]


def absent_input(m):
    n = pick(m, lambda n: len(n.input))
    n.input[random.randrange(len(n.input))] = ""


def more_inputs(m):
    n = pick(m, lambda n: len(n.input))
    n.input.extend([n.input[0]] * 9)


def more_outputs(m):
    n = pick(m)
    n.output.extend(f"more{i}" for i in range(9))


def undefined_input(m):
    pick(m, lambda n: len(n.input)).input[0] = "no_such_value"


def output_twice(m):
    n = pick(m, lambda n: len(n.output))
    n.output[0] = m.graph.input[0].name


def unknown_operator(m):
    pick(m).op_type = "NoSuchOperator"


def empty_operator(m):
    pick(m).op_type = ""


def unknown_domain(m):
    pick(m).domain = "no.such.domain"


def input_type(kind):
    def mutate(m):
        i = random.choice([i for i in m.graph.input if i.type.HasField("tensor_type")])
        i.type.tensor_type.elem_type = kind if i.type.tensor_type.elem_type != kind else TensorProto.BOOL
    mutate.__name__ = "input_type_" + TensorProto.DataType.Name(kind).lower()
    return mutate


def output_type(m):
    o = next(o for o in m.graph.output if o.type.HasField("tensor_type"))
    o.type.tensor_type.elem_type = TensorProto.COMPLEX64 if o.type.tensor_type.elem_type != TensorProto.COMPLEX64 else TensorProto.FLOAT


def output_rank(m):
    o = next(o for o in m.graph.output if o.type.HasField("tensor_type") and o.type.tensor_type.HasField("shape"))
    o.type.tensor_type.shape.dim.add().dim_value = 3


def output_size(m):
    o = next(o for o in m.graph.output if o.type.HasField("tensor_type") and len(o.type.tensor_type.shape.dim))
    o.type.tensor_type.shape.dim[0].dim_value += 5


def input_rank(m):
    i = random.choice([i for i in m.graph.input if i.type.HasField("tensor_type")])
    i.type.tensor_type.shape.dim.add().dim_value = 3


def input_size(m):
    i = random.choice([i for i in m.graph.input if i.type.HasField("tensor_type") and len(i.type.tensor_type.shape.dim)])
    i.type.tensor_type.shape.dim[-1].dim_value += 5


def input_untyped(m):
    m.graph.input[0].ClearField("type")


def input_elemless(m):
    next(i for i in m.graph.input if i.type.HasField("tensor_type")).type.tensor_type.elem_type = 0


def input_unnamed(m):
    m.graph.input[0].name = ""


def input_twice(m):
    m.graph.input.append(m.graph.input[0])


def output_missing(m):
    m.graph.output[0].name = "no_such_value"


def graph_unnamed(m):
    m.graph.name = ""


def no_ir_version(m):
    m.ClearField("ir_version")


def new_ir_version(m):
    m.ir_version = 99


def old_ir_version(m):
    m.ir_version = 2


def no_opset(m):
    del m.opset_import[:]


def opset_one(m):
    next(o for o in m.opset_import if o.domain == "").version = 1


def opset_zero(m):
    m.opset_import[0].version = 0


def new_opset(m):
    m.opset_import[0].version = 99


def backward(m):
    nodes = list(m.graph.node)[::-1]
    if len(nodes) < 2:
        raise StopIteration
    del m.graph.node[:]
    m.graph.node.extend(nodes)


def tensors(m):
    yield from m.graph.initializer
    for n in m.graph.node:
        for a in n.attribute:
            if a.type == onnx.AttributeProto.TENSOR:
                yield a.t


def short_data(m):
    t = next(t for t in tensors(m) if t.raw_data)
    t.raw_data = t.raw_data[:-1]


def long_dims(m):
    next(t for t in tensors(m) if t.raw_data or t.float_data or t.int64_data).dims.append(2)


def no_data(m):
    t = next(t for t in tensors(m) if t.raw_data)
    t.ClearField("raw_data")


def both_data(m):
    t = next(t for t in tensors(m) if t.raw_data)
    t.float_data.append(1)


def wrong_field(m):
    t = next(t for t in tensors(m) if t.float_data)
    t.int64_data.extend([1] * len(t.float_data))
    t.ClearField("float_data")


def typeless_data(m):
    next(tensors(m)).data_type = 0


def negative_dims(m):
    t = next(t for t in tensors(m) if len(t.dims))
    t.dims[0] = -t.dims[0]


def initializer_unnamed(m):
    m.graph.initializer.append(helper.make_tensor("", TensorProto.FLOAT, [1], [1]))


def initializer_twice(m):
    for _ in range(2):
        m.graph.initializer.append(helper.make_tensor("again", TensorProto.FLOAT, [1], [1]))


def initializer_is_output(m):
    m.graph.initializer.append(helper.make_tensor(m.graph.node[0].output[0], TensorProto.FLOAT, [1], [1]))


def initializer_type(m):
    i = m.graph.input[0]
    m.graph.initializer.append(helper.make_tensor(i.name, TensorProto.COMPLEX64, [1], [1]))


def external(location, **keys):
    def mutate(m):
        t = helper.make_tensor("outside", TensorProto.FLOAT, [4], [0] * 4)
        t.ClearField("float_data")
        t.data_location = TensorProto.EXTERNAL
        for k, v in dict(location=location, **keys).items():
            e = t.external_data.add()
            e.key, e.value = k, str(v)
        m.graph.initializer.append(t)
    mutate.__name__ = "external_" + "_".join([location] + [f"{k}_{v}" for k, v in keys.items()]).replace("/", "!")
    return mutate


def subgraphs(m):
    for n in m.graph.node:
        for a in n.attribute:
            if a.type == onnx.AttributeProto.GRAPH:
                yield a.g


def sub_undefined(m):
    next(g for g in subgraphs(m) if len(g.node) and len(g.node[0].input)).node[0].input[0] = "no_such_value"


def sub_output_missing(m):
    next(subgraphs(m)).output[0].name = "no_such_value"


def sub_shadows(m):
    g = next(g for g in subgraphs(m) if len(g.node))
    g.node[0].output[0] = m.graph.input[0].name


def sub_fewer_outputs(m):
    g = next(g for g in subgraphs(m) if len(g.output) > 1)
    del g.output[-1]


def sub_more_inputs(m):
    next(subgraphs(m)).input.append(helper.make_tensor_value_info("one_more", TensorProto.FLOAT, [1]))


def sub_unnamed(m):
    next(subgraphs(m)).name = ""


MUTATIONS = [drop_attribute, unknown_attribute, attribute_type, attribute_twice, attribute_unnamed, attribute_untyped, drop_input, absent_input,
             more_inputs, more_outputs, undefined_input, output_twice, unknown_operator, empty_operator, unknown_domain,
             input_type(TensorProto.STRING), input_type(TensorProto.INT8), input_type(TensorProto.DOUBLE), output_type, output_rank, output_size,
             input_rank, input_size, input_untyped, input_elemless, input_unnamed, input_twice, output_missing, graph_unnamed, no_ir_version,
             new_ir_version, old_ir_version, no_opset, opset_one, opset_zero, new_opset, backward, short_data, long_dims, no_data, both_data,
             wrong_field, typeless_data, negative_dims, initializer_unnamed, initializer_twice, initializer_is_output, initializer_type,
             external("weights.bin"), external("weights.bin", offset=0, length=16), external("weights.bin", offset=8, length=16),
             external("weights.bin", offset=0, length=12), external("weights.bin", offset=-4, length=16), external("weights.bin", offset=99, length=16),
             external("no_such_file"), external("../check.py"), external("/etc/hostname"), external(""),
             sub_undefined, sub_output_missing, sub_shadows, sub_fewer_outputs, sub_more_inputs, sub_unnamed]


def variants():
    """Each model as it is and with each mutation that applies to it: all for the first models of an operator,
    a few for others."""
    seen = collections.Counter()
    for path in sorted(glob.glob(os.path.join(SUITE, "*", "*", "model.onnx"))):
        name = os.path.basename(os.path.dirname(path))
        base = onnx.load(path)
        yield name, "none", base
        ops = ",".join(sorted({n.op_type for n in base.graph.node}))[:60]
        seen[ops] += 1
        for mutate in MUTATIONS if seen[ops] == 1 else random.sample(MUTATIONS, 2):
            m = copy.deepcopy(base)
            try:
                mutate(m)
            except (StopIteration, IndexError, AttributeError, ValueError, TypeError):
                continue
            yield name, mutate.__name__, m


def full_check(path):
    try:
        onnx.checker.check_model(path, full_check=True)
    except Exception as e:
        return str(e) or type(e).__name__


pool = None


def checker(path):
    """What onnx.checker says, None if nothing. It runs apart, as some models crash it."""
    global pool
    pool = pool or concurrent.futures.ProcessPoolExecutor(1)
    try:
        return pool.submit(full_check, path).result()
    except concurrent.futures.process.BrokenProcessPool:
        pool = None
        return CRASH


CRASH = "onnx.checker crashed"


def main():
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, "weights.bin"), "wb") as f:
        f.write(bytes(16))
    count, missed, alone, crashes = collections.Counter(), [], collections.Counter(), collections.Counter()
    batch = []

    def flush():
        r = subprocess.run([TOOL, "check", "--json"] + [p for p, *_ in batch], capture_output=True, text=True)
        verdicts = [json.loads(line) for line in r.stdout.splitlines()]
        assert len(verdicts) == len(batch), r.stderr
        for (path, name, kind, error), v in zip(batch, verdicts):
            if error == CRASH:
                crashes[kind] += 1
                continue
            count[v["valid"], error is None] += 1
            if v["valid"] and error is not None and name not in DEFECTS:
                missed.append(f"{name} {kind}: {' '.join(error.split())[:200]}")
            if not v["valid"] and error is None:
                alone[kind] += 1
                if kind in os.environ.get("ALONE", "").split(","):
                    print(name, v["errors"][:1])
        batch.clear()

    for i, (name, kind, m) in enumerate(variants()):
        path = os.path.join(OUT, f"{len(batch)}.onnx")
        with open(path, "wb") as f:
            f.write(m.SerializeToString())
        batch.append((path, name, kind, checker(path)))
        if len(batch) == 300:
            flush()
    flush()
    print(f"{sum(count.values())} models: both valid {count[True, True]}, both invalid {count[False, False]}, "
          f"only onnxopt finds a fault {count[False, True]}, only onnx.checker {count[True, False]}")
    print("only onnxopt:", ", ".join(f"{k} {n}" for k, n in alone.most_common()))
    print("onnx.checker crashes:", dict(crashes))
    for m in missed:
        print("missed:", m)
    sys.exit(bool(missed))


main()

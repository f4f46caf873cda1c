"""Write the operator schemas of the pinned onnx package, and those of onnxruntime's own operators:
python schemas.py OUT.json"""
import json
import sys

from onnx import AttributeProto, defs, helper
from onnxruntime.capi import onnxruntime_pybind11_state as onnxruntime

OPTION = defs.OpSchema.FormalParameterOption


def parameter(p):
    out = {"name": p.name, "type": p.type_str, "optional": p.option == OPTION.Optional}
    if p.option == OPTION.Variadic:
        out.update(variadic=True, min=p.min_arity, heterogeneous=not p.is_homogeneous)
    return out


def attribute(a):
    out = {"name": a.name, "kind": int(a.type.value), "required": a.required}
    default = a.default_value
    if default is not None and default.type:
        value = helper.get_attribute_value(default)
        if isinstance(value, bytes):
            value = value.decode()
        elif isinstance(value, (list, tuple)):
            value = [v.decode() if isinstance(v, bytes) else v for v in value]
        out["default"] = value
    return out


def schema(s):
    return {
        "domain": s.domain,
        "name": s.name,
        "since": s.since_version,
        "deprecated": s.deprecated,
        "in": [parameter(p) for p in s.inputs],
        "out": [parameter(p) for p in s.outputs],
        "attrs": [attribute(s.attributes[k]) for k in sorted(s.attributes)],
        "types": {c.type_param_str: sorted(c.allowed_type_strs) for c in s.type_constraints},
    }


def contrib(s):
    """A schema as onnxruntime's bindings give it."""

    def parameter(p):
        out = {"name": p.name, "type": p.typeStr, "optional": int(p.option) == 1}
        if int(p.option) == 2:
            out.update(variadic=True, min=1, heterogeneous=not p.isHomogeneous)
        return out

    def attribute(name, a):
        proto = AttributeProto.FromString(a._default_value)
        kind = AttributeProto.AttributeType.Value(str(a.type).split(".")[-1])
        out = {"name": name, "kind": kind, "required": a.required}
        if proto.type:
            value = helper.get_attribute_value(proto)
            out["default"] = value.decode() if isinstance(value, bytes) else value
        return out

    return {
        "domain": s.domain,
        "name": s.name,
        "since": s.since_version,
        "deprecated": s.deprecated,
        "in": [parameter(p) for p in s.inputs],
        "out": [parameter(p) for p in s.outputs],
        "attrs": [attribute(k, s.attributes[k]) for k in sorted(s.attributes)],
        "types": {c.type_param_str: sorted(c.allowed_type_strs) for c in s.type_constraints},
    }


schemas = [schema(s) for s in defs.get_all_schemas_with_history()]
schemas += [contrib(s) for s in onnxruntime.get_all_operator_schema() if s.domain == "com.microsoft"]
schemas.sort(key=lambda s: (s["domain"], s["name"], s["since"]))
with open(sys.argv[1], "w") as f:
    json.dump(schemas, f, indent=1)
print(len(schemas), "schemas")

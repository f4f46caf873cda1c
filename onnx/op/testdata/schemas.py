"""Write the operator schemas of the pinned onnx package: python schemas.py OUT.json"""
import json
import sys

from onnx import defs, helper

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


schemas = [schema(s) for s in defs.get_all_schemas_with_history()]
schemas.sort(key=lambda s: (s["domain"], s["name"], s["since"]))
with open(sys.argv[1], "w") as f:
    json.dump(schemas, f, indent=1)
print(len(schemas), "schemas")

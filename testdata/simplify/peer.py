"""peer.py TOOL IN OUT: simplify one model with one of the other tools.

Its own process for each run, so that a crash is one failure and the peak of
memory is the tool's own.
"""
import sys


def onnxsim(src, dst):
    import onnx
    import onnxsim as tool
    model, ok = tool.simplify(src)
    if not ok:
        raise RuntimeError("onnxsim's own check failed")
    onnx.save(model, dst)


def onnxslim(src, dst):
    import onnxslim as tool
    tool.slim(src, dst)


def onnxoptimizer(src, dst):
    import onnx
    import onnxoptimizer as tool
    model = onnx.load(src)
    onnx.save(tool.optimize(model, tool.get_fuse_and_elimination_passes(), fixed_point=True), dst)


def onnxscript(src, dst):
    import onnx
    import onnx_ir as ir
    from onnxscript import optimizer
    model = ir.load(src)
    optimizer.optimize(model)
    onnx.save(ir.to_proto(model), dst)


def onnxruntime(level):
    def run(src, dst):
        import onnxruntime as ort
        o = ort.SessionOptions()
        o.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
        o.optimized_model_filepath = dst
        o.intra_op_num_threads = 1
        o.log_severity_level = 3
        ort.InferenceSession(src, o, providers=["CPUExecutionProvider"])
    return run


TOOLS = {
    "onnxsim": onnxsim,
    "onnxslim": onnxslim,
    "onnxoptimizer": onnxoptimizer,
    "onnxscript": onnxscript,
    "ort-basic": onnxruntime("ORT_ENABLE_BASIC"),
    "ort-extended": onnxruntime("ORT_ENABLE_EXTENDED"),
}

if __name__ == "__main__":
    TOOLS[sys.argv[1]](sys.argv[2], sys.argv[3])

"""sklearn_pipelines.py ONNXOPT OUT: pipelines that skl2onnx exports keep their answers when simplified.

Each one's result must pass onnx.checker, be no larger and no longer, and give
onnxruntime what the original gives, to 1e-5 of the largest value.
"""
import pathlib
import subprocess
import sys
import warnings

import numpy as np
import onnx
from skl2onnx import to_onnx
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import GradientBoostingClassifier, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.mixture import GaussianMixture
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import Binarizer, MinMaxScaler, Normalizer, PolynomialFeatures, PowerTransformer, RobustScaler, StandardScaler
from sklearn.svm import SVC, SVR

import bench

PIPELINES = {
    "pca_logistic": lambda: make_pipeline(StandardScaler(), PCA(3), LogisticRegression()),
    "polynomial": lambda: make_pipeline(MinMaxScaler(), PolynomialFeatures(2), LogisticRegression(max_iter=500)),
    "mlp": lambda: make_pipeline(StandardScaler(), MLPClassifier((16, 8), max_iter=50, random_state=0)),
    "svc": lambda: make_pipeline(RobustScaler(), SVC()),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=5),
    "neighbours": lambda: KNeighborsClassifier(3),
    "gaussian_nb": lambda: make_pipeline(StandardScaler(), GaussianNB()),
    "bernoulli_nb": lambda: make_pipeline(Binarizer(), BernoulliNB()),
    "union": lambda: make_union(StandardScaler(), PCA(2)),
    "kmeans": lambda: KMeans(3, n_init=2, random_state=0),
    "normalizer": lambda: make_pipeline(Normalizer(), LogisticRegression()),
    "mixture": lambda: GaussianMixture(2, random_state=0),
    "linear": lambda: make_pipeline(StandardScaler(), LinearRegression()),
    "power": lambda: make_pipeline(PowerTransformer(), Ridge()),
    "svr": lambda: SVR(),
    "neighbours_regression": lambda: KNeighborsRegressor(3),
    "forest": lambda: RandomForestRegressor(5, random_state=0),
    "gaussian_process": lambda: GaussianProcessRegressor(),
}


def main():
    onnxopt, out = sys.argv[1], pathlib.Path(sys.argv[2]) / "sklearn"
    out.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    x, y = load_iris(return_X_y=True)
    x, bad = x.astype(np.float32), 0
    for name, make in PIPELINES.items():
        model = make().fit(x, y)
        options = {"zipmap": False} if hasattr(model, "predict_proba") and name != "mixture" else None
        src, dst = str(out / f"{name}.onnx"), str(out / f"{name}.sim.onnx")
        onnx.save(to_onnx(model, x[:1], options=options), src)
        r = subprocess.run([onnxopt, "simplify", src, "-o", dst, "-q"], capture_output=True, text=True)
        faults = [r.stderr.strip()] if r.returncode else []
        if not faults:
            onnx.checker.check_model(dst)
            a, b = bench.session(src), bench.session(dst)
            feeds = {a.get_inputs()[0].name: x}
            d = bench.same(a.run(None, feeds), b.run(None, feeds))
            if not d <= 1e-5:
                faults.append(f"outputs differ by {d:.1e}")
            if bench.size(dst) > bench.size(src) or bench.count(dst) > bench.count(src):
                faults.append("it grew")
        bad += bool(faults)
        print(f"{name:22} {bench.count(src)[0]:3} nodes, {bench.count(dst)[0] if not faults else '-':>3} simplified  {'; '.join(faults) or 'equal'}", flush=True)
    sys.exit(bad)


if __name__ == "__main__":
    main()

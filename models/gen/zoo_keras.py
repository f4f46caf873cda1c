"""The zoo's TensorFlow half: Keras networks with random weights, exported by tf2onnx.

    python models/gen/zoo_keras.py OUT [NAME ...]      see zoo-keras-requirements.txt
"""
import os
import sys
import time

os.environ.update(TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

import keras
import numpy as np
import tensorflow as tf
import tf2onnx
from keras import layers

OPSET = 17


def mobilenetv2():
    return keras.applications.MobileNetV2(weights=None, input_shape=(224, 224, 3), classifier_activation=None), np.random.rand(1, 224, 224, 3).astype("f")


def lstm():
    x = keras.Input((None, 40))
    y = layers.LSTM(64, return_sequences=True)(x)
    y = layers.Bidirectional(layers.GRU(32))(y)
    return keras.Model(x, layers.Dense(10, "softmax")(y)), np.random.randn(2, 20, 40).astype("f")


def transformer():
    x = keras.Input((None, 64))
    y = x
    for _ in range(2):
        y = layers.LayerNormalization()(y + layers.MultiHeadAttention(4, 16)(y, y))
        z = layers.Dense(256, activation=lambda t: keras.activations.gelu(t, approximate=False))(y)
        y = layers.LayerNormalization()(y + layers.Dense(64)(z))
    return keras.Model(x, layers.Dense(5)(layers.GlobalAveragePooling1D()(y))), np.random.randn(2, 12, 64).astype("f")


def audio():
    """One-dimensional convolutions, dilated and causal, as keyword spotters have them."""
    x = keras.Input((None, 16))
    y = x
    for d in 1, 2, 4:
        y = layers.Conv1D(32, 3, dilation_rate=d, padding="causal", use_bias=False)(y)
        y = layers.ReLU()(layers.BatchNormalization()(y))
    return keras.Model(x, layers.Dense(8)(layers.GlobalMaxPooling1D()(y))), np.random.randn(2, 50, 16).astype("f")


def settle(net, x):
    """Gives BatchNormalization layers the statistics of the sample, so that activations keep their scale."""
    for layer in net.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    net(x, training=True)


ZOO = {"keras_mobilenetv2": mobilenetv2, "keras_lstm": lstm, "keras_transformer": transformer, "keras_audio": audio}


def main(out, *names):
    os.makedirs(out, exist_ok=True)
    failed = []
    for name in names or ZOO:
        if os.path.exists(f"{out}/{name}.npz"):
            continue
        start = time.time()
        keras.utils.set_random_seed(0)
        try:
            net, x = ZOO[name]()
            settle(net, x)
            spec = [tf.TensorSpec((None,) + net.inputs[0].shape[1:], tf.float32, name="input")]
            function = tf.function(lambda t: net(t, training=False), input_signature=spec)
            tf2onnx.convert.from_function(function, input_signature=spec, opset=OPSET, output_path=f"{out}/{name}.onnx")
            np.savez(f"{out}/{name}.npz", input=x)
            print(f"{name:24} {os.path.getsize(f'{out}/{name}.onnx') / 1e6:8.2f} MB {time.time() - start:6.1f} s", flush=True)
        except Exception as e:
            failed.append(name)
            print(f"{name:24} not exported: {type(e).__name__}: {str(e)[:200]}", flush=True)
    sys.exit(bool(failed))


main(*sys.argv[1:])

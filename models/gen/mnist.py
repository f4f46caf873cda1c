"""MNIST's idx files: gzip, magic 0 0 0x08 rank, big-endian int32 sizes, uint8 values."""
import gzip
import pathlib

import numpy as np


def read_idx(path):
    """Returns the file's array, uint8: N x 28 x 28 images or N labels."""
    data = gzip.decompress(pathlib.Path(path).read_bytes())
    shape = np.frombuffer(data, ">i4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def write_idx(path, images):
    """Writes N x 28 x 28 uint8 images; the same images and file name give the same bytes."""
    head = np.array([0x803, *images.shape], ">i4").tobytes()
    with gzip.GzipFile(path, "wb", mtime=0) as f:
        f.write(head + images.tobytes())

"""A labelled set harder than MNIST: 32 x 32 colour images of one of eight shapes, filled with one of four
textures, at any place, size and angle, before a shaded background with smaller shapes, under noise. The class,
of 32, is 4 * shape + texture; colours say nothing. Made by numpy from a seed: nothing to download.

    python models/gen/scenes.py FILE.npz [COUNT [SEED]]    writes input (pixels / 255) and labels
"""
import sys

import numpy as np

SIZE, SHAPES, TEXTURES = 32, 8, 4
CLASSES = SHAPES * TEXTURES
TRAIN, TEST = 1, 2  # seeds
CHUNK = 500


def inside(shape, u, v):
    """How far (u, v) lies inside each image's shape, which fits the unit circle; negative outside."""
    rho, phi = np.hypot(u, v), np.arctan2(v, u)

    def polygon(n):
        return 0.9 * np.cos(np.pi / n) - rho * np.cos((phi + np.pi / n) % (2 * np.pi / n) - np.pi / n)

    forms = [lambda: 0.9 - rho,  # disk
             lambda: polygon(3),
             lambda: polygon(4),
             lambda: 0.2 - np.abs(rho - 0.75),  # ring
             lambda: np.minimum(0.27 - np.minimum(np.abs(u), np.abs(v)), 1 - np.maximum(np.abs(u), np.abs(v))),  # cross
             lambda: 0.65 + 0.35 * np.cos(5 * phi) - rho,  # star
             lambda: np.minimum(1 - rho, v + 0.15),  # half a disk
             lambda: np.minimum(0.95 - rho, np.hypot(u - 0.5, v) - 0.6)]  # crescent
    out = np.empty_like(u)
    for k in np.unique(shape):
        at = shape == k
        full = (u, v, rho, phi)
        u, v, rho, phi = (x[at] for x in full)
        out[at] = forms[k]()
        u, v, rho, phi = full
    return out


def texture(kind, x, y, period, phase):
    """Each image's pattern in [0, 1] at pixel distances x and y from the centre: flat, stripes, checks, dots."""
    a, b = np.cos(2 * np.pi * (x / period) + phase), np.cos(2 * np.pi * (y / period) + phase)
    patterns = np.stack([np.zeros_like(a), a, 1.5 * a * b, 2 * np.minimum(a, b) - 0.2])
    return np.clip(0.5 + np.take_along_axis(patterns, kind[None], 0)[0], 0, 1)


def column(x):
    return x[:, None, None]


def chunk(rng, n):
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    draw = lambda low, high: column(rng.uniform(low, high, n))
    colour = lambda: rng.uniform(0, 1, (n, 3, 1, 1))
    labels = rng.integers(0, CLASSES, n)

    def place(low, high, margin):
        """Coordinates relative to a random centre, turned by a random angle, and the size in pixels."""
        size, angle = draw(low, high), draw(0, 2 * np.pi)
        dx, dy = x - draw(margin, SIZE - margin), y - draw(margin, SIZE - margin)
        return np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx, size

    def paint(image, u, v, size, shape, fill):
        mask = np.clip(inside(shape, u / size, v / size) * size + 0.5, 0, 1)[:, None]
        return image * (1 - mask) + fill * mask

    ramp = np.clip(0.5 + ((x - 16) * np.cos(angle := draw(0, 2 * np.pi)) + (y - 16) * np.sin(angle)) / 40, 0, 1)[:, None]
    image = colour() * ramp + colour() * (1 - ramp)
    for _ in range(3):
        u, v, size = place(2, 5, 0)
        image = paint(image, u, v, size, rng.integers(0, SHAPES, n), colour())
    u, v, size = place(7, 11, 11)
    pattern = texture(column(labels % TEXTURES) + np.zeros_like(u, int), u, v, draw(3.5, 6), draw(0, 2 * np.pi))[:, None]
    first, contrast = colour(), rng.choice([-1, 1], (n, 3, 1, 1)) * rng.uniform(0.15, 0.6, (n, 3, 1, 1))
    image = paint(image, u, v, size, labels // TEXTURES, first + contrast * pattern)
    u, v, size = place(1, 3, 6)
    image = paint(image, u, v, size, rng.integers(0, SHAPES, n), colour())
    image = image * draw(0.5, 1)[:, None] + draw(0, 0.3)[:, None] + rng.standard_normal(image.shape) * draw(0.02, 0.16)[:, None]
    return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8), labels


def scenes(count, seed):
    """count images, N x 3 x 32 x 32 uint8, and their labels."""
    rng = np.random.default_rng(seed)
    parts = [chunk(rng, min(CHUNK, count - i)) for i in range(0, count, CHUNK)]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


if __name__ == "__main__":
    path, count, seed = (sys.argv[1:] + ["5000", TEST])[:3] if len(sys.argv) < 4 else sys.argv[1:4]
    images, labels = scenes(int(count), int(seed))
    np.savez(path, input=images.astype(np.float32) / 255, labels=labels)

"""Makes synthetic.json: known values of a small VGG-19 on small pictures, all given by formulas.

Independent of the program: numpy in float64, loops over layers and an einsum, no torch, nothing
imported from katazome. Gradients are exact to rounding by the complex step: for a tiny imaginary
part h at one pixel, the derivative is the imaginary part of the result over h; ReLU and maximum
go by the real part. Run it as ``python tests/oracle/make_synthetic.py`` (two minutes).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

WIDTHS = (4, 6, 6, 6, 6)
BLOCKS = (2, 2, 4, 4, 4)
SIZE = (34, 37)
STYLE_SIZE = (40, 33)
STYLE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT = "relu4_2"
MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
KERNEL = (0.05, 0.25, 0.4, 0.25, 0.05)
PIXELS = ((0, 0), (17, 20), (33, 36), (5, 36))
STEP = 1e-30


def picture(height: int, width: int, phase: float) -> Array:
    """(3, height, width) in [0, 1]: two sines for each colour."""
    c, y, x = np.meshgrid(np.arange(3), np.arange(height), np.arange(width), indexing="ij")
    first = np.sin(0.31 * y + 0.17 * x + 1.3 * c + phase)
    second = np.sin(0.05 * x * (c + 1) - 0.43 * y + 2 * phase)
    return np.asarray(0.5 + 0.25 * first + 0.2 * second)


def network() -> dict[str, tuple[Array, Array]]:
    """Weights (O, I, 3, 3) and biases (O,): sines of squares, which look like noise."""
    layers: dict[str, tuple[Array, Array]] = {}
    inputs = 3
    for block, count in enumerate(BLOCKS, 1):
        for i in range(1, count + 1):
            number, width = len(layers), WIDTHS[block - 1]
            n = np.arange(width * inputs * 9, dtype=np.float64)
            weight = np.sin(0.61 * n * n + number).reshape(width, inputs, 3, 3) * np.sqrt(4 / (9 * inputs))
            bias = 0.1 * np.cos(np.arange(width) + number)
            layers[f"{block}_{i}"] = (weight, bias)
            inputs = width
    return layers


def colour() -> tuple[Array, Array]:
    """Matrix (3, 3) and bias (3,) of the first layer's input."""
    return np.array([[0.2, -0.3, 3.0], [0.1, 2.5, 0.4], [3.5, 0.3, -0.2]]), np.array([-1.5, -1.4, -1.6])


def encode(x: Array, padding: str, pooling: str, deepest: str = STYLE[-1]) -> dict[str, Array]:
    """All taps of one picture (3, H, W) down to ``deepest``."""
    matrix, bias = colour()
    x = np.einsum("oi,ihw->ohw", matrix, x) + bias[:, None, None]
    taps: dict[str, Array] = {}
    layers = network()
    for block, count in enumerate(BLOCKS, 1):
        for i in range(1, count + 1):
            weight, shift = layers[f"{block}_{i}"]
            wide = np.pad(x, ((0, 0), (1, 1), (1, 1)), mode=MODES[padding])  # type: ignore[call-overload]
            height, width = x.shape[1:]
            x = np.zeros((len(weight), height, width), dtype=x.dtype) + shift[:, None, None]
            for a in range(3):
                for b in range(3):
                    cut = wide[:, a : a + height, b : b + width]
                    x = x + np.tensordot(weight[:, :, a, b], cut, axes=1)
            taps[f"conv{block}_{i}"] = x
            x = np.where(x.real > 0, x, 0)
            taps[f"relu{block}_{i}"] = x
            if deepest in taps:
                return taps
        channels, height, width = x.shape
        cells = x[:, : height // 2 * 2, : width // 2 * 2].reshape(channels, height // 2, 2, width // 2, 2)
        cells = cells.transpose(0, 1, 3, 2, 4).reshape(channels, height // 2, width // 2, 4)
        if pooling == "max":
            x = np.take_along_axis(cells, cells.real.argmax(3)[..., None], 3)[..., 0]
        else:
            x = cells.mean(3)
        taps[f"pool{block}"] = x
        if deepest in taps:
            return taps
    return taps


def gram(f: Array) -> Array:
    """Gram matrix per position."""
    flat = f.reshape(len(f), -1)
    return np.asarray(flat @ flat.T / flat.shape[1])


def variation(x: Array) -> Any:
    return ((x[:, 1:] - x[:, :-1]) ** 2).sum() + ((x[:, :, 1:] - x[:, :, :-1]) ** 2).sum()


def base_loss(x: Array, padding: str, pooling: str, grams: dict[str, Array], held: Array) -> dict[str, Any]:
    """1 content + 100 mean over layers of style + 0.1 variation per pixel."""
    f = encode(x, padding, pooling)
    terms = {"content": ((f[CONTENT] - held) ** 2).mean()}
    for name in STYLE:
        terms[name] = 100 / len(STYLE) * ((gram(f[name]) - grams[name]) ** 2).mean()
    terms["smoothness"] = 0.1 * variation(x) / (x.shape[1] * x.shape[2])
    return terms


def shrink(x: Array) -> Array:
    """The five taps down and across, stride 2, no padding."""
    for axis in (1, 2):
        count = (x.shape[axis] - 5) // 2 + 1
        x = sum(k * x.take(range(t, t + 2 * count - 1, 2), axis) for t, k in enumerate(KERNEL))  # type: ignore[assignment]
    return x


def halve_guide(mask: Array, times: int) -> Array:
    for _ in range(times):
        height, width = (n // 2 for n in mask.shape)
        mask = mask[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean((1, 3))
    return mask


def combination(padding: str, pooling: str, *, whole_gradient: bool = True) -> dict[str, Any]:
    """Features, base loss and gradient of one padding and pooling."""
    content, style = picture(*SIZE, 0.2), picture(*STYLE_SIZE, 1.9)
    x = 0.7 * content + 0.3 * picture(*SIZE, 1.9)
    features = encode(content, padding, pooling)
    grams = {n: gram(f) for n, f in encode(style, padding, pooling).items() if n in STYLE}
    held = features[CONTENT]
    terms = base_loss(x, padding, pooling, grams, held)

    def derivative(c: int, row: int, column: int) -> float:
        z = x.astype(np.complex128)
        z[c, row, column] += 1j * STEP
        return float(sum(v.imag for v in base_loss(z, padding, pooling, grams, held).values()) / STEP)

    at = {f"{r},{k}": [derivative(c, r, k) for c in range(3)] for r, k in PIXELS}
    values: dict[str, Any] = {
        "features": {
            n: {
                "shape": list(f.shape),
                "mean": float(f.mean()),
                "rms": float(np.sqrt((f**2).mean())),
                "gram_frobenius": float(np.linalg.norm(gram(f))),
                "gram_0_1": float(gram(f)[0, 1]),
            }
            for n, f in features.items()
        },
        "terms": {n: float(v) for n, v in terms.items()},
        "gradient_at": at,
    }
    if whole_gradient:
        places = np.ndindex(3, *SIZE)
        values["gradient_l2"] = float(np.linalg.norm([derivative(*p) for p in places]))
    return values


def guided() -> dict[str, float]:
    """Norms of guided Gram matrices: sum T^2 F F' / sum T^2, T carried by area averages."""
    mask = np.clip((np.arange(SIZE[1]) - 8) / 16, 0, 1)[None].repeat(SIZE[0], 0)
    features = encode(picture(*SIZE, 0.2), "zeros", "max")
    norms = {}
    for name in STYLE:
        t = halve_guide(mask, int(name[4]) - 1)
        flat = (features[name] * t).reshape(len(features[name]), -1)
        norms[name] = float(np.linalg.norm(flat @ flat.T / (t**2).sum()))
    return norms


def octaves() -> dict[str, float]:
    """Snelgrove's loss at two octaves of average pooling: squared Gram/(positions x channels), summed."""
    x = 0.7 * picture(*SIZE, 0.2) + 0.3 * picture(*SIZE, 1.9)
    style = picture(*STYLE_SIZE, 1.9)
    terms = {}
    for k in range(2):
        f, s = (encode(p, "zeros", "average", "relu3_2") for p in (x, style))
        for name in ("pool1", "relu3_2"):
            difference = (gram(f[name]) - gram(s[name])) / len(f[name])
            terms[f"octave{k}/{name}"] = float((difference**2).sum())
        x, style = shrink(x), shrink(style)
    return terms


def main() -> None:
    combinations = {f"{a}/{b}": combination(a, b) for a in MODES for b in ("max", "average")}
    values = {"combinations": combinations, "guided_gram": guided(), "octaves": octaves()}
    Path(__file__).with_name("synthetic.json").write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()

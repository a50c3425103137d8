"""Gatys: content features kept, Gram matrices of the style matched, from coarse to fine.

Source: Gatys, Ecker & Bethge, "Image style transfer using convolutional neural networks", CVPR
2016. Equations: content eq. 1, Gram eq. 3, style eq. 4 and 5, sum eq. 7, as read in
:mod:`katazome.losses`. Departures: the start is the content at a coarse scale, not noise; the
border is reflected, not black; pooling is the maximum; means and deviations of the layers join their
Gram matrices (``moment_weight`` 0 is the paper's loss).

Defaults: layers relu1_1 ... relu5_1 and relu4_2 are the paper's. The balance (style 24 against
content 1 at strength 0.5) was chosen by eye on the normalised network. Pooling by the average, the
paper's own choice, leaves a lattice of dots in smooth places where content and style disagree. Gram
matrices alone are also met by a few places that are far too strong: pools of pure colour that no
painting has, in a cat's eyes, on a saucer's rim. Means and deviations leave no room for them; 0.3 is
enough, 3 is calmer still. They cost 8 % of an iteration (512 px, two cores).
"""

from __future__ import annotations

from dataclasses import dataclass

from katazome.methods.base import RAW, Engine, Inputs, Preset, Task, register, seed0, smoothness_of_bytes
from katazome.methods.options import StyleOptions, moment_option
from katazome.methods.wiring import Wiring

BALANCE = 24.0
"""Less than the 30 of Gram matrices alone, so that means and deviations make it no stronger."""

_CHANNELS = (64, 128, 256, 512, 512)


def _peer(summary: str, style: float, content: float, smoothness: float, **options: object) -> Preset:
    """Settings of a program that divides the Gram matrix by channels too: layer weights style / C^2."""
    translated, raw = smoothness_of_bytes(smoothness)
    common = {
        "content_weight": content,
        "style_weight": 1.0,
        "scales": 1,
        "precondition": False,
        "gamut_weight": 0.0,
        "moment_weight": 0.0,
        "padding": "zeros",
        "precision": "float32",
        "smoothness": translated,
        "smoothness_as_sum": True,
        **options,
    }
    return Preset(
        summary=summary,
        options={**common, "layer_weights": tuple(style * RAW**2 / c**2 for c in _CHANNELS)},
        caffe={"layer_weights": tuple(style / c**2 for c in _CHANNELS), "smoothness": raw},
    )


PRESETS = {
    # Its smoothness has the gradient of half the squares, and pixels to 256 (taken as 255 here).
    "neural-style": _peer(
        "jcjohnson/neural-style's defaults", 100.0, 5.0, 0.0005, init="random", iterations=1000
    ),
    "gatys-release": _peer(
        "leongatys/PytorchNeuralStyleTransfer, its first stage", 1000.0, 1.0, 0.0, iterations=500
    ),
    "seed0": seed0(
        "the base loss of the first source document, eq. 1 to 6",
        moment_weight=0.0,
        style_layers=("relu4_1", "relu5_1"),
        layer_weights=(0.5, 0.5),
        init="random",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GatysOptions(StyleOptions):
    """Options of ``gatys``."""

    moment_weight: float = moment_option(0.3)


@register("gatys", summary="Gram matrices at one scale of the picture", options=GatysOptions, presets=PRESETS)
def gatys(inputs: Inputs, options: GatysOptions, engine: Engine) -> Task:
    """Restyle a photograph by Gram matrices of the picture at its full scale."""
    content_weight, style_weight = options.pair(BALANCE)
    return Wiring(
        inputs,
        options,
        engine,
        content_weight=content_weight,
        style_weight=style_weight,
    ).task()

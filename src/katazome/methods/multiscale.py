"""Multi-scale: Gram matrices over a pyramid of the picture, all octaves at once.

Source: Snelgrove, "High-resolution multi-scale neural texture synthesis", SIGGRAPH Asia 2017
Technical Briefs, applied to style transfer as in dsanno/chainer-high-resolution-texture-transfer.
The style loss is summed over octaves of the result and of the style picture; content acts at the
full scale only. Departures: both sides are halved by the same operator, the first source's five
taps, so that every pixel has the same weight (direct quartering by two-tap interpolation leaves
three quarters of the pixels without gradient, and made noise), with reflected borders; five Gram
layers instead of two; octaves stop at 64 px; coarse to fine in time as well; means and deviations
of the layers join their Gram matrices, which alone leave the contrast of large areas open (as in
Galerne et al., "Scaling painting style transfer", EGSR 2024).
"""

from __future__ import annotations

from dataclasses import dataclass

from katazome.methods.base import RAW, Engine, Inputs, Preset, Task, register, smoothness_of_bytes
from katazome.methods.options import StyleOptions, moment_option, octaves_option
from katazome.methods.wiring import Wiring

BALANCE = 12.0
"""Less than gatys': the pyramid shows the style more strongly, as the second source found too."""

PRESETS = {
    "dsanno": Preset(
        summary="dsanno/chainer-high-resolution-texture-transfer's defaults",
        options={
            "precondition": False,
            "gamut_weight": 0.0,
            "octaves": 5,
            "moment_weight": 0.0,
            "style_layers": ("pool1", "conv3_2"),
            "layer_weights": (100 * RAW**2 / 64**2, 100 * RAW**2 / 256**2),
            "style_weight": 5.0,  # summed, not averaged, over octaves
            "content_weight": 5.0,
            "scales": 1,
            "iterations": 2000,
            "init": "random",
            "padding": "zeros",
            "precision": "float32",
            "smoothness": smoothness_of_bytes(0.001)[0],
            "smoothness_as_sum": True,
        },
        caffe={
            "layer_weights": (100 / 64**2, 100 / 256**2),
            "smoothness": smoothness_of_bytes(0.001)[1],
        },
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiscaleOptions(StyleOptions):
    """Options of ``multiscale``."""

    moment_weight: float = moment_option(0.3)
    octaves: int = octaves_option()


@register(
    "multiscale",
    summary="Gram matrices over a pyramid of the picture",
    options=MultiscaleOptions,
    presets=PRESETS,
)
def multiscale(inputs: Inputs, options: MultiscaleOptions, engine: Engine) -> Task:
    """Restyle a photograph by Gram matrices of several octaves at once."""
    content_weight, style_weight = options.pair(BALANCE)
    return Wiring(
        inputs,
        options,
        engine,
        octaves=options.octaves,
        content_weight=content_weight,
        style_weight=style_weight,
    ).task()

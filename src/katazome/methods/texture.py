"""Texture: a new picture of any size with the look of one or several sources, no content.

Source: Gatys, Ecker & Bethge, "Texture synthesis using convolutional neural networks", NIPS 2015;
Snelgrove 2017 (see :mod:`katazome.methods.multiscale`) for the pyramid. The start is noise with the
source's mean and covariance of colours. Departure: ``seamless`` pads the network circularly, so
the picture is made on a cylinder or a torus and tiles by construction.
"""

from __future__ import annotations

from dataclasses import dataclass

from katazome.errors import OptionError
from katazome.methods.base import Engine, Inputs, Preset, Task, register
from katazome.methods.options import DescentOptions, octaves_option
from katazome.methods.wiring import Wiring
from katazome.options import option
from katazome.pictures.resize import parse_size

_WRAPS = {"": (False, False), "x": (False, True), "y": (True, False), "both": (True, True)}

STRIDE = 16
"""Sides along which a texture tiles are multiples of this (px), the stride of relu5_1."""

PRESETS = {
    "snelgrove": Preset(
        summary="wxs/subjective-functions' defaults",
        options={
            "precondition": False,
            "gamut_weight": 0.0,
            "octaves": 4,
            "scales": 1,
            "style_layers": ("pool1", "relu3_2"),
            "layer_weights": (4.0, 4.0),  # summed, not averaged, over octaves
            "pooling": "average",
            "padding": "zeros",
            "iterations": 500,
            "shrinking": "valid",
        },
    ),
    "gatys2015": Preset(
        summary="leongatys/DeepTextures' layers",
        options={
            "precondition": False,
            "gamut_weight": 0.0,
            "octaves": 1,
            "scales": 1,
            "style_layers": ("conv1_1", "pool1", "pool2", "pool3", "pool4"),
            "pooling": "average",
            "padding": "zeros",
            "iterations": 2000,
        },
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextureOptions(DescentOptions):
    """Options of ``texture``."""

    size: str = option(
        "512x512",
        help="Size of the texture: 1024x1024 (width x height), or one number for a square",
        aliases=("out-size",),
    )
    iterations: int = option(
        100,
        help="Iterations at the last scale; coarser scales get more in proportion",
        low=1,
        aliases=("num-iterations",),
        group="Work",
    )
    octaves: int = octaves_option()
    seamless: str = option(
        "",
        help="Make it tile: x, y or both",
        choices=("", "x", "y", "both"),
        aliases=("tiling=both",),
        group="Look",
    )
    shrinking: str = option(
        "five-tap",
        help="How octaves are halved: five taps (valid: without padding, as Snelgrove), or 2x2 averages",
        choices=("five-tap", "valid", "average"),
        group="Weights",
    )


@register("texture", summary="A texture from noise", options=TextureOptions, content=False, presets=PRESETS)
def texture(inputs: Inputs, options: TextureOptions, engine: Engine) -> Task:
    """Grow a texture of any size."""
    size = parse_size(
        f"{options.size}x{options.size}" if options.size.isdigit() else options.size, (512, 512)
    )
    wrap = _WRAPS[options.seamless]
    for name, side, wraps in zip(("height", "width"), size, wrap, strict=True):
        if wraps and side % STRIDE:
            lower = side // STRIDE * STRIDE
            raise OptionError(
                f"a seamless texture's {name} must be a multiple of {STRIDE} px, got {side}; "
                f"use {max(lower, STRIDE)} or {lower + STRIDE}"
            )
    return Wiring(
        inputs,
        options,
        engine,
        octaves=options.octaves,
        shrinking=options.shrinking,
        style_weight=100.0,
        wrap=wrap,
        target=size,
        own_scale=True,
    ).task()

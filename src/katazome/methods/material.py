"""Material: a region takes the look of another material.

Source: the third source document (Matsuo, Shimoda & Yanai): style transfer into what a weakly supervised
segmentation finds. Departures: style acts inside the descent, under the region as a guide, instead of being
pasted (:mod:`katazome.methods.wiring`); Gram matrices over several octaves with means and deviations, which
hold the contrast that shiny materials live by; and more style than for a painting, since it is the surface
that is to change, while the region's own content keeps its shape.
"""

from __future__ import annotations

from dataclasses import dataclass

from katazome.methods.base import Engine, Inputs, Preset, Task, register
from katazome.methods.options import StyleOptions, moment_option, octaves_option
from katazome.methods.wiring import Wiring

BALANCE = 40.0

PRESETS = {
    "seed3": Preset(
        summary="the third source document: Gatys' five Gram layers, nothing more",
        options={"octaves": 1, "moment_weight": 0.0, "precondition": False, "gamut_weight": 0.0, "scales": 1},
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialOptions(StyleOptions):
    """Options of ``material``."""

    moment_weight: float = moment_option(0.3)
    octaves: int = octaves_option()


@register(
    "material",
    summary="A region takes the look of another material: strong, over several octaves",
    options=MaterialOptions,
    presets=PRESETS,
)
def material(inputs: Inputs, options: MaterialOptions, engine: Engine) -> Task:
    """Give a region the look of a material."""
    content_weight, style_weight = options.pair(BALANCE)
    return Wiring(
        inputs,
        options,
        engine,
        octaves=options.octaves,
        content_weight=content_weight,
        style_weight=style_weight,
    ).task()

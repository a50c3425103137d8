"""Material: a region takes the look of another material.

Source: the third source document (Matsuo, Shimoda & Yanai): style transfer into what a weakly supervised
segmentation finds. Departures: style acts inside the descent, under the region as a guide, instead of being
pasted (:mod:`katazome.methods.wiring`); Gram matrices over several octaves with means and deviations, which
hold the contrast that shiny materials live by; and more style than for a painting, since it is the surface
that is to change, while the region's own content keeps its shape.

``joint`` adds what the source names as future work: the segmenter's own differentiable map is to say the new
material inside the region, and nothing like it outside (:mod:`katazome.losses.recognised`).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

from torch import Tensor

from katazome.errors import OptionError
from katazome.losses.recognised import Recognised
from katazome.methods.base import Engine, Inputs, Preset, Task, register
from katazome.methods.hooks import Beside
from katazome.methods.options import StyleOptions, moment_option, octaves_option
from katazome.methods.wiring import Wiring
from katazome.networks.segmenter import Segmenter
from katazome.options import option
from katazome.regions.materials import class_called
from katazome.statistics.guides import carry

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
    from_: str = option("", help="Material that is to change, as the model knows it", group="Where")
    to: str = option(
        "", help="Material that it becomes: a class of the looks, and of the model", group="Look"
    )
    joint: bool = option(
        False, help="Also ask the model whether it sees the new material, and only there", group="Look"
    )
    recognition_weight: float = option(
        1.0, help="Raw weight of what the model sees, when --joint", low=0, group="Weights"
    )


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
        beside=_recognised(inputs.segmenter, options, engine) if options.joint else None,
    ).task()


def _recognised(segmenter: Segmenter | None, options: MaterialOptions, engine: Engine) -> Beside:
    # The head learnt from features with a border of zeros; with the method's own it still tells.
    if segmenter is None:
        raise OptionError("joint asks a model what it sees; give its file by --model")
    if not options.to:
        raise OptionError("joint asks for a material; name it by --to")
    if options.pooling != "max":
        raise OptionError("the model was trained with --pooling max, and joint can ask it with no other")
    if segmenter.facts.grey != (options.color == "luma"):
        own = "brightness alone; take --color luma" if segmenter.facts.grey else "colours; leave --color luma"
        raise OptionError(f"the model sees {own}, or train another for joint")
    head = copy.deepcopy(segmenter.head).to(engine.device)
    layer, target = segmenter.facts.layer, class_called(segmenter, options.to)

    def make(region: Tensor | None) -> list[Recognised]:
        guides = None if region is None else carry(region, [layer])
        return [Recognised(head, layer, target, options.recognition_weight, guides)]

    return Beside((layer,), make)

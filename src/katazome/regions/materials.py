"""Materials by name: where the fabric is, by a segmenter that was trained on image labels alone.

The rough map of a material is that of :func:`katazome.regions.evidence.located`, at what the last convolution
under the head reads; Simonyan's is measured beside it (:mod:`katazome.studies.materials`). All materials
that are there are looked for together and share the picture: where several claim a pixel, the one that does
so most has it, so their maps never add up to more than one.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from katazome.collections.names import called
from katazome.errors import OptionError, RegionError, nearest
from katazome.networks.segmenter import Segmenter
from katazome.networks.vgg import CONVOLUTIONS
from katazome.regions.evidence import Sight, located, presence
from katazome.regions.refine import refined

PRESENT, PLACES = 0.1, 0.1
"""A material is there when its probability reaches the first at so many of the places, as the second says."""

LONGEST = 256
"""Longest side (px) at which a picture is looked at, times each of the scales."""


def sight_of(segmenter: Segmenter) -> Sight:
    """Return where to look in a segmenter: what its convolutions from conv3_1 on read, as in the source."""
    last = CONVOLUTIONS.index(segmenter.facts.layer.replace("relu", "conv"))
    first = min(CONVOLUTIONS.index("conv3_1"), last)
    read = [_read_by(convolution) for convolution in CONVOLUTIONS[first : last + 1]]
    return Sight(segmenter, deep=read[-1], taps=read, longest=LONGEST)


def _read_by(convolution: str) -> str:
    """Return the layer that a convolution reads."""
    block, number = int(convolution[4]), int(convolution[6])
    return f"relu{block}_{number - 1}" if number > 1 else f"pool{block - 1}"


def class_called(segmenter: Segmenter, word: str) -> int:
    """Return the number of the class that a word names; see :func:`katazome.collections.names.called`.

    Raises :class:`OptionError` for a word that names none.
    """
    found = called(word, segmenter.classes)
    if found is None:
        raise OptionError(
            f"the model knows no '{word}'{nearest(word, segmenter.classes)} "
            f"(known: {', '.join(segmenter.classes)})"
        )
    return segmenter.classes.index(found)


def material_map(segmenter: Segmenter, pixels: Tensor, word: str, name: str) -> Tensor:
    """Return where in a picture a material is: (1, 1, H, W) in [0, 1], refined to its edge.

    ``pixels`` (1, 3, H, W), sRGB in [0, 1]; ``name`` is the picture's, for errors.

    Raises :class:`RegionError` when there is none of it; it says what was seen instead.
    """
    number = class_called(segmenter, word)
    seen = shown(segmenter, pixels)
    if float(seen[number]) < PRESENT:
        best = seen.topk(min(3, len(seen)))
        told = ", ".join(
            f"{segmenter.classes[i]} {v:.2f}"
            for v, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        )
        raise RegionError(
            f"no {segmenter.classes[number]} was found in '{name}'; strongest: {told}. Name one of these, or "
            "take object:NAME or a mask"
        )
    return partition(segmenter, pixels, seen)[number]


def shown(segmenter: Segmenter, pixels: Tensor) -> Tensor:
    """Return how sure the segmenter is of each class at a tenth of all places at least: (K,).

    The single surest place says little: at some place of most pictures nearly any class is seen.
    """
    return presence(sight_of(segmenter), pixels).quantile(1 - PLACES, 1)


def partition(segmenter: Segmenter, pixels: Tensor, seen: Tensor) -> Mapping[int, Tensor]:
    """Return the maps (1, 1, H, W) of all classes that are there; together at most 1 at every pixel.

    ``seen`` (K,) is what :func:`shown` returned.
    """
    sight = sight_of(segmenter)
    there = [n for n in range(len(seen)) if float(seen[n]) >= PRESENT]
    rough = [located(sight, pixels, [n]) for n in there]
    found = torch.cat([refined(pixels, one) for one in rough])
    most = (found * torch.cat(rough)).argmax(0, keepdim=True)
    return {n: found[place : place + 1] * (most == place) for place, n in enumerate(there)}

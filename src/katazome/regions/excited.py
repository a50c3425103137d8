"""Where chosen filters of the recognition network answer: the region behind ``filters:FILE``.

Source: the first source document's filters that answer to an object, used as a map of places rather than
of channels. Departures: each filter's map is divided by its own maximum, so that a loud one does not
drown the others; the sum is refined to the thing's edge (:mod:`katazome.regions.refine`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from katazome.errors import RegionError
from katazome.networks.vgg import Encoder, deepest
from katazome.pictures.mask import feathered
from katazome.pictures.resize import resize
from katazome.regions.refine import refined

LONGEST = 320
"""Longest side (px) at which the picture is looked at; filters are ranked on pictures of 224 px."""

_SMOOTH = 0.04  # of the longest side: a filter answers to a part of the thing, not to its whole


def excited_map(encoder: Encoder, pixels: Tensor, chosen: Mapping[str, Sequence[int]], name: str) -> Tensor:
    """Return where filters answer: (1, 1, H, W) in [0, 1], refined to the edge of the thing.

    ``pixels`` (1, 3, H, W), sRGB in [0, 1]; ``chosen`` are the numbers of the filters by tap; ``name`` is
    the picture's, for errors.

    Raises :class:`RegionError` when none of them answers anywhere.
    """
    found = rough_map(encoder, pixels, chosen)
    if not bool(found.any()):
        raise RegionError(f"none of the chosen filters answers to anything in '{name}'; choose others")
    return refined(pixels, found)


def rough_map(encoder: Encoder, pixels: Tensor, chosen: Mapping[str, Sequence[int]]) -> Tensor:
    """Return the filters' maps, each by its own maximum, averaged, smoothed: (1, 1, H, W), least value 0.

    Of several layers the deepest counts alone: shallow filters answer to eyes and fur wherever they are.
    """
    height, width = pixels.shape[2:]
    factor = LONGEST / max(height, width)
    size = (max(64, round(height * factor)), max(64, round(width * factor)))
    layer = deepest(list(chosen)).name
    with torch.no_grad():
        features = encoder(resize(pixels, size).to(encoder.device), [layer])[layer]
    maps = features[:, list(chosen[layer])].float().cpu()
    loudest = maps.amax((2, 3), keepdim=True).clamp_min(torch.finfo(maps.dtype).tiny)
    together = resize((maps / loudest).mean(1, keepdim=True), size)
    spread = resize(feathered(together, _SMOOTH * max(size)), (height, width))
    return (spread - spread.min()).clamp_min(0)

"""What regions cover of a picture: their maps, refused where they are empty, and sentences about them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from katazome.errors import RegionError
from katazome.pictures.read import Picture
from katazome.regions.region import Region

EMPTY = 0.5 / 255
"""A map that is nowhere above half a grey level of 8 bits is empty."""


def map_of(region: Region, picture: Picture) -> Tensor:
    """Return a region's map of a picture, refused where it is empty.

    Raises :class:`RegionError` that says so, or that the region cannot be made.
    """
    found = region.of(picture).clamp(0, 1)
    if float(found.max()) < EMPTY:
        raise RegionError(
            f"the region {region} is empty in '{picture.name}'; look at it with "
            "`katazome segment`, or choose another"
        )
    return found


def coverage(names: Sequence[str], maps: Sequence[Tensor]) -> list[str]:
    """Say in sentences what regions (1, 1, H, W) of one picture cover, where they overlap, what is left."""
    pixels = maps[0].numel()

    def share(covered: Tensor) -> str:
        count = float(covered.sum(dtype=torch.float64))
        return f"{count / pixels:.1%} of the picture ({round(count)} px)"

    said = [f"{name}: {share(m)}" for name, m in zip(names, maps, strict=True)]
    if len(maps) > 1:
        once, twice = torch.zeros_like(maps[0]), torch.zeros_like(maps[0])
        for m in maps:
            twice = torch.maximum(twice, torch.minimum(once, m))
            once = torch.maximum(once, m)
        if float(twice.max()) > 0.5:
            said.append(f"regions overlap in {share(twice)}, which takes the look of each")
        if float(once.min()) < 0.5:
            said.append(f"no region has {share(1 - once)}, which stays as it is")
    return said

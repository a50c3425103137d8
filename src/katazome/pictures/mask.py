"""Masks: a picture that says where, read as a soft map; and the softening of edges."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.errors import RegionError
from katazome.pictures.read import Picture, PictureLike, read
from katazome.pictures.resize import resize

ASPECT_SLACK = 0.01
"""Aspect ratios that differ by less (relative) are one: sizes are rounded to whole pixels."""


def mask_map(source: PictureLike, picture: Picture) -> Tensor:
    """Read a mask for ``picture``: (1, 1, H, W) in [0, 1] at the size of its pixels, 1 = inside.

    The value is the brightest channel, soft values kept; where the mask's picture is of one colour
    all over, its alpha. Of a mask with just two values the brighter counts as 1, so that label
    pictures, such as DAVIS' dark red on black, need no preparation.

    Raises:
        RegionError: the mask has another aspect ratio than the picture; both sizes are named.
        PictureError: it cannot be read.
    """
    mask = read(source)
    value = mask.pixels.amax(1, keepdim=True)
    if mask.alpha is not None:
        flat = float(value.min()) == float(value.max())
        value = mask.alpha if flat else value * mask.alpha
    levels = torch.unique(value)
    if len(levels) == 2:
        value = (value == levels[1]).float()
    height, width = picture.native
    own_height, own_width = mask.native
    # A side is known to half a pixel; a small mask may be off by that, and not more.
    slack = max(ASPECT_SLACK, 0.5 / min(own_height, own_width, height, width))
    if abs(math.log((own_width / own_height) / (width / height))) > slack:
        raise RegionError(
            f"the mask '{mask.name}' is {own_width} x {own_height} px, the picture '{picture.name}' "
            f"{width} x {height}; a mask may be of any size but must have the picture's aspect ratio"
        )
    return resize(value, (picture.height, picture.width))


def feathered(region: Tensor, sigma: float) -> Tensor:
    """Soften a map (1, 1, H, W) by a Gaussian of ``sigma`` px; at the picture's border it is mirrored."""
    if sigma <= 0:
        return region
    for dim in (2, 3):
        radius = min(math.ceil(3 * sigma), region.shape[dim] - 1)
        places = torch.arange(-radius, radius + 1, dtype=region.dtype, device=region.device)
        kernel = torch.exp(-0.5 * (places / sigma) ** 2)
        kernel = (kernel / kernel.sum()).view((1, 1, -1, 1) if dim == 2 else (1, 1, 1, -1))
        rim = (0, 0, radius, radius) if dim == 2 else (radius, radius, 0, 0)
        region = F.conv2d(F.pad(region, rim, mode="reflect"), kernel)
    return region.clamp(0, 1)

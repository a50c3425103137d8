"""Smoothness: squared differences of neighbouring pixels (total variation, squared).

Source: the first source document's eq. 6, a sum with exponent 1. Per pixel (the default
here) the weight means the same at every size. What other programs call by the same name
differs by factors of a million; see the page on presets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor


def squared_variation(picture: Tensor, wrap: tuple[bool, bool] = (False, False)) -> Tensor:
    """Return the sum over colours and neighbours of squared differences of (B, C, H, W); shape ().

    ``wrap`` says whether the last row (column) is a neighbour of the first.
    """
    total = picture.new_zeros(())
    for dim, wrapped in zip((2, 3), wrap, strict=True):
        total = total + torch.diff(picture, dim=dim).square().sum()
        if wrapped:
            ends = picture.narrow(dim, 0, 1) - picture.narrow(dim, -1, 1)
            total = total + ends.square().sum()
    return total


@dataclass(frozen=True)
class Smoothness:
    """Squared variation of the picture itself, per pixel unless ``as_sum``."""

    weight: float
    as_sum: bool = False
    wrap: tuple[bool, bool] = (False, False)
    name: str = "smoothness"
    on_iterate: ClassVar[bool] = False

    def of(self, picture: Tensor) -> Tensor:
        """Return the unweighted value for a picture (B, 3, H, W) in [0, 1]; shape ()."""
        value = squared_variation(picture, self.wrap)
        return value if self.as_sum else value / (picture.shape[0] * picture.shape[2] * picture.shape[3])

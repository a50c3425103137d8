"""Gamut: a picture's values are to stay within [0, 1].

What is outside is cut off when the picture is written, and a descent that does not know of it hides its
errors there: noise of colours that do not exist, which comes out as speckle. With this term the
objective of the picture as written is as low as that of the iterate. No source; many programs
clip after each step instead, which spoils the curvature that L-BFGS learns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

WEIGHT = 1e4
"""On the mean square of the excess; at 384 px it left an RMS excess of 0.00025 and cost nothing."""


@dataclass(frozen=True)
class Gamut:
    """Mean squared excess over [0, 1]."""

    weight: float = WEIGHT
    name: str = "gamut"
    on_iterate: ClassVar[bool] = True
    """It is the iterate that is cut off, before a region's edge mixes it with what is around."""

    def of(self, picture: Tensor) -> Tensor:
        """Return the unweighted value for a picture (B, 3, H, W); shape ()."""
        return (picture - picture.clamp(0, 1)).square().mean()

"""What a method can hang into the wiring that all share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from katazome.losses.base import Loss

Mix: TypeAlias = Callable[[str, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From a tap and the Gram matrices (C, C) there, content's and style's, to the target and what each of its
entries counts (:func:`katazome.losses.style.gram_loss`)."""


@dataclass(frozen=True)
class Beside:
    """More losses at the full scale, on layers ``taps``.

    ``make`` takes the map (1, 1, H, W) of what is restyled, None = all.
    """

    taps: tuple[str, ...]
    make: Callable[[Tensor | None], Sequence[Loss]]

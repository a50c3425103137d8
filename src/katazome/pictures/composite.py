"""The one composite: a picture inside a region, another outside, mixed where the region is soft."""

from __future__ import annotations

from torch import Tensor


def composite(inside: Tensor, outside: Tensor, region: Tensor) -> Tensor:
    """Return ``inside`` where ``region`` is 1 and exactly ``outside`` where it is 0. Differentiable.

    Pictures (1, C, H, W), finite; ``region`` (1, 1, H, W) in [0, 1].
    """
    return region * inside + (1 - region) * outside

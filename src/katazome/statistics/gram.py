"""Gram matrices as sums over positions.

A Gram matrix is a sum of outer products, one for each position, so it can be gathered in any
pieces and added up: ``gram_sum`` of the parts is ``gram_sum`` of the whole.

Source: Gatys, Ecker & Bethge, "Image style transfer using convolutional neural networks",
CVPR 2016, eq. 3; with a guide: Gatys et al., "Controlling perceptual factors in neural style
transfer", CVPR 2017, section 4. Departure: sums are divided by the number of positions (or the
guide's squared sum), so that a weight means the same at every picture size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from katazome.device import exact_dtype


def rows(features: Tensor) -> Tensor:
    """View features (B, C, H, W), channels last, as one row for each position: (B*H*W, C)."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def gram_sum(features: Tensor, guide: Tensor | None = None) -> Tensor:
    """Return the sum over positions of T^2 F F' as (C, C), at least float32.

    ``features`` (B, C, H, W) may be bfloat16; ``guide`` T is (1, 1, H, W) in [0, 1] or None for 1.
    Differentiable with respect to the features.
    """
    return _GramSum.apply(features, guide)  # type: ignore[no-any-return, no-untyped-call]


def position_sum(features: Tensor, guide: Tensor | None = None) -> Tensor:
    """Return what a Gram sum is divided by: the number of positions, or the sum of T^2; float64, shape ()."""
    if guide is not None:
        return guide.to(exact_dtype(guide.device)).square().sum() * features.shape[0]
    count = features.shape[0] * features.shape[2] * features.shape[3]
    return torch.tensor(float(count), dtype=exact_dtype(features.device), device=features.device)


def _column(guide: Tensor, features: Tensor) -> Tensor:
    """View a guide as one entry for each row of :func:`rows`, alike for every picture: (B*H*W, 1)."""
    return guide.expand(features.shape[0], -1, -1, -1).reshape(-1, 1)


class _GramSum(torch.autograd.Function):
    """Written by hand so that features in bfloat16 are raised to float32 for the sum only.

    Autograd would keep the raised copy, and make a float32 gradient that is rounded at once.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, guide: Tensor | None) -> Tensor:
        ctx.save_for_backward(features, guide)
        f = rows(features)
        f = f if f.dtype == torch.float64 else f.float()
        if guide is not None:
            f = f * _column(guide, features).to(f)
        return f.t() @ f

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        features, guide = ctx.saved_tensors
        f = rows(features)
        pulled = f @ (grad + grad.t()).to(f.dtype)
        if guide is not None:
            pulled *= _column(guide, features).to(f).square()
        batch, _, height, width = features.shape
        return pulled.view(batch, height, width, -1).permute(0, 3, 1, 2), None

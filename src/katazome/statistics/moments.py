"""Means and deviations of channels as sums over positions.

Source: Huang & Belongie, "Arbitrary style transfer in real-time with adaptive instance
normalization", ICCV 2017, eq. 6 and 7 (there over one picture; here as sums that add up).
"""

from __future__ import annotations

import torch
from torch import Tensor

from katazome.device import exact_dtype

_ROWS = 1 << 16  # positions that are raised to float64 at a time

EPSILON = 1e-5
"""Added to the variance before its root (AdaIN's own constant)."""


def moment_sums(features: Tensor, guide: Tensor | None = None) -> Tensor:
    """Return the sums of T F and T F^2 over positions, (2, C), at least float32.

    ``features`` (B, C, H, W); ``guide`` T (1, 1, H, W) in [0, 1] or None for 1.
    """
    f = features if features.dtype == torch.float64 else features.float()
    weighted = f if guide is None else f * guide.to(f)
    return torch.stack([weighted.sum((0, 2, 3)), (weighted * f).sum((0, 2, 3))])


def guide_sum(features: Tensor, guide: Tensor | None = None) -> Tensor:
    """Return what moment sums are divided by: the number of positions, or the sum of T; float64, shape ()."""
    if guide is not None:
        return guide.to(exact_dtype(guide.device)).sum() * features.shape[0]
    count = features.shape[0] * features.shape[2] * features.shape[3]
    return torch.tensor(float(count), dtype=exact_dtype(features.device), device=features.device)


def mean_and_deviation(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Turn moments per position (2, C) into mean and (biased) standard deviation, each (C,)."""
    mean, square = moments.unbind(0)
    return mean, ((square - mean.square()).clamp_min(0) + EPSILON).sqrt()


def covariance_sums(features: Tensor, guide: Tensor | None = None) -> Tensor:
    """Return the sums of T F and T F F' over positions, (1 + C, C), in float64.

    In float32 the difference of two large sums would drown the small eigenvalues that whitening divides by.
    """
    exact = exact_dtype(features.device)
    rows = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])
    weights = None if guide is None else guide.expand(features.shape[0], -1, -1, -1).reshape(-1, 1)
    total = rows.new_zeros((1 + rows.shape[1], rows.shape[1]), dtype=exact)
    for start in range(0, len(rows), _ROWS):
        f = rows[start : start + _ROWS].to(exact)
        weighted = f if weights is None else f * weights[start : start + _ROWS].to(exact)
        total[0] += weighted.sum(0)
        total[1:] += weighted.t() @ f
    return total


def mean_and_covariance(moments: Tensor) -> tuple[Tensor, Tensor]:
    """Turn :func:`covariance_sums` per position (1 + C, C) into the mean (C,) and the covariance (C, C)."""
    mean, square = moments[0], moments[1:]
    return mean, square - mean.outer(mean)

"""Roots of covariances, in float64 by their eigenvalues.

Source: Li et al., "Universal style transfer via feature transforms", NIPS 2017, eq. 3 and 4; the published
program cuts eigenvalues below 1e-5. Departure: what is small beside the largest eigenvalue is cut too. A
picture of one flat colour, or a region of fewer positions than channels, has directions in which nothing
varies; rounding gives them an eigenvalue all the same, and its inverse root would make that noise loud.
"""

from __future__ import annotations

import torch
from torch import Tensor

SMALLEST = 1e-5
"""Eigenvalues below this are taken for none."""

SHARE = 1e-8
"""And those below this share of the largest."""


def root(covariance: Tensor) -> Tensor:
    """Return the symmetric root (C, C) of a covariance (C, C), float64."""
    return _power(covariance, 0.5)


def inverse_root(covariance: Tensor) -> Tensor:
    """Return the symmetric inverse root (C, C) of a covariance, float64; 0 in directions without variance."""
    return _power(covariance, -0.5)


def _power(covariance: Tensor, exponent: float) -> Tensor:
    # On the CPU: eigh of a few hundred channels is no faster on a GPU, and Apple's have no float64.
    values, vectors = torch.linalg.eigh(covariance.to("cpu", torch.float64))
    kept = values > max(SMALLEST, SHARE * float(values[-1]))
    powered = torch.where(kept, values, 1).pow(exponent) * kept
    made: Tensor = (vectors * powered) @ vectors.mT
    return made.to(covariance.device)

"""Maximum mean discrepancy: how far two sets of vectors are from being drawn alike.

Source: Tolstikhin et al., "Wasserstein auto-encoders", ICLR 2018, section 3, and their program: inverse
multiquadric kernels k(a, b) = C / (C + |a - b|^2) of seven scales, summed; C = 2 d sigma^2 times the scale,
for vectors of d values and a normal prior of deviation sigma. The two sums within a set leave out their
diagonals, the one between the sets does not, so the estimate can be negative. A weight of this term cannot be
carried over from another program: popular ones divide otherwise, and differ by a factor of about 600.
"""

from __future__ import annotations

import torch
from torch import Tensor

SCALES = (0.1, 0.2, 0.5, 1, 2, 5, 10)
"""Of the kernels, over the prior's own."""


def mmd(codes: Tensor, prior: Tensor, sigma: float = 1.0) -> Tensor:
    """Return the discrepancy, shape (), of codes (n, d) and draws of their prior (n, d), n at least 2."""
    count, width = codes.shape
    pairs = ((codes, codes), (prior, prior), (codes, prior))
    distances = [(a[:, None] - b).square().sum(2) for a, b in pairs]
    off = 1 - torch.eye(count, dtype=codes.dtype, device=codes.device)
    total = codes.new_zeros(())
    for scale in SCALES:
        c = 2 * width * sigma**2 * scale
        own, drawn, between = (c / (c + d) for d in distances)
        total = total + ((own + drawn) * off).sum() / (count * (count - 1)) - 2 * between.sum() / count**2
    return total

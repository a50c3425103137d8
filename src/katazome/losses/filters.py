"""Style through chosen filters: Gram matrices of which only some rows and columns are the style's.

Source: the first source document (Shinya, Nguyen, Harada and Thawonmas), eq. 7 to 10. With M the chosen
filters of N, an entry (i, j) of the target is the style's where i or j is chosen, the content's own
elsewhere (eq. 7); the two sets of entries are weighed by k1 = 1 / (1 - r) and k2 = 1 / r, where r is the
share of the first (eq. 9 and 10).

Departures: the printed eq. 8 gives k1 to the entries where i *and* j are chosen, which leaves the
content's branch of eq. 7 without use and counts those entries twice; since 1 - r is the share of the
entries where neither is, k1 belongs to them, and the loss is the mean over one set plus the mean over the
other. Each picture's Gram matrix is divided by its own number of positions before they are mixed. The
printed reading stands beside it for comparison. The target need not be the Gram matrix of any picture,
so the loss has a floor above zero.
"""

from __future__ import annotations

import torch
from torch import Tensor


def touched(chosen: Tensor) -> Tensor:
    """Return where an entry's row or column is chosen: (C, C) of truth values, from ``chosen`` (C,)."""
    return chosen[:, None] | chosen[None, :]


def mixed_gram(content: Tensor, style: Tensor, chosen: Tensor) -> Tensor:
    """Return eq. 7's target (C, C): the style's entries where row or column is chosen, else the content's.

    Both matrices are per position, each by its own picture's.
    """
    return torch.where(touched(chosen), style.to(content), content)


def energy_kept(content: Tensor, style: Tensor) -> Tensor:
    """Rescale the style's Gram matrix so that each filter keeps the content's energy: D G D.

    D is the root of the ratio of the diagonals. Without it, the style's weak response in the chosen
    filters just switches them off; with it, only how they go together is the style's. A filter that
    the style does not excite at all has no togetherness to give, and becomes zero off the diagonal.
    """
    style = style.to(content)
    energy, own = content.diagonal().clamp_min(0), style.diagonal()
    gain = torch.where(own > 0, energy / own.clamp_min(torch.finfo(own.dtype).tiny), 0).sqrt()
    scaled = gain[:, None] * style * gain[None, :]
    return scaled.diagonal_scatter(energy)


def entry_weights(chosen: Tensor, *, printed: bool = False) -> Tensor:
    """Return what each entry counts, (C, C) float64, for :func:`katazome.losses.style.gram_loss`.

    ``printed`` takes eq. 8 as it is printed. With no filter chosen, or all, one set of entries is empty
    and is left out: all chosen is Gatys' loss of the style, none chosen that of the content's own Gram
    matrix.
    """
    either = touched(chosen)
    share = either.double().mean()
    weights = torch.zeros(either.shape, dtype=torch.float64, device=chosen.device)
    kept = chosen[:, None] & chosen[None, :] if printed else ~either
    if share < 1:
        weights += kept / (1 - share)
    if share > 0:
        weights += either / share
    return weights / either.numel()

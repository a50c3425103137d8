"""What every descent takes from its options, whatever it is after: precision and the optimiser."""

from __future__ import annotations

import torch

from katazome.descent.optimisers import LBFGS, Adam, Optimiser
from katazome.descent.preconditioner import Preconditioner
from katazome.device import supports_bfloat16
from katazome.methods.options import WalkOptions

FINE_SHARE = 0.25
"""Part of the last scale that runs in float32 under ``auto``: bfloat16 has found the way by then."""

HISTORY = 10
"""L-BFGS pairs; more gained nothing measurable, and each costs two pictures of memory."""


def dtypes_of(options: WalkOptions, device: torch.device) -> tuple[torch.dtype, torch.dtype]:
    """Return the precision of the coarse part and of the last part."""
    if options.precision == "auto":
        fast = supports_bfloat16(device)
        return (torch.bfloat16 if fast else torch.float32), torch.float32
    dtype = torch.float32 if options.precision == "float32" else torch.bfloat16
    return dtype, dtype


def optimiser_of(
    options: WalkOptions,
    history: int,
    *,
    moving: float = 1.0,
    rate: float = 0.02,
    wrap: tuple[bool, bool] = (False, False),
) -> Optimiser:
    """Return the optimiser: L-BFGS, with steps of ``moving`` times its usual ones, or Adam at ``rate``."""
    if options.optimizer == "adam":
        return Adam(rate)
    first, longest = LBFGS.first_step * moving, LBFGS.longest_step * moving
    return LBFGS(history, first, longest, Preconditioner(wrap) if options.precondition else None)

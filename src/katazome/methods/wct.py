"""WCT: features are whitened and given the style's covariance, level by level; one pass.

Source: Li et al., "Universal style transfer via feature transforms", NIPS 2017: whitening eq. 3, colouring
eq. 4, blended with the content's features by ``--strength`` (their alpha, 0.6 in their program) at every
level, from deep to shallow. Levels 4 to 1: the authors' own note says that conv5_1 is hard to invert and that
starting at conv4_1 keeps the structure. Departures: covariances and their roots in float64, by eigenvalues,
small ones cut (:mod:`katazome.statistics.roots`); the published decoder of AdaIN at level 4, ours, learnt on
reconstruction, at levels 3 to 1 (``katazome train decoder``); between levels the picture is cut to [0, 1], as
a picture is; a region's covariance is its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from katazome.methods.base import Engine, Inputs, Task, register
from katazome.methods.onepass import OnePass
from katazome.methods.options import InstantOptions, strength_option
from katazome.methods.transfer import Affine
from katazome.networks.decoders import LAYERS
from katazome.options import option
from katazome.statistics.moments import mean_and_covariance
from katazome.statistics.roots import inverse_root, root


@dataclass(frozen=True, slots=True, kw_only=True)
class WCTOptions(InstantOptions):
    """Options of ``wct``."""

    strength: float = strength_option(0.6)
    levels: int = option(
        4,
        help="Levels, from relu4_1 to relu1_1; fewer leave the finest ones out",
        low=1,
        high=4,
        group="Look",
    )


def coloured(content: Tensor, style: Tensor) -> Affine:
    """Return the map from covariance sums per position (1 + C, C): whitened, then coloured."""
    (mean, covariance), (target, wanted) = mean_and_covariance(content), mean_and_covariance(style)
    matrix = root(wanted) @ inverse_root(covariance)
    return Affine(matrix, target - matrix @ mean)


@register("wct", summary="Covariances of features, in one pass over four levels", options=WCTOptions)
def wct(inputs: Inputs, options: WCTOptions, engine: Engine) -> Task:
    """Restyle a photograph in one pass, deep features first."""
    layers = tuple(reversed(LAYERS))[: options.levels]
    return OnePass(inputs, options, engine, layers, coloured, covariances=True)

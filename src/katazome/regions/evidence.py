"""Where the evidence for a class lies, from networks that were only ever told what is in pictures.

Sources: guided backpropagation, Springenberg et al., "Striving for simplicity", ICLR 2015 workshop;
gradient times activation at a layer as a map of places, Selvaraju et al., "Grad-CAM", ICCV 2017, kept place
by place as in Jiang et al., "LayerCAM", 2021; several sizes of the picture, and :func:`distinct` whole:
Shimoda & Yanai, "Distinct class-specific saliency maps for weakly supervised semantic segmentation",
ECCV 2016; the baseline :func:`gradient` from Simonyan, Vedaldi & Zisserman, "Deep inside convolutional
networks", 2014.

Departures of :func:`located` from Shimoda & Yanai, each measured (docs/regions.md): gradient times
activation instead of the gradient's size, one layer instead of many, and no other class subtracted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.pictures.resize import resize

SCALES = (0.8, 1.0, 1.2)

RIVALS = 3
"""Other classes that :func:`distinct` subtracts; the source takes at least that many."""

_LEAST = 64  # px; below, the networks have fewer than three places


class Sees(Protocol):
    """A network that scores classes by place; see :class:`katazome.networks.classifier.Classifier`."""

    def __call__(
        self, picture: Tensor, taps: Sequence[Any] = (), *, guided: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Return scores (B, K, h, w) and features at ``taps``."""


@dataclass(frozen=True)
class Sight:
    """A network and where in it to look.

    ``deep`` is the tap for :func:`located`, ``taps`` are those for :func:`distinct`; ``longest`` is the
    longest side (px) at which a picture is looked at, times each of ``SCALES``.
    """

    network: Sees
    deep: Any
    taps: Sequence[Any]
    longest: int = 320

    def sizes(self, pixels: Tensor) -> Iterator[Tensor]:
        """Yield a picture (1, 3, H, W) in the sizes at which it is looked at."""
        height, width = pixels.shape[2:]
        for scale in SCALES:
            factor = self.longest * scale / max(height, width)
            size = (max(_LEAST, round(height * factor)), max(_LEAST, round(width * factor)))
            yield resize(pixels.detach(), size).clamp(0, 1)


def located(sight: Sight, pixels: Tensor, classes: Sequence[int]) -> Tensor:
    """Return a rough map of where classes are: (1, 1, H, W), at least 0, largest value 1.

    The sum over sizes of the picture of guided gradient times activation, each by its own maximum. The
    score of several classes at a place is the logarithm of their summed exponentials.
    """
    total = torch.zeros_like(pixels[:, :1])
    for picture in sight.sizes(pixels):
        with torch.enable_grad():
            scores, features = sight.network(picture.requires_grad_(), [sight.deep], guided=True)
            (pull,) = torch.autograd.grad(scores[:, list(classes)].logsumexp(1).sum(), features)
        places = of_maximum((pull * features[0].detach()).sum(1, keepdim=True))
        total += resize(places, (pixels.shape[2], pixels.shape[3]))
    return of_maximum(total)


def distinct(sight: Sight, pixels: Tensor, classes: Sequence[int], alpha: float = 3.0) -> Tensor:
    """Return the rough map of Shimoda & Yanai: (1, 1, H, W), at least 0, largest value 1.

    At each of the taps and sizes the largest gradient over channels, of which those of the three
    strongest other classes are subtracted one by one; each difference by its own maximum, through
    ``tanh(alpha x)``, summed. A difference that is nowhere positive adds nothing.
    """
    own = list(classes)
    total = torch.zeros_like(pixels[:, :1])
    for picture in sight.sizes(pixels):
        with torch.enable_grad():
            scores, features = sight.network(picture.requires_grad_(), sight.taps, guided=True)
            others = scores.detach().mean((0, 2, 3))
            others[own] = -torch.inf
            rivals = others.topk(min(RIVALS, len(others) - len(own))).indices.tolist()
            asked = [scores[:, own].logsumexp(1), *(scores[:, rival] for rival in rivals)]
            pulls = [torch.autograd.grad(one.sum(), features, retain_graph=True) for one in asked]
        for layer in zip(*pulls, strict=True):
            mine, *against = (pull.abs().amax(1, keepdim=True) for pull in layer)
            distances = [torch.tanh(alpha * of_maximum(mine - rival)) for rival in against]
            total += resize(torch.stack(distances).sum(0), (pixels.shape[2], pixels.shape[3]))
    return of_maximum(torch.tanh(alpha * of_maximum(total)))


def gradient(sight: Sight, pixels: Tensor, classes: Sequence[int]) -> Tensor:
    """Return Simonyan's map, the baseline: (1, 1, H, W), at least 0, largest value 1.

    The largest absolute derivative of the score over colours, at the middle size; nothing guided.
    """
    _, picture, _ = sight.sizes(pixels)
    with torch.enable_grad():
        scores, _ = sight.network(picture.requires_grad_())
        (pull,) = torch.autograd.grad(scores[:, list(classes)].logsumexp(1).sum(), picture)
    return of_maximum(resize(pull.abs().amax(1, keepdim=True), (pixels.shape[2], pixels.shape[3])))


def presence(sight: Sight, pixels: Tensor) -> Tensor:
    """Return the probabilities of the classes at every place and size: (K, places).

    A place is 3 x 3 positions of the last layer: single ones see ghosts.
    """
    found = []
    for picture in sight.sizes(pixels):
        with torch.no_grad():
            scores, _ = sight.network(picture)
        side = min(3, scores.shape[2], scores.shape[3])
        found.append(F.avg_pool2d(scores, side, 1).softmax(1)[0].flatten(1))
    return torch.cat(found, 1)


def share(seen: Tensor, classes: Sequence[int]) -> Tensor:
    """Return the largest share of the probability (:func:`presence`) that classes have together; shape ()."""
    return seen[list(classes)].sum(0).max()


def of_maximum(found: Tensor) -> Tensor:
    """Return the positive part over its maximum; zeros where nothing is positive."""
    positive = found.clamp_min(0)
    return positive / positive.max().clamp_min(torch.finfo(found.dtype).tiny)

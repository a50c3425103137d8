"""Objects by name: where the dog is, from a network that was only ever told what is in pictures.

Sources: guided backpropagation, Springenberg et al., "Striving for simplicity", ICLR 2015 workshop;
gradient times activation at a layer as a map of places, Selvaraju et al., "Grad-CAM", ICCV 2017, kept place
by place as in Jiang et al., "LayerCAM", 2021; several sizes of the picture, and :func:`distinct` whole:
Shimoda & Yanai, "Distinct class-specific saliency maps for weakly supervised semantic segmentation",
ECCV 2016.

Departures of :func:`located` from Shimoda & Yanai, each measured (docs/regions.md): gradient times
activation instead of the gradient's size, one layer instead of many, and no other class subtracted. What
scores second best for a goat is an antelope in the same place: another name for the thing rather than
another thing, and subtracting it takes the thing away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.errors import OptionError, RegionError
from katazome.networks.classifier import Classifier, open_classifier
from katazome.networks.vocabulary import Meaning, meaning, plain_name, suggestions
from katazome.pictures.resize import resize
from katazome.regions.detector import detected
from katazome.regions.refine import refined
from katazome.regions.saliency import salient_map

BLOCK = 15
"""The block at whose inputs :func:`located` looks; see :class:`katazome.networks.classifier.Classifier`."""

BLOCKS = tuple(range(4, 16))
"""The blocks at whose inputs :func:`distinct` looks: strides 8 to 32, as the source's layers."""

LONGEST = 320
"""Longest side (px) at which a picture is looked at, times each of ``SCALES``."""

SCALES = (0.8, 1.0, 1.2)

RIVALS = 3
"""Other classes that :func:`distinct` subtracts; the source takes at least that many."""

PRESENT = 0.1
"""A thing is there when its share of the probability reaches this at some place and scale."""

PART = 0.3
"""Of a rough map, which always spills over: so much in what stands out, and the thing is what stands out."""

_LEAST = 64  # px; below, the network has fewer than three places


_PEOPLE = {
    *(
        "person",
        "people",
        "man",
        "men",
        "woman",
        "women",
        "human",
        "child",
        "children",
        "boy",
        "girl",
        "face",
    ),
    *("人", "ひと", "人物", "人間", "人々", "男性", "女性", "子供", "顔"),
}
"""What the classifier does not know and people ask for first."""


def meaning_of(word: str) -> Meaning:
    """Return what a word means.

    Raises :class:`OptionError` for a word that names nothing, with the names most like it.
    """
    found = meaning(word)
    if found is not None:
        return found
    if word.strip().casefold() in _PEOPLE:
        raise OptionError(
            f"'{word}' cannot be found by name: the classifier knows the 1,000 classes of ImageNet, and a "
            "person is none of them; take salient where the person is what stands out, or a mask"
        )
    like = " or ".join(f"'{name}'" for name in suggestions(word))
    raise OptionError(
        f"no object is called '{word}'" + (f"; did you mean {like}?" if like else "; take a plainer word")
    )


def object_map(pixels: Tensor, word: str, name: str, detector: str | None = None) -> Tensor:
    """Return where in a picture a thing is: (1, 1, H, W) in [0, 1], refined to its edge.

    ``pixels`` (1, 3, H, W), sRGB in [0, 1]; ``name`` is the picture's, for errors; ``detector`` is the
    folder of one (:mod:`katazome.regions.detector`), None for the classifier.

    Where the rough map lies for a good part in what stands out (:func:`salient_map`), the thing is taken to
    be what stands out, whose map has the better edges; else the rough map stands alone.

    Raises :class:`RegionError` when there is no such thing; it says what was seen instead.
    """
    rough = _classified(pixels, word, name) if detector is None else detected(pixels, word, name, detector)
    return refined(pixels, standing_out(rough, salient_map(pixels)))


def _classified(pixels: Tensor, word: str, name: str) -> Tensor:
    meant = meaning_of(word)
    network = _classifier()
    seen = presence(network, pixels)
    if float(share(seen, meant.classes)) < PRESENT:
        raise RegionError(
            f"no {meant.name} was found in '{name}'; {strongest(seen)}. Name one of these, or take salient "
            "or a mask"
        )
    return located(network, pixels, meant.classes)


def standing_out(found: Tensor, salient: Tensor) -> Tensor:
    """Limit a rough map (1, 1, H, W) to what stands out if the thing is part of that, else leave it alone."""
    inside = float((found * salient).sum()) >= PART * float(found.sum())
    return found.sqrt() * salient if inside else found


def presence(network: Classifier, pixels: Tensor) -> Tensor:
    """Return the probabilities of the classes at every place and scale: (1000, places).

    A place is 3 x 3 positions of the last layer: single ones see ghosts.
    """
    found = []
    for picture in _scaled(pixels):
        with torch.no_grad():
            scores, _ = network(picture)
        side = min(3, scores.shape[2], scores.shape[3])
        found.append(F.avg_pool2d(scores, side, 1).softmax(1)[0].flatten(1))
    return torch.cat(found, 1)


def share(seen: Tensor, classes: Sequence[int]) -> Tensor:
    """Return the largest share of the probability (:func:`presence`) that classes have together; shape ()."""
    return seen[list(classes)].sum(0).max()


def strongest(seen: Tensor, count: int = 3) -> str:
    """Say what was seen most clearly: ``strongest: cat 0.81, sofa 0.40``."""
    groups: dict[str, list[int]] = {}
    for index in range(len(seen)):
        groups.setdefault(plain_name(index), []).append(index)
    shares = {name: float(share(seen, classes)) for name, classes in groups.items()}
    best = sorted(shares, key=lambda name: -shares[name])[:count]
    return "strongest: " + ", ".join(f"{name} {shares[name]:.2f}" for name in best)


def located(network: Classifier, pixels: Tensor, classes: Sequence[int]) -> Tensor:
    """Return a rough map of where classes are: (1, 1, H, W), at least 0, largest value 1.

    The sum over sizes of the picture of guided gradient times activation, each by its own maximum. The
    score of several classes at a place is the logarithm of their summed exponentials.
    """
    total = torch.zeros_like(pixels[:, :1])
    for picture in _scaled(pixels):
        with torch.enable_grad():
            scores, features = network(picture.requires_grad_(), [BLOCK], guided=True)
            (pull,) = torch.autograd.grad(scores[:, list(classes)].logsumexp(1).sum(), features)
        places = _of_maximum((pull * features[0].detach()).sum(1, keepdim=True))
        total += resize(places, (pixels.shape[2], pixels.shape[3]))
    return _of_maximum(total)


def distinct(network: Classifier, pixels: Tensor, classes: Sequence[int], alpha: float = 3.0) -> Tensor:
    """Return the rough map of Shimoda & Yanai, for comparison: (1, 1, H, W), at least 0, largest value 1.

    At each of ``BLOCKS`` and sizes the largest gradient over channels, of which those of the three
    strongest other classes are subtracted one by one; each difference by its own maximum, through
    ``tanh(alpha x)``, summed. A difference that is nowhere positive adds nothing.
    """
    own = list(classes)
    total = torch.zeros_like(pixels[:, :1])
    for picture in _scaled(pixels):
        with torch.enable_grad():
            scores, features = network(picture.requires_grad_(), BLOCKS, guided=True)
            others = scores.detach().mean((0, 2, 3))
            others[own] = -torch.inf
            asked = [scores[:, own].logsumexp(1)]
            asked += [scores[:, rival] for rival in others.topk(RIVALS).indices.tolist()]
            pulls = [torch.autograd.grad(one.sum(), features, retain_graph=True) for one in asked]
        for layer in zip(*pulls, strict=True):
            mine, *rivals = (pull.abs().amax(1, keepdim=True) for pull in layer)
            distances = [torch.tanh(alpha * _of_maximum(mine - rival)) for rival in rivals]
            total += resize(torch.stack(distances).sum(0), (pixels.shape[2], pixels.shape[3]))
    return _of_maximum(torch.tanh(alpha * _of_maximum(total)))


def _scaled(pixels: Tensor) -> Iterator[Tensor]:
    height, width = pixels.shape[2:]
    for scale in SCALES:
        factor = LONGEST * scale / max(height, width)
        size = (max(_LEAST, round(height * factor)), max(_LEAST, round(width * factor)))
        yield resize(pixels.detach(), size).clamp(0, 1)


def _of_maximum(found: Tensor) -> Tensor:
    """Return the positive part over its maximum; zeros where nothing is positive."""
    positive = found.clamp_min(0)
    return positive / positive.max().clamp_min(torch.finfo(found.dtype).tiny)


@cache
def _classifier() -> Classifier:
    return open_classifier()

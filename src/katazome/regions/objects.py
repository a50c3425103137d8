"""Objects by name: where the dog is, from a classifier that was only ever told what is in pictures.

The rough map is that of :func:`katazome.regions.evidence.located`. Shimoda & Yanai's own was tried with this
network and not taken (docs/regions.md): what scores second best for a goat is an antelope in the same place,
another name for the thing rather than another thing, and subtracting it takes the thing away.
"""

from __future__ import annotations

from functools import cache

from torch import Tensor

from katazome.errors import OptionError, RegionError
from katazome.networks.classifier import Classifier, open_classifier
from katazome.networks.vocabulary import Meaning, meaning, plain_name, suggestions
from katazome.regions.detector import detected
from katazome.regions.evidence import Sight, located, presence, share
from katazome.regions.refine import refined
from katazome.regions.saliency import salient_map

PRESENT = 0.1
"""A thing is there when its share of the probability reaches this at some place and scale."""

PART = 0.3
"""Of a rough map, which always spills over: so much in what stands out, and the thing is what stands out."""

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
    seen = presence(sight_of(network), pixels)
    if float(share(seen, meant.classes)) < PRESENT:
        raise RegionError(
            f"no {meant.name} was found in '{name}'; {strongest(seen)}. Name one of these, or take salient "
            "or a mask"
        )
    return located(sight_of(network), pixels, meant.classes)


def standing_out(found: Tensor, salient: Tensor) -> Tensor:
    """Limit a rough map (1, 1, H, W) to what stands out if the thing is part of that, else leave it alone."""
    inside = float((found * salient).sum()) >= PART * float(found.sum())
    return found.sqrt() * salient if inside else found


def strongest(seen: Tensor, count: int = 3) -> str:
    """Say what was seen most clearly: ``strongest: cat 0.81, sofa 0.40``."""
    groups: dict[str, list[int]] = {}
    for index in range(len(seen)):
        groups.setdefault(plain_name(index), []).append(index)
    shares = {name: float(share(seen, classes)) for name, classes in groups.items()}
    best = sorted(shares, key=lambda name: -shares[name])[:count]
    return "strongest: " + ", ".join(f"{name} {shares[name]:.2f}" for name in best)


def sight_of(network: Classifier) -> Sight:
    """Return where to look in the classifier: before its last block; to compare, at strides 8 to 32."""
    return Sight(network, deep=15, taps=tuple(range(4, 16)))


@cache
def _classifier() -> Classifier:
    return open_classifier()

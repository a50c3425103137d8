"""Styles as several networks see them: the one that is optimised, one that is not, and random filters.

A method that descends on Gram matrices of VGG-19 comes close to the style's there; that says little of it.
EfficientNet-lite0 was trained on the same photographs but nothing here descends on it, and the random filters
(:func:`katazome.studies.metrics.random_features`) were trained on nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from katazome.device import generator
from katazome.networks.classifier import Classifier
from katazome.networks.vgg import Encoder
from katazome.statistics.gram import gram_sum
from katazome.studies.metrics import quantiles, random_features

Eye = Callable[[Tensor], list[Tensor]]
"""From a picture (1, 3, H, W) in [0, 1] to the features (1, C, h, w) of several layers."""

LITE0_BLOCKS = (1, 3, 5, 8)
"""Blocks of EfficientNet-lite0 whose inputs are looked at: strides 2, 4, 8, 16."""

POSITIONS = 1 << 14
"""Of a layer with more positions, so many, drawn once, stand for all where quantiles are taken."""

_SEED = 20210619


def vgg_eye(encoder: Encoder, taps: Sequence[str]) -> Eye:
    """Return VGG-19 at ``taps``, with the border that the methods have."""

    def see(picture: Tensor) -> list[Tensor]:
        with torch.no_grad():
            found = encoder(picture, taps)
        return [found[tap].float() for tap in taps]

    return see


def lite0_eye(classifier: Classifier, blocks: Sequence[int] = LITE0_BLOCKS) -> Eye:
    """Return EfficientNet-lite0 at the inputs of ``blocks``."""

    def see(picture: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return classifier(picture, blocks)[1]

    return see


def random_eye(picture: Tensor) -> list[Tensor]:
    """Return the features of the random filters; an :data:`Eye`."""
    return [features[None, :, :, None] for features in random_features(picture)]


@dataclass(frozen=True)
class Portrait:
    """A picture's statistics in one eye at one scale, by layer."""

    grams: tuple[Tensor, ...]
    """(C, C), sums over positions divided by their number."""
    quantiles: tuple[Tensor, ...]
    """(directions, quantiles); empty where they were not asked for."""

    @classmethod
    def of(cls, eye: Eye, picture: Tensor, *, slices: bool = True) -> Portrait:
        """Look at a picture (1, 3, H, W); ``slices`` takes the quantiles too, which cost more."""
        features = eye(picture)
        grams = tuple(gram_sum(f) / (f.shape[2] * f.shape[3]) for f in features)
        return cls(grams, tuple(quantiles(_some(f)) for f in features) if slices else ())

    def gram_distance(self, style: Portrait, layers: int | None = None) -> float:
        """Return the mean over (the first) layers of |G - S| / |S|, S being the style's: 0 the same."""
        pairs = list(zip(self.grams, style.grams, strict=True))[:layers]
        return math.fsum(float((g - s).norm() / s.norm()) for g, s in pairs) / len(pairs)

    def sliced_distance(self, style: Portrait) -> float:
        """Return the mean over layers of the sliced Wasserstein distance over the style's size.

        A style's size is its distance to black features: 0 is the same, 1 as far as those.
        """
        pairs = list(zip(self.quantiles, style.quantiles, strict=True))
        return math.fsum(float((q - s).norm() / s.norm()) for q, s in pairs) / len(pairs)


def _some(features: Tensor) -> Tensor:
    """Return features (1, C, h, w) as a set (C, N), of at most :data:`POSITIONS`."""
    found = features[0].flatten(1)
    if found.shape[1] <= POSITIONS:
        return found
    places = torch.randperm(found.shape[1], generator=generator(_SEED))[:POSITIONS]
    return found[:, places.to(found.device)]

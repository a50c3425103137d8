"""A segmenter of one's own: VGG-19 as the trunk, and a small head that knows classes by image labels alone.

The head is two 1x1 convolutions on a layer of the trunk, so that every position has a score for every class;
a picture's score is a soft maximum over its positions, and learning it from labels alone teaches the
positions. Source of the idea: Shimoda & Yanai (seed 3); theirs was fine-tuned whole from VGG-16, here only
the head is learnt.

A model's file (safetensors) carries its classes, network, preprocessing, data with their terms, and how well
it did on pictures it had not seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from katazome.errors import GivenWeightsError
from katazome.networks.vgg import BLOCKS, tap
from katazome.pictures.colour import luma
from katazome.weights.flavours import VGGWeights
from katazome.weights.modelfile import Kind

KIND = Kind("segmenter", 1, "model of materials", "katazome train segmenter --images DIR -o MODEL")
WIDTH = 128
"""Channels between the head's two convolutions."""

SHARPNESS = 4.0
"""Of the soft maximum over positions: 0 would be their mean, without end the largest alone."""


class Head(nn.Module):
    """Scores (B, K, h, w) of positions from features (B, C, h, w).

    Channels are brought to mean 0 and deviation 1 first (:meth:`standardise`), or the loud ones would be
    heard alone.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, channels: int, classes: int, width: int = WIDTH) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))
        self.inner = nn.Conv2d(channels, width, 1)
        self.outer = nn.Conv2d(width, classes, 1)

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Set what channels (C,) are brought to 0 and 1 by."""
        self.shift.copy_(mean)
        self.scale.copy_(deviation.clamp_min(1e-3 * float(deviation.mean())))

    def hidden(self, features: Tensor) -> Tensor:
        """Return what the inner convolution makes of features, before its ReLU."""
        found: Tensor = self.inner((features - self.shift[:, None, None]) / self.scale[:, None, None])
        return found

    def forward(self, features: Tensor) -> Tensor:
        """See :class:`Head`."""
        scores: Tensor = self.outer(self.hidden(features).relu())
        return scores


def pooled(scores: Tensor) -> Tensor:
    """Return a picture's scores (B, K) from its positions' (B, K, h, w): a soft maximum.

    log(mean(exp(r s))) / r [Pinheiro & Collobert, "From image-level to pixel-level labeling", CVPR 2015].
    """
    flat = scores.flatten(2) * SHARPNESS
    count = torch.tensor(float(flat.shape[2]), device=flat.device)
    return (flat.logsumexp(2) - count.log()) / SHARPNESS


@dataclass(frozen=True)
class Facts:
    """What a model's file says of it."""

    classes: tuple[str, ...]
    layer: str
    """The tap that the head reads."""
    side: int
    """Side (px) of the pictures it learnt from."""
    grey: bool
    """Whether it sees brightness alone."""
    trunk: Mapping[str, str]
    """``name``, ``flavour`` and ``sha256`` of the VGG-19 weights."""
    data: Mapping[str, int]
    """Pictures by ``class: folder``."""
    terms: str
    """On what terms the pictures were to be had, as the person who trained it said."""
    options: Mapping[str, Any]
    accuracy: float | None = None
    """Share of held-out pictures whose class was told; None before it is measured."""
    confusion: tuple[tuple[int, ...], ...] = ()
    """Held-out pictures by true class (rows) and told class (columns)."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Facts:
        """Build from JSON values; raises KeyError, TypeError or ValueError for those of something else."""
        own = dict(values)
        own["classes"] = tuple(str(name) for name in own["classes"])
        own["confusion"] = tuple(tuple(row) for row in own["confusion"])
        return cls(**own)


@dataclass(frozen=True)
class Segmenter:
    """The network, ready to run; see :func:`open_segmenter`."""

    weights: VGGWeights
    head: Head
    facts: Facts

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names, in the order of the scores."""
        return self.facts.classes

    def __call__(
        self, picture: Tensor, taps: Sequence[str] = (), *, guided: bool = False
    ) -> tuple[Tensor, list[Tensor]]:
        """Return scores by place (B, K, h, w) and the features at ``taps`` (``pool2``, ``relu3_1``, ...).

        ``picture`` (B, 3, H, W), sRGB in [0, 1]. ``guided`` makes the backward drop negative gradients at
        each ReLU. Plain autograd all along, so that scores can be differentiated by the features.
        """
        if self.facts.grey:
            picture = luma(picture).expand_as(picture)
        matrix, bias = self.weights.colour
        x = torch.einsum("oi,bihw->bohw", matrix.to(picture), picture) + bias.to(picture).view(1, -1, 1, 1)
        rectified = _GuidedReLU.apply if guided else torch.relu
        taken: dict[str, Tensor] = {}
        for block, count in enumerate(BLOCKS, 1):
            for number in range(1, count + 1):
                weight, shift = (t.to(picture) for t in self.weights.convs[f"conv{block}_{number}"])
                x = rectified(F.conv2d(x, weight, shift, padding=1))
                taken[name := f"relu{block}_{number}"] = x
                if name == self.facts.layer:
                    scores: Tensor = self.head.outer(rectified(self.head.hidden(x)))
                    return scores, [taken[tap(t).name] for t in taps]
            x = taken[f"pool{block}"] = F.max_pool2d(x, 2)
        raise AssertionError("the head's layer is none of the trunk's")

    def scores(self, picture: Tensor) -> Tensor:
        """Return the probabilities (B, K) of the classes."""
        with torch.no_grad():
            return pooled(self(picture)[0]).softmax(1)

    @property
    def sha256(self) -> str:
        """A hash of what was learnt."""
        found = hashlib.sha256()
        for name, tensor in sorted(self.tensors().items()):
            found.update(name.encode() + tensor.contiguous().numpy().tobytes())
        return found.hexdigest()

    def tensors(self) -> dict[str, Tensor]:
        """Return all that was learnt, by name; see :func:`segmenter_of`."""
        return {f"head.{name}": tensor for name, tensor in self.head.state_dict().items()}

    def write(self, path: Path) -> None:
        """Write the model; :class:`katazome.errors.OutputError` when it cannot be."""
        KIND.write(path, self.tensors(), self.facts.to_json())


def segmenter_of(tensors: Mapping[str, Tensor], facts: Mapping[str, Any], weights: VGGWeights) -> Segmenter:
    """Build a segmenter from what :meth:`Segmenter.tensors` and :meth:`Facts.to_json` returned.

    Raises :class:`ValueError` for those of something else.
    """
    try:
        known = Facts.from_json(facts)
        head = Head(int(tensors["head.inner.weight"].shape[1]), len(known.classes))
        head.load_state_dict({name.removeprefix("head."): t for name, t in tensors.items()})
    except (KeyError, TypeError, RuntimeError) as error:
        raise ValueError(str(error)) from error
    return Segmenter(weights, head.requires_grad_(False).eval(), known)


def open_segmenter(path: Path, weights: VGGWeights) -> Segmenter:
    """Read a model's file.

    Raises :class:`GivenWeightsError` when it is none, or was trained on other VGG-19 weights.
    """
    tensors, card, _ = KIND.read(path)
    try:
        found = segmenter_of(tensors, card, weights)
    except ValueError as error:
        raise KIND.wrong(path, str(error)) from error
    return fitting(found, weights, str(path))


def fitting(segmenter: Segmenter, weights: VGGWeights, name: str) -> Segmenter:
    """Return a segmenter if it was trained on the network in use, else raise :class:`GivenWeightsError`."""
    if segmenter.facts.trunk["sha256"] != weights.sha256:
        raise GivenWeightsError(
            f"{name} was trained on the network {segmenter.facts.trunk['name']}, in use is {weights.name}; "
            "give that one by --weights, or train again"
        )
    return segmenter


class _GuidedReLU(torch.autograd.Function):
    """ReLU whose backward also drops negative gradients [Springenberg et al. 2015]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        made = x.relu()
        ctx.save_for_backward(made)
        return made

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (made,) = ctx.saved_tensors
        passed: Tensor = grad * ((made > 0) & (grad > 0))
        return passed

"""The way from one set of pictures to another in feature space, and how far along it to go.

Sources: Upchurch et al., "Deep feature interpolation for image content changes", CVPR 2017, and the second
source document. They mean different things by the step, so each is a convention by name (sheet 2, 2.4):

=========  ===========================================================  ==================================
``layer``  phi + a |phi_l| w_l / |w_l| for each layer l                 the second source document
``beta``   phi + a w / mean(w^2), over all layers                       the paper's code, on LFW
``plain``  phi + a w                                                    the paper's code, on large faces
``unit``   phi / |phi| + a w' / |w'|, w' of features over their norms   the paper's words
=========  ===========================================================  ==================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from katazome.device import exact_dtype
from katazome.errors import MethodError

CONVENTIONS = ("layer", "beta", "plain", "unit")

STRENGTHS: Mapping[str, float] = {"layer": 0.4, "beta": 0.4, "plain": 2.5, "unit": 0.4}
"""Each convention's own default. They are not exchangeable."""

Maps = Mapping[str, Tensor]
"""Feature maps (1, C, h, w) by tap."""


@dataclass(frozen=True)
class Direction:
    """Mean features of a target's set less those of a source's: ``maps`` by tap, float32.

    ``matrix`` (2, 3) float64 and ``side`` are the frame (:class:`katazome.faces.align.Frame`) of the input in
    which features are compared; ``face`` says whether a face is in it. ``pixels`` (1, 3, side, side) is the
    plain difference of the mean pictures. ``unit`` says that each picture's features were divided by their
    norm. ``facts`` are plain JSON values: of how many pictures, chosen how.
    """

    maps: Maps
    pixels: Tensor
    matrix: Tensor
    side: int
    face: bool
    unit: bool
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """A hash of the direction and the frame."""
        found = hashlib.sha256()
        for name, tensor in sorted(self.tensors().items()):
            found.update(name.encode() + tensor.contiguous().numpy().tobytes())
        return found.hexdigest()

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name; see :meth:`of`."""
        maps = {f"maps.{name}": tensor for name, tensor in self.maps.items()}
        return {**maps, "pixels": self.pixels, "matrix": self.matrix}

    def to_json(self) -> dict[str, Any]:
        """Return all else, as plain JSON values."""
        return {"side": self.side, "face": self.face, "unit": self.unit, "facts": dict(self.facts)}

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> Direction:
        """Build from what :meth:`tensors` and :meth:`to_json` returned; KeyError for anything else."""
        maps = {name.removeprefix("maps."): t for name, t in tensors.items() if name.startswith("maps.")}
        return cls(
            maps,
            tensors["pixels"],
            tensors["matrix"],
            int(values["side"]),
            bool(values["face"]),
            bool(values["unit"]),
            dict(values["facts"]),
        )


class RunningMean:
    """The mean of feature maps that come one after another; memory does not grow with their number."""

    def __init__(self) -> None:
        self.count = 0
        self._total: dict[str, Tensor] = {}

    def add(self, maps: Maps) -> None:
        """Add maps (B, C, h, w) of B pictures."""
        for name, some in maps.items():
            total = some.float().sum(0, keepdim=True)
            self._total[name] = self._total[name] + total if name in self._total else total
        self.count += next(iter(maps.values())).shape[0]

    def maps(self) -> dict[str, Tensor]:
        """Return the means (1, C, h, w)."""
        return {name: total / self.count for name, total in self._total.items()}


def norm(maps: Iterable[Tensor]) -> Tensor:
    """Return the Euclidean length of several maps together, in exact arithmetic; shape ()."""
    return torch.stack([m.to(exact_dtype(m.device)).square().sum() for m in maps]).sum().sqrt()


def by_norm(maps: Maps) -> dict[str, Tensor]:
    """Return the maps (B, C, h, w) of each picture over their length together."""
    squares = torch.stack([m.to(exact_dtype(m.device)).square().sum((1, 2, 3)) for m in maps.values()]).sum(0)
    length = squares.sqrt().clamp_min(torch.finfo(squares.dtype).tiny)
    return {name: (m / length.view(-1, 1, 1, 1).to(m)) for name, m in maps.items()}


def pushed(convention: str, strength: float, features: Maps, direction: Maps) -> dict[str, Tensor]:
    """Return the features that are asked for: ``features`` moved along ``direction`` by ``strength``.

    Under ``unit`` they are over their norm (:func:`by_norm`), as is what ``direction`` was made of.

    Raises :class:`MethodError` where the direction has no length: both sets look the same.
    """
    if convention == "unit":
        features = by_norm(features)
    lengths = {name: norm([w]) for name, w in direction.items()}
    whole = norm(direction.values())
    if not all(float(length) > 0 for length in lengths.values()):
        raise MethodError(
            "both sets of pictures look the same to the network; there is no way from one to the other"
        )
    if convention == "layer":
        steps = {name: norm([features[name]]) / lengths[name] for name in direction}
    elif convention == "beta":
        count = sum(w.numel() for w in direction.values())
        steps = dict.fromkeys(direction, count / whole.square())
    else:
        steps = dict.fromkeys(direction, torch.ones_like(whole) if convention == "plain" else 1 / whole)
    return {name: features[name] + (strength * steps[name]).to(w) * w for name, w in direction.items()}

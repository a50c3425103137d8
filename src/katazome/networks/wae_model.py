"""Files of autoencoders of style and content: written in half precision, each with its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from katazome.errors import GivenWeightsError
from katazome.networks.vgg import Encoder
from katazome.networks.wae import STYLE_TAPS, WAE
from katazome.weights.flavours import VGGWeights
from katazome.weights.modelfile import Card, Kind
from katazome.weights.shelf import Shelf

KIND = Kind("wae", 2, "autoencoder of style and content", "katazome train wae --images DIR -o MODEL")

DEFAULT = "spatial"
"""The autoencoder that is taken where none is named."""


@dataclass(frozen=True, kw_only=True)
class Facts(Card):
    """What a model's file says of it; ``losses``: see ``WAELesson.measure``."""

    spatial: bool
    content_size: int
    style_size: int
    side: int
    """Side (px) of the pictures it learnt from."""
    channels: tuple[int, ...]
    """The trunk's, at the taps that the style is read from."""
    variational: bool = False

    def net(self) -> WAE:
        """Return a network of this shape, not learnt."""
        return WAE(
            self.channels,
            self.content_size,
            self.style_size,
            self.side,
            spatial=self.spatial,
            variational=self.variational,
        )


@dataclass(frozen=True, kw_only=True)
class WAEWeights:
    """What an autoencoder has learnt; float32, on the CPU."""

    name: str
    sha256: str
    facts: Facts
    tensors: Mapping[str, Tensor]
    """The state of :class:`katazome.networks.wae.WAE`."""

    @staticmethod
    def of(name: str, sha256: str, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> WAEWeights:
        """Build from the tensors and the card of a file; :class:`ValueError` for those of something else."""
        try:
            facts = Facts(**{**card, "channels": tuple(card["channels"])})
            whole = {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
            WAEWeights(name=name, sha256=sha256, facts=facts, tensors=whole).net()
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"it lacks what it should have, or has more ({error})") from error
        return WAEWeights(name=name, sha256=sha256, facts=facts, tensors=whole)

    def net(self) -> WAE:
        """Return the network, in the state to be used."""
        with torch.random.fork_rng():  # what it begins with is drawn, and nobody's draws shall be spent on it
            net = self.facts.net()
        net.load_state_dict(dict(self.tensors))
        return net.requires_grad_(False).eval()

    def to_json(self) -> dict[str, Any]:
        """Return all but the tensors as JSON values, for a checkpoint."""
        return {"name": self.name, "sha256": self.sha256, "card": asdict(self.facts)}

    def write(self, path: Path) -> None:
        """Write it in half precision; :class:`katazome.errors.OutputError` when it cannot be."""
        learnt = {name for name, _ in self.net().named_parameters()}
        tensors = {n: t.detach().half() if n in learnt else t for n, t in self.tensors.items()}
        KIND.write(path, tensors, asdict(self.facts))

    def fitting(self, weights: VGGWeights) -> WAEWeights:
        """Return this if it reads the network in use, else raise :class:`GivenWeightsError`."""
        if self.facts.trunk["sha256"] != weights.sha256:
            raise GivenWeightsError(
                f"{self.name} was trained on the network {self.facts.trunk['name']}, in use is "
                f"{weights.name}; give that one by --weights, or train again"
            )
        return self


SHELF = Shelf(KIND, DEFAULT, WAEWeights, WAEWeights.of)
"""The autoencoders there are."""


def channels_of(encoder: Encoder) -> tuple[int, ...]:
    """Return the trunk's channels at the taps that the style is read from."""
    return tuple(encoder.channels(name) for name in STYLE_TAPS)

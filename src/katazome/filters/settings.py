"""What a rank is made with: the network, the layers, the side of pictures, the precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from katazome.errors import OptionError
from katazome.networks.vgg import deepest, tap
from katazome.options import Options, option
from katazome.weights.flavours import VGGWeights

LAYERS = ("relu4_1", "relu5_1")


@dataclass(frozen=True, slots=True, kw_only=True)
class RankOptions(Options):
    """What a rank is made with; two ranks can be merged when these are the same."""

    layers: tuple[str, ...] = option(LAYERS, help="Layers whose filters are ranked", group="Look")
    side: int = option(
        224,
        help="Side that pictures are cut and resized to; the network was trained at 224",
        unit="px",
        low=32,
        high=2048,
    )
    precision: str = option(
        "auto",
        help="Arithmetic of the network; auto takes bfloat16 where it is fast",
        choices=("auto", "float32", "bfloat16"),
        group="Work",
    )

    def __post_init__(self) -> None:
        Options.__post_init__(self)
        if not self.layers:
            raise OptionError("layers is empty; name at least one layer, such as relu5_1")
        for name in self.layers:
            known = tap(name).name
            if not known.startswith("relu"):
                near = known.replace("conv", "relu")
                raise OptionError(f"layers has '{name}'; filters are ranked after the ReLU, as {near}")
        least = 2 * deepest(self.layers).stride
        if self.side < least:
            raise OptionError(f"side is {self.side}; {deepest(self.layers).name} needs at least {least}")

    @property
    def names(self) -> tuple[str, ...]:
        """The layers by their full names, each once."""
        return tuple(dict.fromkeys(tap(name).name for name in self.layers))


@dataclass(frozen=True, slots=True)
class Network:
    """Which network the numbers of filters belong to."""

    name: str = field(compare=False)
    flavour: str
    sha256: str

    @classmethod
    def of(cls, weights: VGGWeights) -> Network:
        """The network of weights in hand."""
        return cls(weights.name, weights.flavour, weights.sha256)

    def __str__(self) -> str:
        return f"{self.name} ({self.flavour}, {self.sha256[:12]})"


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """Yield ``side 224 and 128`` for each value that differs."""
    for key in one:
        if one[key] != other.get(key):
            pair = [",".join(v) if isinstance(v, (list, tuple)) else v for v in (one[key], other.get(key))]
            yield f"{key} {pair[0]} and {pair[1]}"

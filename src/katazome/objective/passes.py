"""Memory and time of pictures that are made in one pass, foretold as those of a descent are."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from katazome.device import describe, resident_memory
from katazome.networks.decoders import Decoder
from katazome.networks.vgg import Encoder
from katazome.objective.plan import COLOURS, FLOAT, Leg, duration, share_of_memory, sharing
from katazome.objective.sharing import ALONE, Partners
from katazome.objective.tiles import halo
from katazome.processes import from_first

_WORK_BYTES = {torch.float32: 1750, torch.bfloat16: 1200, torch.float64: 3500}
"""Bytes for each pixel that is encoded or decoded at once; measured at 512 to 1024 px."""

_KEPT_BYTES = 32
"""Bytes for each pixel of features that are kept of the whole picture, at most."""

_PICTURES_HELD = 7
"""Float pictures alive at once: content, style, the results of two levels, the finished one and its copy."""

_SHARE_OF_FREE = 0.7
_TILE_WORKSPACE = 3 << 28
_CORES = (1536, 1024, 768, 512, 384, 256)
_PROBE = 128
_BANDS = 1 << 28
_WIDEST = 64
"""Border (px) of a tile, at most."""
"""Bytes that a network's bands take at once; measured."""

_WARM_UP_SECONDS = 0.3


@dataclass(frozen=True)
class PassPlan:
    """The plan of one pass; see :class:`katazome.objective.plan.Plan`."""

    encoder: Encoder
    decoders: Sequence[Decoder]
    legs: Sequence[Leg]
    style_pixels: int
    tile: int | None
    memory: int
    processes: int = 1

    def seconds(self) -> float:
        """See :class:`katazome.objective.plan.Plan`."""
        leg = self.legs[-1]
        pixels = leg.height * leg.width / self.processes
        again = 1
        if self.tile is not None:
            pixels = int(pixels * (1 + 2 * halo([self.decoders[0].layer]) / self.tile) ** 2)
            again = 1 if len(self.decoders) == 1 else 2
        total = _WARM_UP_SECONDS
        picture = torch.rand(1, 3, _PROBE, _PROBE, device=self.encoder.device)
        for decoder in self.decoders:
            features = self.encoder(picture, [decoder.layer])[decoder.layer]
            encoding = _timed(partial(self.encoder, picture, [decoder.layer]))
            decoding = _timed(partial(decoder, features))
            total += (again * encoding + decoding) * pixels / _PROBE**2
            if decoder is self.decoders[0]:  # the deepest layer's encoding gives a style's statistics at all
                total += encoding * self.style_pixels / _PROBE**2
        return total

    def sentence(self, seconds: float | None = None) -> str:
        """See :class:`katazome.objective.plan.Plan`."""
        leg = self.legs[-1]
        levels = f", {len(self.decoders)} levels" if len(self.decoders) > 1 else ""
        cut = f", tiles of {self.tile} px" if self.tile else ""
        several, each = sharing(self.processes)
        precision = str(leg.dtype).removeprefix("torch.")
        line = (
            f"{leg.width} x {leg.height} px in one pass{levels}, {precision}{cut}, "
            f"{describe(self.encoder.device)}{several}: about {self.memory / 2**30:.1f} GiB{each}"
        )
        return line + (f" and {duration(seconds)}" if seconds is not None else "")


def _timed(run: Callable[[], object]) -> float:
    times = []
    for _ in range(2):  # the first time something is made ready
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times)


def choose_pass_tile(
    height: int,
    width: int,
    layers: Sequence[str],
    dtype: torch.dtype,
    device: torch.device,
    partners: Partners = ALONE,
) -> int | None:
    """Return None when the whole picture fits in free memory, else the side of a core that does.

    Of several processes that share the picture, the first one's memory decides for all.
    """
    free = from_first(lambda: share_of_memory(device, partners))
    room = _SHARE_OF_FREE * free - _held(height, width)
    if _WORK_BYTES[dtype] * height * width < min(room, _TILE_WORKSPACE * 2):
        return None
    for core in _CORES:
        if _WORK_BYTES[dtype] * (core + 2 * halo(layers)) ** 2 <= min(_TILE_WORKSPACE, room):
            return core
    return _CORES[-1]


def foretell_pass(
    encoder: Encoder,
    decoders: Sequence[Decoder],
    size: tuple[int, int],
    style_sizes: Sequence[tuple[int, int]],
    tile: int | None,
    parts: int,
    processes: int = 1,
) -> PassPlan:
    """Return the plan of one pass over a picture of ``size`` that is made in so many ``parts``."""
    height, width = size
    dtype = encoder.settings.dtype
    largest = max(h * w for h, w in (size, *style_sizes))
    worked = largest if tile is None else min(largest, (tile + 2 * halo([decoders[0].layer])) ** 2)
    weights = sum(t.numel() for d in decoders for pair in d.weights.convs.values() for t in pair)
    memory = resident_memory() + _held(*size) + _WORK_BYTES[dtype] * worked + 8 * FLOAT * weights
    legs = [Leg(height, width, dtype, parts)]
    return PassPlan(
        encoder, tuple(decoders), legs, sum(h * w for h, w in style_sizes), tile, memory, processes
    )


def _held(height: int, width: int) -> int:
    return (_PICTURES_HELD * COLOURS * FLOAT + _KEPT_BYTES) * height * width


class Making(Protocol):
    """A network that makes a picture (1, 3, H, W) of a picture."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes for each pixel that is made at once."""

    def __call__(self, picture: Tensor, /) -> Tensor:
        """Make it."""


@dataclass(frozen=True)
class NetworkPlan:
    """The plan of a picture that one network makes; see :class:`katazome.objective.plan.Plan`."""

    network: Making
    legs: Sequence[Leg]
    tile: int | None = None
    """Side of a tile's core (px), for networks of which no place asks the whole picture."""
    processes: int = 1
    """How many share the tiles."""

    @property
    def memory(self) -> int:
        """See :class:`katazome.objective.plan.Plan`."""
        leg = self.legs[-1]
        pixels = leg.height * leg.width
        once = pixels if self.tile is None else min(pixels, (self.tile + 2 * _WIDEST) ** 2)
        held = _PICTURES_HELD * COLOURS * FLOAT * pixels
        return resident_memory() + held + self.network.bytes_per_pixel * once + _BANDS

    def seconds(self) -> float:
        """See :class:`katazome.objective.plan.Plan`."""
        leg = self.legs[-1]
        picture = torch.rand(1, 3, _PROBE, _PROBE, device=self.network.device)
        made = _timed(partial(self.network, picture))
        return _WARM_UP_SECONDS + made * leg.height * leg.width / self.processes / _PROBE**2

    def sentence(self, seconds: float | None = None) -> str:
        """See :class:`katazome.objective.plan.Plan`."""
        leg = self.legs[-1]
        cut = f", tiles of {self.tile} px" if self.tile else ""
        several, each = sharing(self.processes)
        line = (
            f"{leg.width} x {leg.height} px in one pass, {str(leg.dtype).removeprefix('torch.')}{cut}, "
            f"{describe(self.network.device)}{several}: about {self.memory / 2**30:.1f} GiB{each}"
        )
        return line + (f" and {duration(seconds)}" if seconds is not None else "")

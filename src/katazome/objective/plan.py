"""Memory and time foretold, tiles and history chosen by them.

Memory is counted from what the code keeps (constants measured on the real network are marked as
such); time is measured: one small evaluation on this machine, now, scaled by pixels.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from katazome.device import describe, free_memory, resident_memory
from katazome.networks.vgg import Encoder, deepest
from katazome.objective.sharing import ALONE, FORWARD_SHARE, Partners, busiest
from katazome.objective.tiles import halo
from katazome.processes import from_first

COLOURS = 3
FLOAT = 4

_WORK_BYTES = {torch.float32: 2700, torch.bfloat16: 1650, torch.float64: 5400}
"""Bytes for each pixel encoded with its backward to relu5_1; measured at 512 to 1024 px."""

_PICTURES_HELD = 12
"""Float pictures alive at once beside the history: iterate, gradient, their last ones, the best, ..."""

_SHARE_OF_FREE = 0.7
_TILE_WORKSPACE = 1 << 30  # of a huge picture little else fits beside it in 6 GiB
_CORES = (1536, 1024, 768, 512, 384, 256)
_HISTORY_BUDGET = 5 << 28  # 1.25 GiB
_FEWEST_PAIRS = 3
_PROBE = 256
WARM_UP_SECONDS = 1.5
"""Of a process's first piece of work."""


@dataclass(frozen=True, slots=True)
class Leg:
    """So many evaluations of a picture of one size at one precision."""

    height: int
    width: int
    dtype: torch.dtype
    evaluations: int


class Plan(Protocol):
    """What is going to happen. ``memory`` in bytes (peak of the whole process), ``tile`` in px or None."""

    @property
    def legs(self) -> Sequence[Leg]:
        """The stretches of the work."""

    @property
    def tile(self) -> int | None:
        """Side of a tile's core, None for the whole picture at once."""

    @property
    def processes(self) -> int:
        """How many of the processes that share the picture have work at its final size."""

    @property
    def memory(self) -> int:
        """Peak of the whole process."""

    def seconds(self) -> float:
        """Measure this machine's speed on a small picture and foretell the time of the whole work."""

    def sentence(self, seconds: float | None = None) -> str:
        """Say size, memory and, when given, time in one line."""


@dataclass(frozen=True)
class DescentPlan:
    """The plan of a descent; see :class:`Plan`."""

    encoder: Encoder
    taps: tuple[str, ...]
    legs: Sequence[Leg]
    octaves: int
    tile: int | None
    history: int
    memory: int
    partners: Partners = ALONE

    @property
    def processes(self) -> int:
        """See :class:`Plan`."""
        last = self.legs[-1]
        cut = len(self.partners.grid(last.height, last.width, self.taps, self.tile)) > 1
        return self.partners.size if cut else 1

    def seconds(self) -> float:
        """See :class:`Plan`."""
        used = {leg.dtype for leg in self.legs}
        speeds = {dtype: seconds_per_pixel(self.encoder, self.taps, dtype) for dtype in used}
        return WARM_UP_SECONDS + sum(
            speeds[leg.dtype] * leg.evaluations * self._pixels_worked(leg)
            + self._targets(leg, speeds[leg.dtype])
            for leg in self.legs
        )

    def _pixels_worked(self, leg: Leg) -> float:
        total = 0.0
        for octave in range(self.octaves):
            height, width = leg.height >> octave, leg.width >> octave
            grid = self.partners.grid(height, width, self.taps, self.tile)
            total += busiest(grid, self.partners.size)
        return total

    def _targets(self, leg: Leg, speed: float) -> float:
        """Time to encode content and style once."""
        return 2 * FORWARD_SHARE * speed * self._pixels_worked(leg)

    def sentence(self, seconds: float | None = None) -> str:
        """Say size, scales, memory and, when given, time in one line."""
        last = self.legs[-1]
        sizes = list(dict.fromkeys((leg.width, leg.height) for leg in self.legs))
        path = " > ".join(str(max(size)) for size in sizes)
        precision = " then ".join(dict.fromkeys(str(leg.dtype).removeprefix("torch.") for leg in self.legs))
        cut = f", tiles of {self.tile} px" if self.tile else ""
        several, each = sharing(self.processes)
        line = (
            f"{last.width} x {last.height} px by way of {path}, "
            f"{sum(leg.evaluations for leg in self.legs)} iterations, {precision}{cut}, "
            f"{describe(self.encoder.device)}{several}: about {self.memory / 2**30:.1f} GiB{each}"
        )
        return line + (f" and {duration(seconds)}" if seconds is not None else "")


def sharing(processes: int) -> tuple[str, str]:
    """Say how many processes share the tiles, and that memory is that of each."""
    return (f", {processes} processes", " each") if processes > 1 else ("", "")


def duration(seconds: float) -> str:
    """Write a time in words a person uses: ``45 s``, ``2 min 10 s``, ``3 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def seconds_per_pixel(encoder: Encoder, taps: Sequence[str], dtype: torch.dtype) -> float:
    """Measure, on a small picture, the seconds for each pixel of one evaluation with its gradient."""
    prepared = encoder.with_(dtype=dtype)
    picture = torch.rand(1, 3, _PROBE, _PROBE, device=encoder.device)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        _evaluate(prepared, picture, taps)
        times.append(time.perf_counter() - began)
    return min(times) / _PROBE**2


def choose_history(height: int, width: int, wanted: int) -> int:
    """Return how many L-BFGS pairs fit in 1.25 GiB, at most ``wanted``, at least three."""
    pair = 2 * COLOURS * FLOAT * height * width
    return max(_FEWEST_PAIRS, min(wanted, _HISTORY_BUDGET // pair))


def choose_tile(
    height: int,
    width: int,
    taps: Sequence[str],
    dtype: torch.dtype,
    history: int,
    device: torch.device,
    partners: Partners = ALONE,
) -> int | None:
    """Return None when the whole picture fits in free memory, else the side of a core that does.

    Of several processes that share the picture, the first one's memory decides for all.
    """
    free = from_first(lambda: share_of_memory(device, partners))
    held = _held(height, width, history)
    if held + _WORK_BYTES[dtype] * height * width < _SHARE_OF_FREE * free:
        return None
    room = min(_TILE_WORKSPACE, max(0.0, _SHARE_OF_FREE * free - held))
    for core in _CORES:
        if _WORK_BYTES[dtype] * (core + 2 * halo(taps)) ** 2 <= room:
            return core
    return _CORES[-1]


def share_of_memory(device: torch.device, partners: Partners) -> int:
    """Bytes that one of the processes can take now: a card is its own, main memory is all processes'."""
    return free_memory(device) // (1 if device.type == "cuda" else partners.size)


def foretell(
    encoder: Encoder,
    taps: Sequence[str],
    legs: Sequence[Leg],
    *,
    octaves: int,
    tile: int | None,
    history: int,
    partners: Partners = ALONE,
) -> DescentPlan:
    """Return the plan of a descent over ``legs`` with ``history`` pictures of optimiser memory pairs."""
    peak = 0
    for leg in legs:
        core = tile if tile is not None and max(leg.height, leg.width) > tile else None
        area = leg.height * leg.width if core is None else (core + 2 * halo(taps)) ** 2
        if partners.size > 1:
            grid = partners.grid(leg.height, leg.width, taps, tile)
            area = max((t.outer.bottom - t.outer.top) * (t.outer.right - t.outer.left) for t in grid)
        targets = 2 * leg.height * leg.width * _target_bytes(leg.dtype)
        peak = max(peak, _held(leg.height, leg.width, history) + _WORK_BYTES[leg.dtype] * area + targets)
    memory = resident_memory() + _weight_bytes(encoder, taps, legs) + peak
    return DescentPlan(encoder, tuple(taps), tuple(legs), octaves, tile, history, memory, partners)


def _held(height: int, width: int, history: int) -> int:
    return (_PICTURES_HELD + 2 * history) * COLOURS * FLOAT * height * width


def _target_bytes(dtype: torch.dtype) -> int:
    # relu4_2: 512 channels for every 64 pixels
    return 8 * torch.empty((), dtype=dtype).element_size()


def _weight_bytes(encoder: Encoder, taps: Sequence[str], legs: Sequence[Leg]) -> int:
    """Bytes of prepared convolutions: forward and backward, and their Winograd forms in float32."""
    total = 0
    last = deepest(taps).block
    for dtype in {leg.dtype for leg in legs}:
        prepared = encoder.with_(dtype=dtype)
        for name, (weight, _) in encoder.weights.convs.items():
            if int(name[4]) <= last:
                size = weight.numel() * torch.empty((), dtype=dtype).element_size()
                total += (2 + 8 * prepared.uses_winograd(name)) * size  # 36 entries for 9, twice
    return total


def _evaluate(encoder: Encoder, picture: Tensor, taps: Sequence[str]) -> None:
    with torch.enable_grad():
        leaf = picture.detach().requires_grad_()
        features = encoder(leaf, taps)
        torch.autograd.backward([f.float().square().mean() for f in features.values()])
    float(leaf.grad.sum()) if leaf.grad is not None else None

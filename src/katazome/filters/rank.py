"""The pass over the pictures: for each filter the one maximum after the ReLU, and where it was.

Source: what the Deep Visualization Toolbox records [Yosinski et al., "Understanding neural networks
through deep visualization", 2015]: one value for a picture and a filter, so that the nine most exciting
pictures are nine different ones. As there, the border is padded with zeros, which is how the network was
trained. Departures: pictures keep their aspect ratio (they are cut to a square, not squeezed), and all
maxima are kept, not the best nine alone, because the area under the ROC curve needs them.

Nothing is held but the shard at hand: a pass over any number of pictures takes the same memory.
"""

from __future__ import annotations

import os
from collections.abc import Container, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.collections.folders import Loaded, Source, find, find_masks, load
from katazome.device import supports_bfloat16
from katazome.errors import OptionError
from katazome.filters.record import Folder
from katazome.filters.settings import Network, RankOptions, differing
from katazome.networks.vgg import Encoder, EncoderSettings, tap
from katazome.weights.flavours import VGGWeights

SHARD = 256
"""Pictures in a shard: the most that a kill can lose."""

_BATCH, _BATCH_CPU = 64, 8
_AS_TRAINED = EncoderSettings(padding=("zeros", "zeros"))


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a pass stands."""

    done: int
    """Pictures dealt with, in earlier passes too."""
    total: int
    skipped: int
    """Of those done in this pass, how many could not be read."""


def begin(
    weights: VGGWeights,
    folders: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    options: RankOptions | None = None,
    *,
    masks: str | os.PathLike[str] | None = None,
    device: torch.device | str = "cpu",
    batch: int | None = None,
    workers: int | None = None,
) -> Pass:
    """Begin a rank of the pictures under ``folders`` in the folder ``output``, or take up one that was begun.

    Args:
        weights: the network.
        folders: where pictures are looked for, and below.
        output: the rank's folder.
        options: what the rank is made with. ``precision`` auto is what a begun rank has.
        masks: a folder of masks of the object, named as the pictures, for the rule ``overlap``.
        device: where the network runs.
        batch: pictures that go through the network together; open: by the device.
        workers: threads that decode; open: by the processor.

    Raises:
        PictureError: a folder is missing or has no pictures; no picture has a mask.
        OptionError: the output holds a rank of something else.
        OutputError: the output cannot be written.
    """
    if not folders:
        raise OptionError("no folder of pictures was given; name one or several")
    device, path, chosen = torch.device(device), Path(output), options or RankOptions()
    begun = Folder.open(path) if Folder.exists(path) else None
    precision = chosen.precision
    if precision == "auto":
        fast = "bfloat16" if supports_bfloat16(device) else "float32"
        precision = fast if begun is None else begun.options.precision
    folder = Folder(
        path=path,
        network=Network.of(weights),
        options=replace(chosen, layers=chosen.names, precision=precision),
        masks=None if masks is None else Path(masks).resolve(),
        pictures=find([Path(f) for f in folders]),
    )
    found = {} if folder.masks is None else find_masks(folder.masks, folder.pictures)
    if begun is None:
        folder.create()
    elif begun != folder:
        raise OptionError(
            f"'{output}' holds a rank of something else ({_difference(begun, folder)}); "
            "name another folder, or delete that one"
        )
    return Pass(
        folder=folder,
        weights=weights,
        masks=found,
        device=device,
        batch=batch or (_BATCH_CPU if device.type == "cpu" else _BATCH),
        workers=workers or decoders(),
    )


def decoders(processes: int = 1) -> int:
    """Return how many threads decode in each of several processes on this machine."""
    return max(1, min(8, (os.cpu_count() or 2) // processes - 1))


def _difference(begun: Folder, wanted: Folder) -> str:
    if begun.network != wanted.network:
        return f"network {begun.network} and {wanted.network}"
    if begun.options != wanted.options:
        return ", ".join(differing(begun.options.to_json(), wanted.options.to_json()))
    if begun.masks != wanted.masks:
        return f"masks {begun.masks or 'none'} and {wanted.masks or 'none'}"
    before, now = ({p.path for p in one.pictures} for one in (begun, wanted))
    if before == now:
        return "the same pictures in another order; name the folders as before"
    return f"other pictures: {len(now - before)} more, {len(before - now)} gone"


@dataclass(eq=False)
class _Shard:
    """What is recorded of a range so far."""

    pictures: list[int] = field(default_factory=list)
    skipped: list[tuple[int, str]] = field(default_factory=list)
    tensors: dict[str, list[Tensor]] = field(default_factory=dict)

    @property
    def indices(self) -> list[int]:
        return [*self.pictures, *(index for index, _ in self.skipped)]


@dataclass(frozen=True, eq=False, kw_only=True)
class Pass:
    """A rank that was begun, with all that goes on with it: it can be sent to another process."""

    folder: Folder
    weights: VGGWeights
    masks: Mapping[Source, Path]
    device: torch.device
    batch: int
    workers: int

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "encoder"}

    @cached_property
    def encoder(self) -> Encoder:
        """The network, made when the first picture is there."""
        dtype = getattr(torch, self.folder.options.precision)
        return Encoder(self.weights, replace(_AS_TRAINED, dtype=dtype), self.device)

    def missing(self, size: int = SHARD) -> list[range]:
        """Return what is still to be ranked, in ranges of at most ``size`` pictures.

        Where that is a multiple of the batch, a picture goes through the network beside the same others
        whoever ranks the range, and in whatever order.
        """
        gaps = self.folder.missing()
        return [gap[start : start + size] for gap in gaps for start in range(0, len(gap), size)]

    def run(self, ranges: Sequence[range]) -> Generator[Progress]:
        """Rank ranges of :meth:`missing`, each into a shard of its own; closing keeps what was ranked.

        Raises :class:`OutputError` when a shard cannot be written.
        """
        pictures = self.folder.pictures
        rest = [(index, pictures[index]) for part in ranges for index in part]
        lasts = {part[-1] for part in ranges}
        done, skipped = len(pictures) - len(rest), 0
        shard = _Shard()
        side = self.folder.options.side
        stream = load(rest, side, self.masks, workers=self.workers, ahead=2 * self.batch)
        try:
            for together in _batches(stream, self.batch, lasts):
                self._record(together, shard)
                done += len(together)
                skipped += sum(one.pixels is None for one in together)
                if together[-1].index in lasts:
                    self._write(shard)
                    shard = _Shard()
                yield Progress(done, len(pictures), skipped)
        finally:
            # also when the caller stops: what has been ranked is kept
            stream.close()
            if shard.indices:
                self._write(shard)

    def _record(self, together: Sequence[Loaded], shard: _Shard) -> None:
        """Pass a batch through the network and note it; nothing is noted where this fails midway."""
        ready = [one for one in together if one.pixels is not None]
        if ready:
            found = self._observed(ready)
            for name, tensor in found.items():
                shard.tensors.setdefault(name, []).append(tensor)
        shard.pictures += [one.index for one in ready]
        shard.skipped += [(one.index, one.reason) for one in together if one.pixels is None]

    @torch.no_grad()
    def _observed(self, ready: Sequence[Loaded]) -> dict[str, Tensor]:
        device, side = self.encoder.device, self.folder.options.side
        pixels = torch.cat([one.pixels for one in ready if one.pixels is not None]).to(device)
        found: dict[str, Tensor] = {}
        masks: Tensor | None = None
        if self.folder.masks is not None:
            nothing = torch.full((1, 1, side, side), torch.nan)
            masks = torch.cat([nothing if one.mask is None else one.mask for one in ready])
            found["mask"] = masks.mean((1, 2, 3))
        features = self.encoder(pixels, self.folder.options.names)
        for name, maps in features.items():
            values, places = maps.flatten(2).max(dim=2)
            found[f"{name}.maxima"] = values.float().cpu()
            found[f"{name}.places"] = places.int().cpu()
            if masks is not None:
                found[f"{name}.overlap"] = overlap(maps.float(), masks.to(device), tap(name).stride).cpu()
        return found

    def _write(self, shard: _Shard) -> None:
        tensors = {name: torch.cat(parts) for name, parts in shard.tensors.items()}
        self.folder.write(min(shard.indices), shard.pictures, tensors, shard.skipped)


def _batches(stream: Iterator[Loaded], size: int, lasts: Container[int]) -> Iterator[list[Loaded]]:
    """Yield up to ``size`` at a time; one of ``lasts`` is the last of its batch."""
    batch: list[Loaded] = []
    for one in stream:
        batch.append(one)
        if len(batch) == size or one.index in lasts:
            yield batch
            batch = []


def overlap(maps: Tensor, masks: Tensor, stride: int) -> Tensor:
    """Return (B, C): the share of each map's energy inside the mask, less the mask's share of the area.

    Args:
        maps: (B, C, h, w) features after a ReLU.
        masks: (B, 1, h * stride, w * stride), or a remainder more, in [0, 1]; NaN stays NaN.
        stride: pixels from one position to the next.

    A silent map has no place: 0.
    """
    inside = F.avg_pool2d(masks, stride)
    energy = maps.square()
    whole = energy.sum((2, 3))
    share = (energy * inside).sum((2, 3)) / whole.clamp_min(torch.finfo(whole.dtype).tiny)
    area = inside.mean((2, 3))
    return torch.where(whole > 0, share - area, 0 * area)

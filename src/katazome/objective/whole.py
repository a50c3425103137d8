"""The objective: losses on features and pixels, at one or more octaves, whole or in tiles.

(a) Tiles are encoded without a graph and every loss gathers its sums; (b) each loss gives its
value and its derivative with respect to those sums, which are small; (c) tiles are encoded once
more and that derivative is pulled back to pixels. With one tile, (a) and (c) are one pass.
Value and gradient are those of the whole picture; only rounding differs.

Idea of exact tiles: Galerne et al., "Scaling painting style transfer", EGSR 2024.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from katazome.device import exact_dtype, trim_heap
from katazome.losses.base import Features, Loss, PixelLoss, Sums, Window
from katazome.networks.vgg import Encoder, tap
from katazome.objective.tiles import Tile, halo, tiles
from katazome.pictures.composite import composite


@dataclass(frozen=True)
class Octave:
    """Losses on the picture after ``halvings`` halvings (0 = the picture itself)."""

    halvings: int
    losses: tuple[Loss, ...]


@dataclass(frozen=True)
class Evaluation:
    """Value, weighted terms by name (tensors of shape (), not yet read) and gradient (1, 3, H, W)."""

    total: Tensor
    terms: Mapping[str, Tensor]
    gradient: Tensor


class Statistics(Protocol):
    """Anything that gathers sums over windows of features."""

    @property
    def taps(self) -> tuple[str, ...]:
        """Layers whose features it needs."""

    def partial(self, features: Features, window: Window) -> Sums:
        """Return the window's share."""


@dataclass(frozen=True)
class Held:
    """What holds a picture outside a region: the losses see ``composite(picture, original, region)``.

    ``region`` (1, 1, H, W) in [0, 1]; ``original`` (1, 3, H, W). Pixels where the region is 0 have
    no gradient and never change, and what is optimised is what will be seen.
    """

    region: Tensor
    original: Tensor


@dataclass(frozen=True)
class Objective:
    """Weighted losses of a picture (1, 3, H, W).

    ``shrink`` halves a picture for the next octave; ``on_pixels`` are losses that need no
    network; ``tile`` is the core's side (px) or None for the whole picture at once; ``held`` keeps
    the picture as it is outside a region.
    """

    encoder: Encoder
    octaves: Sequence[Octave]
    shrink: Callable[[Tensor], Tensor]
    on_pixels: Sequence[PixelLoss] = ()
    tile: int | None = None
    held: Held | None = None

    def __call__(self, picture: Tensor) -> Evaluation:
        """Evaluate at ``picture``; no graph is left behind."""
        terms: dict[str, Tensor] = {}
        with torch.inference_mode(False), torch.enable_grad():
            # What was made under the caller's inference mode cannot be differentiated; a copy can.
            leaf = (picture.clone() if picture.is_inference() else picture.detach()).requires_grad_()
            held = self.held
            shown = leaf if held is None else composite(leaf, held.original, held.region)
            pyramid = [shown]
            for _ in range(max((o.halvings for o in self.octaves), default=0)):
                pyramid.append(self.shrink(pyramid[-1]))
            roots: list[Tensor] = []
            pulls: list[Tensor | None] = []
            for octave in (o for o in self.octaves if o.losses):
                level = pyramid[octave.halvings]
                values, gradient = self._octave(level.detach(), octave.losses)
                roots.append(level)
                pulls.append(gradient)
                for name, value in values.items():
                    terms[name] = terms[name] + value if name in terms else value
            for loss in (one for one in self.on_pixels if one.weight):
                value = loss.weight * loss.of(leaf if loss.on_iterate else shown)
                terms[loss.name] = value.detach().to(exact_dtype(leaf.device))
                roots.append(value)
                pulls.append(None)
            if not roots:
                return Evaluation(
                    leaf.new_zeros((), dtype=exact_dtype(leaf.device)), terms, torch.zeros_like(picture)
                )
            total = torch.stack(list(terms.values())).sum()
            if len(roots) == 1 and roots[0] is leaf and pulls[0] is not None:
                return Evaluation(total, terms, pulls[0])
            torch.autograd.backward(roots, pulls)
        assert leaf.grad is not None
        return Evaluation(total, terms, leaf.grad)

    def _octave(self, picture: Tensor, losses: Sequence[Loss]) -> tuple[dict[str, Tensor], Tensor]:
        grid = list(self._tiles(picture, losses))
        if len(grid) == 1:
            leaf = picture.detach().requires_grad_()
            shares = _shares(self.encoder, leaf, grid[0], losses)
            values, pulls = _derivatives(losses, shares)
            _pull(shares, pulls)
            assert leaf.grad is not None
            return values, leaf.grad
        # Of a huge picture, what pictures leave between pieces of tiles, and tiles between pictures, would
        # be a third of all memory.
        trim_heap()
        with torch.no_grad():
            totals = [dict[str, Tensor]() for _ in losses]
            for tile in grid:
                for total, share in zip(
                    totals, _shares(self.encoder, tile.cut(picture), tile, losses), strict=True
                ):
                    add(total, share)
        values, pulls = _derivatives(losses, totals)
        gradient = torch.zeros_like(picture)
        for tile in grid:
            leaf = tile.cut(picture).detach().requires_grad_()
            _pull(_shares(self.encoder, leaf, tile, losses), pulls)
            assert leaf.grad is not None
            tile.add(gradient, leaf.grad)
        trim_heap()
        return values, gradient

    def _tiles(self, picture: Tensor, losses: Sequence[Loss]) -> Sequence[Tile]:
        taps = tuple(dict.fromkeys(t for loss in losses for t in loss.taps))
        return _grid(self.encoder, picture, taps, self.tile)


def gather(encoder: Encoder, picture: Tensor, statistics: Statistics, tile: int | None = None) -> Sums:
    """Gather the sums of ``statistics`` over a picture (1, 3, H, W), tile by tile, without a graph."""
    total: Sums = {}
    with torch.no_grad():
        for t in _grid(encoder, picture, statistics.taps, tile):
            features = _core_features(encoder, t.cut(picture), t, statistics.taps)
            add(total, statistics.partial(features, t.core))
    return total


def feature_maps(
    encoder: Encoder, picture: Tensor, taps: Sequence[str], tile: int | None = None
) -> dict[str, Tensor]:
    """Return the whole feature maps (1, C, h, w) of a picture at ``taps``, encoded tile by tile."""
    names = [tap(t).name for t in taps]
    maps: dict[str, Tensor] = {}
    with torch.no_grad():
        for t in _grid(encoder, picture, names, tile):
            for name, part in _core_features(encoder, t.cut(picture), t, names).items():
                if name not in maps:
                    stride = tap(name).stride
                    size = (picture.shape[2] // stride, picture.shape[3] // stride)
                    maps[name] = part.new_empty((part.shape[0], part.shape[1], *size)).to(
                        memory_format=torch.channels_last
                    )
                t.core.cut(maps[name], name).copy_(part)
    return maps


def features_in(encoder: Encoder, picture: Tensor, name: str, window: Window) -> Tensor:
    """Return a window's part of the feature map (1, C, h, w) of a picture, without encoding the rest of it.

    The window's edges lie on multiples of :data:`katazome.objective.tiles.ALIGNMENT`, or at the border.
    """
    rim = halo([name])
    height, width = picture.shape[2:]
    outer = Window(
        max(0, window.top - rim),
        min(height, window.bottom + rim),
        max(0, window.left - rim),
        min(width, window.right + rim),
    )
    with torch.no_grad():
        tile = Tile(window, outer)
        return tile.core_of(encoder(tile.cut(picture), [name])[name], name)


def _grid(encoder: Encoder, picture: Tensor, taps: Sequence[str], tile: int | None) -> list[Tile]:
    rows, columns = encoder.settings.padding
    wrap = (rows == "circular", columns == "circular")
    return list(tiles(picture.shape[2], picture.shape[3], taps, tile, wrap))


def _core_features(encoder: Encoder, picture: Tensor, tile: Tile, taps: Sequence[str]) -> Features:
    return {name: tile.core_of(f, name) for name, f in encoder(picture, taps).items()}


def _shares(encoder: Encoder, picture: Tensor, tile: Tile, losses: Sequence[Loss]) -> list[Sums]:
    taps = tuple(dict.fromkeys(t for loss in losses for t in loss.taps))
    features = _core_features(encoder, picture, tile, taps)
    return [loss.partial(features, tile.core) for loss in losses]


def add(total: Sums, share: Mapping[str, Tensor]) -> None:
    """Add a window's share to the total, name by name."""
    for name, value in share.items():
        total[name] = total[name] + value if name in total else value


def _derivatives(
    losses: Sequence[Loss], totals: Sequence[Sums]
) -> tuple[dict[str, Tensor], list[dict[str, Tensor]]]:
    """Return each loss's weighted value, and its derivative by name of sum."""
    values: dict[str, Tensor] = {}
    pulls: list[dict[str, Tensor]] = []
    for loss, total in zip(losses, totals, strict=True):
        leaves = {name: value.detach().requires_grad_() for name, value in total.items()}
        with torch.enable_grad():
            value = loss.weight * loss.value(leaves)
        found = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
        pulls.append({n: g for n, g in zip(leaves, found, strict=True) if g is not None})
        weighted = value.detach().to(exact_dtype(value.device))
        values[loss.name] = values[loss.name] + weighted if loss.name in values else weighted
    return values, pulls


def _pull(shares: Sequence[Sums], pulls: Sequence[Mapping[str, Tensor]]) -> None:
    """Carry the derivatives of the sums back to the picture that the shares were made of."""
    roots, grads = [], []
    for share, pull in zip(shares, pulls, strict=True):
        for name, value in share.items():
            if value.requires_grad and name in pull:
                roots.append(value)
                grads.append(pull[name])
    torch.autograd.backward(roots, grads)

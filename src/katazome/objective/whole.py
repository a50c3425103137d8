"""The objective: losses on features and pixels, at one or more octaves, whole or in tiles.

(a) Tiles are encoded without a graph and every loss gathers its sums; (b) each loss gives its
value and its derivative with respect to those sums, which are small; (c) tiles are encoded once
more and that derivative is pulled back to pixels. With one tile, (a) and (c) are one pass.
Value and gradient are those of the whole picture; only rounding differs. Several processes may share
the tiles (:mod:`katazome.objective.sharing`).

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
from katazome.objective.sharing import ALONE, Partners
from katazome.objective.tiles import Tile, halo
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
    the picture as it is outside a region; ``partners`` share the tiles.
    """

    encoder: Encoder
    octaves: Sequence[Octave]
    shrink: Callable[[Tensor], Tensor]
    on_pixels: Sequence[PixelLoss] = ()
    tile: int | None = None
    held: Held | None = None
    partners: Partners = ALONE

    def __call__(self, picture: Tensor) -> Evaluation:
        """Evaluate at ``picture``; no graph is left behind. The same in all processes that share it."""
        found = self._evaluated(picture)
        if self.partners.size == 1:
            return found
        total, *values = self.partners.told_by_first(torch.stack([found.total, *found.terms.values()]))
        terms = dict(zip(found.terms, values, strict=True))
        return Evaluation(total, terms, self.partners.told_by_first(found.gradient))

    def _evaluated(self, picture: Tensor) -> Evaluation:
        """Evaluate; of several processes, the first alone then has the whole gradient."""
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
        partners, taps = self.partners, tuple(dict.fromkeys(t for loss in losses for t in loss.taps))
        grid = _grid(self.encoder, picture, taps, self.tile, partners)
        own = partners.own(grid)
        if len(own) == 1:
            leaf = own[0].cut(picture).detach().requires_grad_()
            shares = _shares(self.encoder, leaf, own[0], losses)
            totals = [dict(share) for share in shares]
            partners.add_up(grid, totals)
            values, pulls = _derivatives(losses, totals)
            _pull(shares, pulls)
            assert leaf.grad is not None
            if len(grid) == 1:
                return values, leaf.grad
            gradient = _nothing_of(picture)
            own[0].add(gradient, leaf.grad)
            partners.add_up_in_first(grid, gradient)
            return values, gradient
        # Of a huge picture, what pictures leave between pieces of tiles, and tiles between pictures, would
        # be a third of all memory.
        trim_heap()
        with torch.no_grad():
            totals = partners.gathered(
                grid, lambda tile: _shares(self.encoder, tile.cut(picture), tile, losses)
            )
        values, pulls = _derivatives(losses, totals)
        gradient = _nothing_of(picture)
        for tile in own:
            leaf = tile.cut(picture).detach().requires_grad_()
            _pull(_shares(self.encoder, leaf, tile, losses), pulls)
            assert leaf.grad is not None
            tile.add(gradient, leaf.grad)
        partners.add_up_in_first(grid, gradient)
        trim_heap()
        return values, gradient


def gather(
    encoder: Encoder,
    picture: Tensor,
    statistics: Statistics,
    tile: int | None = None,
    partners: Partners = ALONE,
) -> Sums:
    """Gather the sums of ``statistics`` over a picture (1, 3, H, W), tile by tile, without a graph."""

    def share(t: Tile) -> list[Sums]:
        features = _core_features(encoder, t.cut(picture), t, statistics.taps)
        return [statistics.partial(features, t.core)]

    with torch.no_grad():
        (total,) = partners.gathered(_grid(encoder, picture, statistics.taps, tile, partners), share)
    return total


def feature_maps(
    encoder: Encoder,
    picture: Tensor,
    taps: Sequence[str],
    tile: int | None = None,
    partners: Partners = ALONE,
) -> dict[str, Tensor]:
    """Return the whole feature maps (1, C, h, w) of a picture at ``taps``, encoded tile by tile."""
    names = [tap(t).name for t in taps]
    maps = {name: _unwritten(encoder, picture, name) for name in names}

    def make(t: Tile) -> list[Tensor]:
        found = _core_features(encoder, t.cut(picture), t, names)
        return [found[name] for name in maps]

    with torch.no_grad():
        grid = _grid(encoder, picture, names, tile, partners)
        for _ in partners.filled(grid, make, lambda t: [t.core.cut(m, name) for name, m in maps.items()]):
            pass
    return maps


def _unwritten(encoder: Encoder, picture: Tensor, name: str) -> Tensor:
    size = (side // tap(name).stride for side in picture.shape[2:])
    return torch.empty(
        (picture.shape[0], encoder.channels(name), *size),
        dtype=encoder.settings.dtype,
        device=picture.device,
        memory_format=torch.channels_last,
    )


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


def _grid(
    encoder: Encoder, picture: Tensor, taps: Sequence[str], tile: int | None, partners: Partners
) -> Sequence[Tile]:
    rows, columns = encoder.settings.padding
    wrap = (rows == "circular", columns == "circular")
    return partners.grid(picture.shape[2], picture.shape[3], taps, tile, wrap)


def _nothing_of(picture: Tensor) -> Tensor:
    """A gradient to add tiles' to, in an order that processes can add up."""
    return torch.zeros_like(picture, memory_format=torch.contiguous_format)


def _core_features(encoder: Encoder, picture: Tensor, tile: Tile, taps: Sequence[str]) -> Features:
    return {name: tile.core_of(f, name) for name, f in encoder(picture, taps).items()}


def _shares(encoder: Encoder, picture: Tensor, tile: Tile, losses: Sequence[Loss]) -> list[Sums]:
    taps = tuple(dict.fromkeys(t for loss in losses for t in loss.taps))
    features = _core_features(encoder, picture, tile, taps)
    return [loss.partial(features, tile.core) for loss in losses]


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

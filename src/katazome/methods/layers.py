"""Pictures prepared for the work: colours bled and matched, and how much each pixel counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from katazome.errors import PictureError, RegionError
from katazome.methods.base import Style
from katazome.pictures.colour import bleed, luma, match_colour
from katazome.pictures.read import Picture
from katazome.pictures.resize import resize, shrink, shrink_five_tap

FLAT = 0.5 / 255
"""A style whose colours deviate less than this (RMS) is one flat colour."""


@dataclass(frozen=True)
class Layer:
    """A picture prepared for the work, at its own size.

    ``pixels`` (1, 3, H, W), colours bled under what is transparent; ``weight`` (1, 1, H, W) in
    [0, 1] is how much each pixel counts: its alpha, times the region if there is one; None = 1.
    """

    pixels: Tensor
    weight: Tensor | None

    @staticmethod
    def of(picture: Picture, device: torch.device, region: Picture | None = None) -> Layer:
        """Prepare a picture; what is transparent everywhere is an error."""
        weight, pixels = None, picture.pixels
        if picture.alpha is not None:
            if not bool((picture.alpha > 0).any()):
                raise RegionError(
                    f"'{picture.name}' is transparent everywhere; there is nothing to see in it"
                )
            pixels, weight = bleed(pixels, picture.alpha), picture.alpha
        if region is not None:
            part = map_in(region)
            weight = part if weight is None else weight * part
            if not bool((weight > 0).any()):
                raise RegionError(f"all of the region of '{picture.name}' is transparent; choose another")
        return Layer(pixels.to(device), None if weight is None else weight.to(device))

    def within(self, region: Tensor | None) -> Layer:
        """Return it counting only inside a region (1, 1, H, W)."""
        if region is None:
            return self
        return replace(self, weight=region if self.weight is None else self.weight * region)

    def at(self, size: tuple[int, int]) -> Layer:
        """Return it resized to (height, width)."""
        weight = None if self.weight is None else resize(self.weight, size)
        return Layer(resize(self.pixels, size), weight)

    def halved(self, shrink: Callable[[Tensor], Tensor]) -> Layer:
        """Return it at the next octave."""
        return Layer(shrink(self.pixels), None if self.weight is None else shrink(self.weight))

    def grey(self) -> Layer:
        """Return it without colours."""
        return replace(self, pixels=grey(self.pixels))


@dataclass(frozen=True)
class Placed:
    """Styles ready for the work, their shares, the map (1, 1, H, W) of where they act; None = everywhere."""

    looks: Sequence[Layer]
    names: Sequence[str]
    shares: Sequence[float]
    region: Tensor | None

    def halved(
        self, shrink_map: Callable[[Tensor], Tensor], shrink_look: Callable[[Tensor], Tensor]
    ) -> Placed:
        """Return it at the next octave."""
        region = None if self.region is None else shrink_map(self.region)
        return replace(self, looks=[look.halved(shrink_look) for look in self.looks], region=region)


def areas_of(placed: Sequence[Placed], union: Tensor | None) -> list[float]:
    """Return each placement's part of all that is restyled, which ``union`` (1, 1, H, W) maps; None = all."""
    if union is None:
        return [1.0 if p.region is None else float(p.region.mean()) for p in placed]
    whole = max(float(union.sum()), torch.finfo(union.dtype).tiny)
    return [1.0 if p.region is None else float(p.region.sum()) / whole for p in placed]


def map_in(picture: Picture) -> Tensor:
    """Return the map (1, 1, H, W) that a grey picture stands for."""
    return picture.pixels[:, :1]


def grey(pixels: Tensor) -> Tensor:
    """Return a picture's luma in all three colours."""
    return luma(pixels).expand_as(pixels)


def prepared_style(style: Style, colour: str, content: Layer | None, device: torch.device) -> Layer:
    """Return a style in the colours that the work is done in.

    ``colour`` is style, content or luma; for the latter two ``content`` gives the colours to match,
    weighted by where the style is to act.

    Raises :class:`PictureError` when the style is one flat colour.
    """
    layer = Layer.of(style.picture, device, style.region)
    if float(layer.pixels.flatten(2).std(2).square().mean().sqrt()) < FLAT:
        raise PictureError(
            f"the style '{style.picture.name}' is one flat colour; there is no look in it to take"
        )
    if colour == "luma":
        layer = layer.grey()
    if colour == "style" or content is None:
        return layer
    matched = match_colour(
        layer.pixels, content.pixels, source_weight=layer.weight, target_weight=content.weight
    )
    return replace(layer, pixels=matched)


def shrinker(kind: str, wrap: tuple[bool, bool] = (False, False)) -> Callable[[Tensor], Tensor]:
    """Return the operator that halves for the next octave: ``five-tap``, ``valid`` or ``average``."""
    if kind == "average":
        return shrink
    if kind == "valid":
        return shrink_five_tap
    rows, columns = ("circular" if w else "reflect" for w in wrap)
    return partial(shrink_five_tap, border=(rows, columns))

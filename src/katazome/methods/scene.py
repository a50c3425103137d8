"""What is restyled, and with what: the pictures of a piece of work, ready for any method.

Sizes, colours, transparency, regions and shares of styles are the same for all methods that restyle a
picture, whether they optimise it or make it in one pass, and stand here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.errors import MethodError, OptionError, RegionError
from katazome.methods.base import Engine, Inputs
from katazome.methods.layers import Layer, Placed, grey, map_in, prepared_style
from katazome.methods.options import ChangingOptions, PictureOptions, RestylingOptions, SizedOptions
from katazome.networks.vgg import deepest, smallest_side
from katazome.pictures.colour import with_luma_of
from katazome.pictures.composite import composite
from katazome.pictures.resize import parse_size, resize
from katazome.statistics.guides import Guides, carry


@dataclass(frozen=True)
class Canvas:
    """A photograph, where it is to change, and in what colours."""

    inputs: Inputs
    options: SizedOptions
    engine: Engine

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the result."""
        content = self.inputs.content
        assert content is not None
        return parse_size(self.options.size, content.native)

    @cached_property
    def regions(self) -> list[Tensor | None]:
        """The map (1, 1, H, W) of where each placement acts, at the content's own size; None = everywhere."""
        found: list[Tensor | None] = []
        alpha = None if self.inputs.content is None else self.inputs.content.alpha
        for placement in self.inputs.placements:
            region = None if placement.region is None else map_in(placement.region)
            if region is not None and alpha is not None and not bool((region * alpha > 0).any()):
                raise RegionError(
                    "all of the region is transparent in the content picture; choose another, or leave it out"
                )
            found.append(None if region is None else region.to(self.engine.device))
        return found

    @cached_property
    def region(self) -> Tensor | None:
        """The map of where any style acts, at the content's own size; None = everywhere."""
        outside: Tensor | None = None
        for region in self.regions:
            if region is None:
                return None
            outside = 1 - region if outside is None else outside * (1 - region)
        return None if outside is None else 1 - outside

    @property
    def colour(self) -> str:
        """Whose colours: style, content or luma."""
        return self.options.color if isinstance(self.options, ChangingOptions) else "style"

    def finish(self, picture: Tensor) -> Tensor:
        """Make the final picture of an iterate: the content's colours, what is outside, transparency."""
        if self.inputs.content is None:
            return picture
        size = (picture.shape[2], picture.shape[3])
        original = Layer.of(self.inputs.content, picture.device).at(size)
        if self.colour == "luma":
            picture = with_luma_of(original.pixels, grey(picture))
        if self.region is not None:
            picture = composite(picture, original.pixels, resize(self.region, size).to(picture))
        return picture if original.weight is None else torch.cat([picture, original.weight], dim=1)


@dataclass(frozen=True)
class Scene(Canvas):
    """The pictures of a piece of work, as the options want them."""

    options: PictureOptions

    @cached_property
    def content(self) -> Layer | None:
        """The content, in the colours that the work is done in."""
        if self.inputs.content is None:
            return None
        layer = Layer.of(self.inputs.content, self.engine.device)
        return layer.grey() if self.colour == "luma" else layer

    @cached_property
    def placed(self) -> list[Placed]:
        """The placements of styles, recoloured as ``color`` says."""
        found: list[Placed] = []
        shares = list(self.shares)
        for placement, region in zip(self.inputs.placements, self.regions, strict=True):
            content = None if self.content is None else self.content.within(region)
            looks = [
                prepared_style(style, self.colour, content, self.engine.device) for style in placement.styles
            ]
            names = [style.picture.name for style in placement.styles]
            own, shares = shares[: len(looks)], shares[len(looks) :]
            if sum(own) <= 0:
                raise MethodError(f"the shares of the styles {', '.join(names)} are all zero")
            found.append(Placed(looks, names, own, region))
        return found

    @cached_property
    def shares(self) -> list[float]:
        """The share of each style."""
        styles = self.inputs.styles
        blend = self.options.blend or (1.0,) * len(styles)
        if len(blend) != len(styles):
            raise OptionError(
                f"blend has {len(blend)} shares for {len(styles)} style pictures; give one for each"
            )
        return list(blend)

    def style_size(self, style: Layer, size: tuple[int, int]) -> tuple[int, int]:
        """A style's size (height, width) beside a picture of ``size``: of its area, times ``style_scale``."""
        height, width = style.pixels.shape[2:]
        factor = math.sqrt(size[0] * size[1] / (height * width)) * self.options.style_scale
        return max(1, round(height * factor)), max(1, round(width * factor))

    def check_size(self, layers: Sequence[str]) -> None:
        """Raise :class:`OptionError` where the result is too small for the deepest of ``layers``."""
        height, width = self.size
        least = smallest_side(layers)
        if min(height, width) < least:
            raise OptionError(
                f"{width} x {height} px is too small for {deepest(layers).name}: each side needs at "
                f"least {least} px; choose a larger --size"
            )

    def seen_look(self, look: Layer, name: str, layers: Sequence[str]) -> tuple[Tensor, Guides | None]:
        """Return a style's pixels (1, 3, h, w), as large as they are beside the result, and what counts.

        Raises :class:`OptionError` where that is too small for the deepest of ``layers``.
        """
        small = look.at(self.style_size(look, self.size))
        height, width = small.pixels.shape[2:]
        least = smallest_side(layers)
        if min(height, width) < least:
            raise OptionError(
                f"the style '{name}' is {width} x {height} px beside a picture of {self.size[1]} x "
                f"{self.size[0]}, too small for {deepest(layers).name} ({least} px); raise --size or "
                "--style-scale"
            )
        if small.weight is None:
            return small.pixels, None
        inside = isinstance(self.options, RestylingOptions) and self.options.guides == "inside"
        return small.pixels, carry(small.weight, layers, inside=inside)


def padded(x: Tensor, stride: int) -> Tensor:
    """Return a picture or map (1, C, H, W) with its edge reflected up to whole strides."""
    height, width = x.shape[2:]
    missing = (0, -width % stride, 0, -height % stride)
    return F.pad(x, missing, mode="reflect") if any(missing) else x

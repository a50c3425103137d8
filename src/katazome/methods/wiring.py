"""The wiring that the optimising methods share: from pictures and options to a task.

A method says which losses act at which octave; sizes, colours, transparency, precision, tiles and
the walk are the same for all and stand here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor

from katazome.descent.optimisers import LBFGS, Adam, Optimiser
from katazome.descent.scales import Stage, scale_sizes, stages
from katazome.device import generator, supports_bfloat16
from katazome.errors import MethodError, OptionError, PictureError, RegionError
from katazome.losses.base import Loss
from katazome.losses.content import Content
from katazome.losses.smoothness import Smoothness
from katazome.losses.style import GramStyle, Look, LookStatistics, MomentStyle
from katazome.methods.base import Engine, Inputs, Task
from katazome.methods.options import DescentOptions, StyleOptions
from katazome.networks.vgg import Encoder, deepest, smallest_side, tap
from katazome.objective.plan import Leg, choose_history, choose_tile, foretell
from katazome.objective.whole import Objective, Octave, feature_maps, gather
from katazome.pictures.colour import bleed, luma, match_colour, with_luma_of
from katazome.pictures.read import Picture
from katazome.pictures.resize import parse_size, resize, shrink, shrink_five_tap
from katazome.statistics.guides import carry

FINE_SHARE = 0.25
"""Part of the last scale that runs in float32 under ``auto``: bfloat16 has found the way by then."""

HISTORY = 10
"""L-BFGS pairs; more gained nothing measurable, and each costs two pictures of memory."""

FLAT = 0.5 / 255
"""A style whose colours deviate less than this (RMS) is one flat colour."""


@dataclass(frozen=True)
class Layer:
    """A picture prepared for the work: colours bled, alpha beside; at its own size."""

    pixels: Tensor
    alpha: Tensor | None

    @staticmethod
    def of(picture: Picture, device: torch.device) -> Layer:
        """Prepare a picture; what is transparent everywhere is an error."""
        if picture.alpha is None:
            return Layer(picture.pixels.to(device), None)
        if not bool((picture.alpha > 0).any()):
            raise RegionError(f"'{picture.name}' is transparent everywhere; there is nothing to see in it")
        pixels = bleed(picture.pixels, picture.alpha)
        return Layer(pixels.to(device), picture.alpha.to(device))

    def at(self, size: tuple[int, int]) -> Layer:
        """Return it resized to (height, width)."""
        alpha = None if self.alpha is None else resize(self.alpha, size)
        return Layer(resize(self.pixels, size), alpha)


@dataclass(frozen=True)
class Wiring:
    """The problem of a styled descent, for :func:`katazome.descent.loop.descend`.

    ``losses`` is the method's own part: given the octave, it returns losses for the look at that
    octave. ``balance`` is what strength 0.5 means: style weight against content 1.
    """

    inputs: Inputs
    options: DescentOptions
    engine: Engine
    style_weight: float
    content_weight: float = 0.0
    octaves: int = 1
    shrinking: str = "five-tap"
    shrink: Callable[[Tensor], Tensor] | None = None
    """An operator of one's own instead of ``shrinking``, for both sides (experiments)."""
    wrap: tuple[bool, bool] = (False, False)
    target: tuple[int, int] | None = None
    """(height, width) of the result; None reads it from the options and the content."""
    own_scale: bool = False
    """Styles keep their own pixel size at the last scale (textures) instead of the picture's."""

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the result."""
        if self.target is not None:
            return self.target
        content = self.inputs.content
        assert content is not None
        return parse_size(self.options.size, content.native)

    @cached_property
    def encoder(self) -> Encoder:
        """The network as the options want it, in float32."""
        padding = self.options.padding
        rows, columns = ("circular" if w else padding for w in self.wrap)
        return self.engine.encoder.with_(pooling=self.options.pooling, padding=(rows, columns))

    @cached_property
    def content(self) -> Layer | None:
        """The content, in the colours that the work is done in."""
        if self.inputs.content is None:
            return None
        layer = Layer.of(self.inputs.content, self.engine.device)
        return Layer(_grey(layer.pixels), layer.alpha) if self._colour == "luma" else layer

    @cached_property
    def styles(self) -> list[Layer]:
        """The styles, recoloured as ``color`` says."""
        return [self._prepared(style) for style in self.inputs.styles]

    @property
    def _colour(self) -> str:
        return self.options.color if isinstance(self.options, StyleOptions) else "style"

    def _prepared(self, style: Picture) -> Layer:
        layer = Layer.of(style, self.engine.device)
        if float(layer.pixels.flatten(2).std(2).square().mean().sqrt()) < FLAT:
            raise PictureError(f"the style '{style.name}' is one flat colour; there is no look in it to take")
        if self._colour == "luma":
            layer = Layer(_grey(layer.pixels), layer.alpha)
        if self._colour == "style" or self.inputs.content is None:
            return layer
        assert self.content is not None
        matched = match_colour(
            layer.pixels, self.content.pixels, source_weight=layer.alpha, target_weight=self.content.alpha
        )
        return Layer(matched, layer.alpha)

    @cached_property
    def shares(self) -> list[float]:
        """The share of each style."""
        blend = self.options.blend or (1.0,) * len(self.inputs.styles)
        if len(blend) != len(self.inputs.styles):
            raise OptionError(
                f"blend has {len(blend)} shares for {len(self.inputs.styles)} style pictures; "
                "give one for each"
            )
        return list(blend)

    # The problem, as the loop asks for it

    def start(self, stage: Stage) -> Tensor:
        """Return the first picture; see :class:`katazome.descent.loop.Problem`."""
        size, device = (stage.height, stage.width), self.engine.device
        init = self.options.init if isinstance(self.options, StyleOptions) else "random"
        if init == "content" and self.content is not None:
            return self.content.at(size).pixels.clone()
        if init == "file":
            if self.inputs.start is None:
                raise OptionError("init is 'file', but no picture to start from was given")
            return Layer.of(self.inputs.start, device).at(size).pixels.clone()
        if init == "style":
            return self.styles[0].at(size).pixels.clone()
        return self._noise(size)

    def _noise(self, size: tuple[int, int]) -> Tensor:
        """Noise with the mean and covariance of the first style's colours."""
        noise = torch.randn((1, 3, *size), generator=generator(self.options.seed))
        noise = (0.5 + 0.2 * noise).clamp(0, 1).to(self.engine.device)
        return match_colour(noise, self.styles[0].pixels, target_weight=self.styles[0].alpha)

    def objective(self, stage: Stage) -> Objective:
        """Make targets and losses for a stage; see :class:`katazome.descent.loop.Problem`."""
        encoder = self.encoder.with_(dtype=stage.dtype)
        content = None if self.content is None else self.content.at((stage.height, stage.width))
        region = None if content is None else content.alpha
        looks = [layer.at(self._style_size(layer, stage)) for layer in self.styles]
        shrink_result = self.shrink or shrinker(self.shrinking, self.wrap)
        shrink_look = self.shrink or shrinker(self.shrinking)
        shares = self.options.weights_of_layers()
        octaves: list[Octave] = []
        count = self.octaves_at(stage, looks)
        for halvings in range(count):
            if halvings:
                looks = [_halved(look, shrink_look) for look in looks]
                region = None if region is None else shrink_result(region)
            guides = None if region is None else carry(region, self.options.style_layers)
            losses: list[Loss] = []
            if self.style_weight:
                look = self._look(encoder, looks, stage)
                weight = self.style_weight / count
                losses.append(GramStyle(look.grams, shares, weight, guides))
                if self.options.moment_weight:
                    weight *= self.options.moment_weight
                    losses.append(MomentStyle(look.deviations(), shares, weight, guides))
            if not halvings and content is not None and self.content_weight:
                losses.append(self._content_loss(encoder, content))
            octaves.append(Octave(halvings, tuple(losses)))
        smoothness = Smoothness(self.options.smoothness, self.options.smoothness_as_sum, self.wrap)
        return Objective(encoder, octaves, shrink_result, smoothness, self.tile)

    def _look(self, encoder: Encoder, looks: Sequence[Layer], stage: Stage) -> Look:
        """Gather the statistics of the styles at one octave and blend them."""
        taps = tuple(self.options.weights_of_layers())
        moments = taps if self.options.moment_weight else ()
        # The style picture has borders of its own; only the result wraps.
        plain = encoder.with_(padding=(self.options.padding,) * 2)
        least = smallest_side(taps)
        found = []
        for look, style in zip(looks, self.inputs.styles, strict=True):
            if min(look.pixels.shape[2:]) < least:
                height, width = look.pixels.shape[2:]
                raise OptionError(
                    f"the style '{style.name}' is {width} x {height} px at the scale of {stage.width} x "
                    f"{stage.height}, too small for {deepest(taps).name} ({least} px); raise --size or "
                    "--style-scale, or give fewer --scales"
                )
            guide = None if look.alpha is None else carry(look.alpha, taps)
            statistics = LookStatistics(taps, moments, guide)
            found.append(Look.of(gather(plain, look.pixels, statistics, self.tile)))
        return Look.blend(found, self.shares)

    def _content_loss(self, encoder: Encoder, content: Layer) -> Content:
        assert isinstance(self.options, StyleOptions)
        taps = [tap(n).name for n in self.options.content_layers]
        guides = None if content.alpha is None else carry(content.alpha, taps)
        targets = feature_maps(encoder, content.pixels, taps, self.tile)
        return Content(targets, dict.fromkeys(taps, 1 / len(taps)), self.content_weight, guides)

    def _style_size(self, style: Layer, stage: Stage) -> tuple[int, int]:
        """A style's size (height, width) at a stage, in proportion to the picture's or to its own."""
        height, width = style.pixels.shape[2:]
        if self.own_scale:
            factor = math.sqrt(stage.height * stage.width / (self.size[0] * self.size[1]))
        else:
            factor = math.sqrt(stage.height * stage.width / (height * width))
        factor *= self.options.style_scale
        return max(1, round(height * factor)), max(1, round(width * factor))

    def octaves_at(self, stage: Stage, looks: Sequence[Layer]) -> int:
        """How many octaves a stage can bear.

        The smaller side of result and styles stays at 64 px and at the deepest layer's need; a
        side that wraps stays a multiple of the deepest stride, or the network could not go round.
        """
        least = max(64, smallest_side(self.options.style_layers))
        stride = deepest(self.options.style_layers).stride
        sides = (stage.height, stage.width)
        smallest = min(*sides, *(side for look in looks for side in look.pixels.shape[2:]))
        count = 1
        while count < self.octaves and smallest >> count >= least:
            if any(w and side % (stride << count) for w, side in zip(self.wrap, sides, strict=True)):
                break
            count += 1
        return count

    # What is worked out once

    @cached_property
    def dtypes(self) -> tuple[torch.dtype, torch.dtype]:
        """Precision of the coarse part and of the last part."""
        choice = self.options.precision
        if choice == "auto":
            fast = supports_bfloat16(self.engine.device)
            return (torch.bfloat16 if fast else torch.float32), torch.float32
        dtype = torch.float32 if choice == "float32" else torch.bfloat16
        return dtype, dtype

    @cached_property
    def taps(self) -> tuple[str, ...]:
        """All layers that the objective needs."""
        names = list(self.options.weights_of_layers())
        if isinstance(self.options, StyleOptions) and self.content_weight:
            names += [tap(n).name for n in self.options.content_layers]
        return tuple(dict.fromkeys(names))

    @cached_property
    def history(self) -> int:
        """L-BFGS pairs that fit in memory at the final size."""
        return choose_history(*self.size, HISTORY)

    @cached_property
    def tile(self) -> int | None:
        """Side of a tile's core, or None."""
        asked = self.options.tile_core()
        if asked != "auto":
            return None if asked is None else int(asked)
        return choose_tile(*self.size, self.taps, self.dtypes[1], self.history, self.engine.device)

    @cached_property
    def walk(self) -> list[Stage]:
        """The stages."""
        height, width = self.size
        least = smallest_side(self.taps)
        if min(height, width) < least:
            raise OptionError(
                f"{width} x {height} px is too small for {deepest(self.taps).name}: each side needs at "
                f"least {least} px; choose a larger --size or shallower layers"
            )
        multiple = tuple(16 if w else 1 for w in self.wrap)
        sizes = scale_sizes(
            height, width, self.options.scales, smallest=least, multiple=(multiple[0], multiple[1])
        )
        return stages(sizes, self.options.iterations, *self.dtypes, FINE_SHARE, self.wrap)

    def finish(self, picture: Tensor) -> Tensor:
        """Make the final picture of an iterate: the content's colours or transparency put back."""
        if self.inputs.content is None:
            return picture
        size = (picture.shape[2], picture.shape[3])
        original = Layer.of(self.inputs.content, picture.device).at(size)
        if self._colour == "luma":
            picture = with_luma_of(original.pixels, _grey(picture))
        return picture if original.alpha is None else torch.cat([picture, original.alpha], dim=1)

    def task(self) -> Task:
        """Return the task, checked as far as can be before the work starts."""
        if not self.inputs.styles:
            raise OptionError("no style picture was given; name at least one")
        if sum(self.shares) <= 0:
            raise MethodError("the shares of the styles are all zero")
        legs = [Leg(s.height, s.width, s.dtype, s.iterations) for s in self.walk]
        history = self.history if self.options.optimizer == "lbfgs" else 2
        plan = foretell(self.encoder, self.taps, legs, octaves=self.octaves, tile=self.tile, history=history)
        make: Callable[[], Optimiser] = (
            Adam if self.options.optimizer == "adam" else partial(LBFGS, self.history)
        )
        return Task(self, self.walk, make, self.finish, plan)


def _grey(pixels: Tensor) -> Tensor:
    return luma(pixels).expand_as(pixels)


def shrinker(kind: str, wrap: tuple[bool, bool] = (False, False)) -> Callable[[Tensor], Tensor]:
    """Return the operator that halves for the next octave: ``five-tap``, ``valid`` or ``average``."""
    if kind == "average":
        return shrink
    if kind == "valid":
        return shrink_five_tap
    rows, columns = ("circular" if w else "reflect" for w in wrap)
    return partial(shrink_five_tap, border=(rows, columns))


def _halved(layer: Layer, shrink: Callable[[Tensor], Tensor]) -> Layer:
    return Layer(shrink(layer.pixels), None if layer.alpha is None else shrink(layer.alpha))

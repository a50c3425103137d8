"""The wiring that the optimising methods share: from pictures and options to a task.

A method says which losses act at which octave; sizes, colours, transparency, precision, tiles and
the walk are the same for all and stand here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from katazome.descent.optimisers import Optimiser
from katazome.descent.scales import COARSEST, Stage, scale_sizes, stages
from katazome.device import generator
from katazome.errors import OptionError
from katazome.losses.base import Loss
from katazome.losses.content import Content
from katazome.losses.gamut import Gamut
from katazome.losses.smoothness import Smoothness
from katazome.losses.style import GramStyle, Look, LookStatistics, MomentStyle
from katazome.methods.base import Descent, Task
from katazome.methods.hooks import Beside, Mix
from katazome.methods.layers import Layer, Placed, areas_of, grey, shrinker
from katazome.methods.onepass import instant
from katazome.methods.options import DescentOptions, StyleOptions
from katazome.methods.scene import Scene
from katazome.methods.transfer import ADAIN_LAYERS
from katazome.methods.walking import FINE_SHARE, HISTORY, dtypes_of, optimiser_of
from katazome.networks.vgg import Encoder, deepest, smallest_side, tap
from katazome.objective.plan import Leg, choose_history, choose_tile, foretell
from katazome.objective.whole import Held, Objective, Octave, feature_maps, gather
from katazome.pictures.colour import match_colour
from katazome.pictures.resize import resize
from katazome.statistics.guides import Guides, carry

REGION_SHARE = 0.75
"""Of the walk's smallest side, so many pixels across must the smallest region be: a thing that is a spot at
the coarse scales has been painted over before its face is there to be kept."""

STEEPER = 8.0
"""A soft edge is so much steeper while the picture is made than at the end. Were it the same, the look where
a little of the result mixes with much of the original would be reached by colours without measure: a bright
fringe."""


@dataclass(frozen=True)
class Wiring(Scene):
    """The problem of a styled descent, for :func:`katazome.descent.loop.descend`.

    A method gives the weights of style and content, how many octaves the style loss has and how they
    are made; the rest is read from the options.
    """

    options: DescentOptions
    style_weight: float
    content_weight: float = 0.0
    octaves: int = 1
    shrinking: str = "five-tap"
    shrink: Callable[[Tensor], Tensor] | None = None
    """An operator of one's own instead of ``shrinking``, for both sides (experiments)."""
    wrap: tuple[bool, bool] = (False, False)
    target: tuple[int, int] | None = None
    """(height, width) of the result; None reads it from the options and the content."""
    mix: Mix | None = None
    """Makes targets of the content's Gram matrices and the style's; None takes the style's."""
    beside: Beside | None = None
    """Losses that act beside style and content, and the layers they need."""
    own_scale: bool = False
    """Styles keep their own pixel size at the last scale (textures) instead of the picture's."""

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the result."""
        return super().size if self.target is None else self.target

    @cached_property
    def encoder(self) -> Encoder:
        """The network as the options want it, in float32."""
        padding = self.options.padding
        rows, columns = ("circular" if w else padding for w in self.wrap)
        return self.engine.encoder.with_(pooling=self.options.pooling, padding=(rows, columns))

    # The problem, as the loop asks for it

    def start(self, stage: Stage) -> Tensor:
        """Return the first picture; see :class:`katazome.descent.loop.Problem`."""
        size, device = (stage.height, stage.width), self.engine.device
        init = self.options.init if isinstance(self.options, StyleOptions) else "random"
        if init == "content" and self.content is not None:
            return self.content.at(size).pixels.clone()
        if init == "adain":
            made = instant(self, size)
            return grey(made) if self.colour == "luma" else made
        if init == "file":
            if self.inputs.start is None:
                raise OptionError("init is 'file', but no picture to start from was given")
            return Layer.of(self.inputs.start, device).at(size).pixels.clone()
        if init == "style":
            return self.placed[0].looks[0].at(size).pixels.clone()
        return self._noise(size)

    def _noise(self, size: tuple[int, int]) -> Tensor:
        """Noise with the mean and covariance of the first style's colours."""
        noise = torch.randn((1, 3, *size), generator=generator(self.options.seed))
        noise = (0.5 + 0.2 * noise).clamp(0, 1).to(self.engine.device)
        first = self.placed[0].looks[0]
        return match_colour(noise, first.pixels, target_weight=first.weight)

    def objective(self, stage: Stage) -> Objective:
        """Make targets and losses for a stage; see :class:`katazome.descent.loop.Problem`."""
        size = (stage.height, stage.width)
        encoder = self.encoder.with_(dtype=stage.dtype)
        content = None if self.content is None else self.content.at(size)
        union = None if self.region is None else resize(self.region, size)
        placed = [self._at(stage, p, content) for p in self.placed]
        shrink_result = self.shrink or shrinker(self.shrinking, self.wrap)
        shrink_look = self.shrink or shrinker(self.shrinking)
        areas = areas_of(placed, None if content is None else content.within(union).weight)
        octaves: list[Octave] = []
        original = content
        count = self.octaves_at(stage, [look for p in placed for look in p.looks])
        for halvings in range(count):
            if halvings:
                placed = [p.halved(shrink_result, shrink_look) for p in placed]
                original = None if original is None else original.halved(shrink_result)
            losses: list[Loss] = []
            for p, area in zip(placed, areas, strict=True):
                losses += self._style_losses(encoder, p, original, stage, area / count)
            if not halvings and content is not None and self.content_weight:
                losses.append(self._content_loss(encoder, content.within(union)))
            if not halvings and self.beside is not None:
                losses += self.beside.make(union)
            octaves.append(Octave(halvings, tuple(losses)))
        smoothness = Smoothness(self.options.smoothness, self.options.smoothness_as_sum, self.wrap)
        held = None if union is None or content is None else Held(_steeper(union), content.pixels)
        on_pixels = (smoothness, Gamut(self.options.gamut_weight))
        return Objective(encoder, octaves, shrink_result, on_pixels, self.tile, held, self.engine.partners)

    def _at(self, stage: Stage, placed: Placed, content: Layer | None) -> Placed:
        """Return a placement at a stage's size, without what is transparent in the content."""
        region = None if placed.region is None else resize(placed.region, (stage.height, stage.width))
        if content is not None:
            region = content.within(region).weight
        looks = [look.at(self.style_size(look, (stage.height, stage.width))) for look in placed.looks]
        return replace(placed, looks=looks, region=region)

    def _style_losses(
        self, encoder: Encoder, placed: Placed, content: Layer | None, stage: Stage, share: float
    ) -> list[Loss]:
        """Return the losses of one placement at one octave, of which ``content`` is the content.

        ``share`` is the placement's part of all that is restyled, so that a pixel feels the same
        pull towards its style whatever the size of its region.
        """
        if not self.style_weight:
            return []
        guides = None if placed.region is None else self._carried(placed.region, self.options.style_layers)
        layers, look = self.options.weights_of_layers(), self._look(encoder, placed, stage)
        weight = self.style_weight * share
        grams, entries = look.grams, None
        if self.mix is not None and content is not None:
            statistics = LookStatistics(tuple(layers), (), guides)
            sums = gather(encoder, content.pixels, statistics, self.tile, self.engine.partners)
            own = Look.of(sums).grams
            pairs = {name: self.mix(name, own[name], gram) for name, gram in grams.items()}
            grams, entries = ({name: pair[i] for name, pair in pairs.items()} for i in (0, 1))
        losses: list[Loss] = [GramStyle(grams, layers, weight, guides, entries)]
        if self.options.moment_weight:
            weight *= self.options.moment_weight
            losses.append(MomentStyle(look.deviations(), layers, weight, guides))
        return losses

    def _look(self, encoder: Encoder, placed: Placed, stage: Stage) -> Look:
        """Gather the statistics of a placement's styles at one octave and blend them."""
        taps = tuple(self.options.weights_of_layers())
        moments = taps if self.options.moment_weight else ()
        # The style picture has borders of its own; only the result wraps.
        plain = encoder.with_(padding=(self.options.padding,) * 2)
        least = smallest_side(taps)
        found = []
        for look, name in zip(placed.looks, placed.names, strict=True):
            height, width = look.pixels.shape[2:]
            if min(height, width) < least:
                raise OptionError(
                    f"the style '{name}' is {width} x {height} px at the scale of {stage.width} x "
                    f"{stage.height}, too small for {deepest(taps).name} ({least} px); raise --size or "
                    "--style-scale, or give fewer --scales"
                )
            guide = None if look.weight is None else self._carried(look.weight, taps)
            statistics = LookStatistics(taps, moments, guide)
            found.append(self._gathered(plain, look.pixels, statistics))
        return Look.blend(found, placed.shares)

    def _gathered(self, encoder: Encoder, pixels: Tensor, statistics: LookStatistics) -> Look:
        def gathered() -> Look:
            return Look.of(gather(encoder, pixels, statistics, self.tile, self.engine.partners))

        kept = self.engine.looks
        return gathered() if kept is None else kept.get(encoder, pixels, statistics, self.tile, gathered)

    def _carried(self, region: Tensor, taps: Sequence[str]) -> Guides:
        inside = isinstance(self.options, StyleOptions) and self.options.guides == "inside"
        return carry(region, taps, inside=inside)

    def _content_loss(self, encoder: Encoder, content: Layer) -> Content:
        assert isinstance(self.options, StyleOptions)
        taps = [tap(n).name for n in self.options.content_layers]
        guides = None if content.weight is None else carry(content.weight, taps)
        targets = feature_maps(encoder, content.pixels, taps, self.tile, self.engine.partners)
        return Content(targets, dict.fromkeys(taps, 1 / len(taps)), self.content_weight, guides)

    def style_size(self, style: Layer, size: tuple[int, int]) -> tuple[int, int]:
        """A style's size (height, width) at a stage, in proportion to the picture's or to its own."""
        if not self.own_scale:
            return super().style_size(style, size)
        height, width = style.pixels.shape[2:]
        factor = math.sqrt(size[0] * size[1] / (self.size[0] * self.size[1])) * self.options.style_scale
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
        return dtypes_of(self.options, self.engine.device)

    @cached_property
    def taps(self) -> tuple[str, ...]:
        """All layers that the objective needs."""
        names = list(self.options.weights_of_layers())
        if isinstance(self.options, StyleOptions) and self.content_weight:
            names += [tap(n).name for n in self.options.content_layers]
        names += [] if self.beside is None else self.beside.taps
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
        device, partners = self.engine.device, self.engine.partners
        return choose_tile(*self.size, self.taps, self.dtypes[1], self.history, device, partners)

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
        if self.options.scales is None:
            least = max(least, math.ceil(min(height, width) * self._coarsest))
        multiple = tuple(16 if w else 1 for w in self.wrap)
        sizes = scale_sizes(
            height, width, self.options.scales, smallest=least, multiple=(multiple[0], multiple[1])
        )
        return stages(sizes, self.options.iterations, *self.dtypes, FINE_SHARE, self.wrap)

    @property
    def _coarsest(self) -> float:
        """How far the picture may be reduced before the smallest region is too small; 0 = without end."""
        shares = [float(p.region.mean()) for p in self.placed if p.region is not None]
        across = math.sqrt(min(shares, default=1.0) * self.size[0] * self.size[1])
        return min(1.0, COARSEST * REGION_SHARE / max(across, 1.0)) if shares else 0.0

    def task(self) -> Task:
        """Return the task, checked as far as can be before the work starts."""
        if not self.inputs.styles:
            raise OptionError("no style picture was given; name at least one")
        _ = self.placed  # what is wrong with a picture or a share is to be said now
        legs = [Leg(s.height, s.width, s.dtype, s.iterations) for s in self.walk]
        history = self.history if self.options.optimizer == "lbfgs" else 2
        plan = foretell(
            self.encoder,
            self.taps,
            legs,
            octaves=self.octaves,
            tile=self.tile,
            history=history,
            partners=self.engine.partners,
        )
        starts = isinstance(self.options, StyleOptions) and self.options.init == "adain"
        decoders = [self.engine.decoders(layer).weights for layer in ADAIN_LAYERS if starts]
        networks = [(w.name, w.sha256) for w in decoders]
        return Descent(self, self.walk, self._optimiser, self.finish, plan, networks)

    def _optimiser(self) -> Optimiser:
        # Steps are measured over the whole picture; what is held outside a region does not move.
        moving = 1.0 if self.region is None else float(_steeper(self.region).square().mean().sqrt())
        return optimiser_of(self.options, self.history, moving=moving, wrap=self.wrap)


def _steeper(region: Tensor) -> Tensor:
    return (STEEPER * region).clamp(max=1)

"""Learning one style: a network whose pictures have a painting's Gram matrices and a photograph's content.

Source: Johnson, Alahi & Fei-Fei, "Perceptual losses for real-time style transfer and super-resolution", ECCV
2016: content and style as this program's other losses have them, of each picture by itself, and smoothness.
Departures: VGG-19 in place of VGG-16, the normalised one, whose features are about 1, so that weights are of
another size than the source's; Gram matrices at relu1_1 to relu4_1 as everywhere here, where the source takes
relu1_2 to relu4_3, which cost a third more; a term that keeps the picture within what can be written, as the
descents have it. Content at relu3_3, as in the authors' program.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from katazome.device import supports_bfloat16
from katazome.errors import OptionError
from katazome.losses.base import Window
from katazome.losses.content import Content
from katazome.losses.gamut import Gamut
from katazome.losses.smoothness import Smoothness
from katazome.losses.style import GramStyle, Look, LookStatistics
from katazome.networks.feedforward import KIND, Facts, FeedForwardWeights, Learner
from katazome.networks.vgg import Encoder, smallest_side, tap
from katazome.objective.whole import gather
from katazome.options import option
from katazome.pictures.resize import resize
from katazome.pictures.sheet import sheet
from katazome.training.data import Squares
from katazome.training.distributed import part
from katazome.training.trainer import TrainingOptions

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
CONTENT_LAYERS = ("relu3_3",)

RISING = 0.2
"""Share of the steps over which the style's weight rises to its own."""

_CELL = 256
"""Side of a picture on the sample sheet, at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedForwardOptions(TrainingOptions):
    """How a network for one style is trained."""

    steps: int = option(2000, help="Steps of training", low=1, group="Work")
    batch: int = option(4, help="Squares in a step", low=1, group="Work")
    side: int = option(
        0,
        help="Side of the squares that are cut out of the pictures; 0: 256 on a graphics card, 144 else",
        unit="px",
        low=0,
        high=1024,
        group="Look",
    )
    style_size: int = option(
        384,
        help="Longest side at which the style is seen; larger makes larger strokes",
        unit="px",
        low=64,
        high=4096,
        group="Look",
    )
    width: int = option(32, help="Channels at full size; 16 makes a quarter of the file", low=4, high=128)
    style_weight: float = option(
        3.0, help="Weight of the Gram matrices, against 1 for the content", low=0, group="Weights"
    )
    smoothness: float = option(
        0.1,
        help="Weight of the squared difference of neighbouring pixels, per pixel",
        low=0,
        aliases=("tv-weight",),
        group="Weights",
    )
    style_layers: tuple[str, ...] = option(
        STYLE_LAYERS, help="Layers whose Gram matrices make the look", group="Weights"
    )
    content_layers: tuple[str, ...] = option(
        CONTENT_LAYERS, help="Layers whose features keep the content", group="Weights"
    )

    def __post_init__(self) -> None:
        TrainingOptions.__post_init__(self)
        for name in ("style_layers", "content_layers"):
            if not getattr(self, name):
                raise OptionError(f"{name} is empty; name at least one layer, such as relu3_1")
        least = smallest_side(self.taps)
        if self.side and self.side < least:
            raise OptionError(f"side is {self.side}; {', '.join(self.taps)} need at least {least} px")

    @property
    def taps(self) -> tuple[str, ...]:
        """All layers that are looked at, by their full names."""
        return tuple(dict.fromkeys(tap(name).name for name in (*self.style_layers, *self.content_layers)))


class FeedForwardLesson:
    """A network that learns one style; see :class:`katazome.training.trainer.Lesson`.

    ``style`` (1, 3, H, W), sRGB in [0, 1], at the size that it is to be seen at; ``shown`` are pictures
    (3, H, W) for the sample sheet.

    Raises :class:`OptionError` when the style is too small for the layers.
    """

    def __init__(
        self,
        encoder: Encoder,
        style: Tensor,
        squares: Squares,
        options: FeedForwardOptions,
        shown: Sequence[Tensor] = (),
    ) -> None:
        self.device = encoder.device
        dtype = torch.bfloat16 if supports_bfloat16(self.device) else torch.float32
        self._encoder = encoder.with_(padding=("reflect", "reflect"), dtype=dtype)
        self._squares, self._options, self._shown = squares, options, tuple(shown)
        height, width = style.shape[2:]
        least = smallest_side(options.taps)
        if min(height, width) < least:
            raise OptionError(
                f"the style is {width} x {height} px at this size, too small for {', '.join(options.taps)}: "
                f"each side needs at least {least} px; take a larger --style-size, or another picture"
            )
        exact = self._encoder.with_(dtype=torch.float32)
        names = tuple(tap(name).name for name in options.style_layers)
        look = Look.of(gather(exact, style.to(self.device), LookStatistics(names)))
        self._style = GramStyle(look.grams, dict.fromkeys(names, 1 / len(names)), options.style_weight)
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            self.module = Learner(options.width, dtype).to(self.device)

    def terms(self, step: int, draw: torch.Generator) -> dict[str, Tensor]:
        """Content, style, smoothness and what is out of range, weighted."""
        batch = self._options.batch
        terms = self._terms(self._squares.draw(batch, draw, part(batch)).to(self.device))
        terms["style"] = terms["style"] * min(1.0, (step + 1) / (RISING * self._options.steps))
        return terms

    def samples(self) -> Tensor | None:
        """Return a contact sheet (1, 3, H, W) of the pictures to be shown over what becomes of them."""
        if not self._shown:
            return None
        with torch.no_grad():
            made = [self.module(p[None].to(self.device)).clamp(0, 1).cpu() for p in self._shown]
        cell = max(_CELL, *(max(p.shape[1:]) for p in self._shown))
        return sheet([[("", p) for p in self._shown], [("", p) for p in made]], cell=cell, gap=4)

    def measure(self, squares: Sequence[Tensor]) -> dict[str, float]:
        """Return the mean terms of squares (3, side, side), unweighted: ``content`` and ``style``."""
        weights = {"content": 1.0, "style": self._options.style_weight}
        found = dict.fromkeys(weights, 0.0)
        with torch.no_grad():
            for square in squares:
                terms = self._terms(square[None].to(self.device))
                for name, weight in weights.items():
                    found[name] += float(terms[name]) / weight / len(squares) if weight else 0.0
        return found

    def _terms(self, pixels: Tensor) -> dict[str, Tensor]:
        options = self._options
        whole = Window(0, pixels.shape[2], 0, pixels.shape[3])
        kept = [tap(name).name for name in options.content_layers]
        with torch.no_grad():
            targets = self._encoder(pixels, kept)
        made = self.module(pixels)
        features = self._encoder(made, options.taps)
        content = Content(targets, dict.fromkeys(kept, 1 / len(kept)))
        # Of each picture by itself: Gram matrices of all together would let each be anything.
        apart = {name: torch.split(features[name], 1) for name in self._style.taps}
        looks = [
            self._style.value(self._style.partial({name: f[n] for name, f in apart.items()}, whole))
            for n in range(len(pixels))
        ]
        on_pixels = (Smoothness(options.smoothness), Gamut())
        return {
            "content": content.value(content.partial(features, whole)),
            "style": self._style.weight * torch.stack(looks).mean(),
            **{loss.name: loss.weight * loss.of(made) for loss in on_pixels},
        }


def seen_at(style: Tensor, longest: int) -> Tensor:
    """Return a style (1, 3, H, W) at the size that it is learnt at."""
    factor = longest / max(style.shape[2:])
    height, width = (max(1, round(side * factor)) for side in style.shape[2:])
    return resize(style, (height, width))


def made(
    lesson: FeedForwardLesson, encoder: Encoder, options: FeedForwardOptions, facts: Mapping[str, Any]
) -> FeedForwardWeights:
    """Return the network that was learnt, with what its file says of it."""
    trunk = {"name": encoder.weights.name, "sha256": encoder.weights.sha256}
    whole = Facts(width=options.width, trunk=trunk, options=options.to_json(), **facts)
    tensors = {name: tensor.cpu() for name, tensor in lesson.module.tensors().items()}
    return FeedForwardWeights(name=KIND.name, sha256="", facts=whole, tensors=tensors)

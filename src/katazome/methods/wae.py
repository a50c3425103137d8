"""WAE: the content code of a photograph and the style code of a picture, decoded together; one pass.

Source: Nakada & Asoh, the fourth source document; the network, and what its authors left open, stand in
:mod:`katazome.networks.wae`, what it learns by in :mod:`katazome.training.steps.wae`. Here: ``--strength``
moves along the line from the photograph's own style code to the style's, ``--blend`` is a weighted sum of
style codes. At strength 0 the picture has still gone through both codes, which is their reconstruction and
not the photograph.

Departures, for pictures of any size: a spatial code is made in tiles and brought to mean 0 and deviation 1 as
a whole, and decoded in tiles, each with as wide a border as the decoder sees, so there is no seam. With
regions each is decoded with its own style and the results are mixed by the maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from katazome.descent.loop import Checkpoint, Step, in_one_pass
from katazome.device import supports_bfloat16
from katazome.errors import OptionError
from katazome.losses.style import Look, LookStatistics
from katazome.methods.base import Engine, Inputs, Task, register
from katazome.methods.layers import Layer
from katazome.methods.options import InstantOptions
from katazome.methods.scene import Scene, padded
from katazome.networks.vgg import Encoder
from katazome.networks.wae import STRIDE, STYLE_TAPS, Coder
from katazome.networks.wae_model import SHELF, WAEWeights
from katazome.objective.passes import NetworkPlan, choose_pass_tile
from katazome.objective.plan import Leg
from katazome.objective.tiles import Tile, tiles
from katazome.objective.whole import gather
from katazome.pictures.resize import resize
from katazome.statistics.guides import Guides, carry

_SEES = ("relu4_2",)
"""A layer that sees no less far than the autoencoder, at its stride; see the tests."""


@register(
    "wae",
    summary="Codes of style and content, exchanged, in one pass",
    options=InstantOptions,
    learnt=SHELF,
)
def wae(inputs: Inputs, options: InstantOptions, engine: Engine) -> Task:
    """Restyle a photograph by the style code of another picture."""
    assert isinstance(inputs.network, WAEWeights)
    return Exchange(inputs, options, engine)


@dataclass(frozen=True)
class Exchange(Scene):
    """A picture made of two codes; a :class:`katazome.methods.base.Task`."""

    options: InstantOptions

    @cached_property
    def weights(self) -> WAEWeights:
        """What was learnt."""
        assert isinstance(self.inputs.network, WAEWeights)
        return self.inputs.network.fitting(self.engine.encoder.weights)

    @cached_property
    def coder(self) -> Coder:
        """The autoencoder, ready for the device and the precision."""
        return Coder(self.weights.net(), self.engine.device, self.encoder.settings.dtype)

    @cached_property
    def encoder(self) -> Encoder:
        """The network that the style is read from."""
        fast = self.options.precision == "bfloat16"
        fast |= self.options.precision == "auto" and supports_bfloat16(self.engine.device)
        dtype = torch.bfloat16 if fast else torch.float32
        return self.engine.encoder.with_(pooling="max", padding=("reflect", "reflect"), dtype=dtype)

    @cached_property
    def tile(self) -> int | None:
        """Side of a tile's core, or None."""
        asked = self.options.tile_core()
        if asked == "auto":
            dtype, engine = self.encoder.settings.dtype, self.engine
            return choose_pass_tile(*self.size, _SEES, dtype, engine.device, engine.partners)
        return None if asked is None else int(asked)

    @property
    def networks(self) -> list[tuple[str, str]]:
        """See :class:`katazome.methods.base.Task`."""
        return [(self.weights.name, self.weights.sha256)]

    @cached_property
    def plan(self) -> NetworkPlan:
        """What is going to happen; what is wrong with a picture, a size or a share is said here."""
        facts, (height, width) = self.weights.facts, self.size
        if not self.inputs.styles:
            raise OptionError("no style picture was given; name at least one")
        self.check_size(_SEES)
        if not facts.spatial and self.size != (facts.side, facts.side):
            raise OptionError(
                f"{self.weights.name} makes pictures of {facts.side} x {facts.side} px alone; take "
                f"--size {facts.side}x{facts.side}, or a model that was trained with --spatial"
            )
        _ = self.placed, self.coder
        leg = Leg(height, width, self.encoder.settings.dtype, len(self._grid))
        count = self.engine.partners.size if len(self._grid) > 1 else 1
        return NetworkPlan(self.coder, (leg,), self.tile if facts.spatial else None, count)

    def steps(self, resume: Checkpoint | None = None) -> Iterator[Step]:
        """Make the picture and yield it as it stands after each tile."""
        return in_one_pass(self.parts, len(self._grid), self.finish, resume)

    def parts(self) -> Iterator[Tensor]:
        """Yield the picture (1, 3, H, W), not finished, as it stands after each tile."""
        height, width = self.size
        assert self.content is not None
        pixels = self.content.at(self.size).pixels
        picture = padded(pixels, STRIDE)
        code = self._content_code(picture)
        codes = [self._style_code(number) for number in range(len(self.placed))]
        shares = self._shares()
        result = picture.clone()
        for _ in self.engine.partners.filled(
            self._grid,
            lambda t: [self._decoded(t, code, codes, shares)],
            lambda t: [result[:, :, t.core.top : t.core.bottom, t.core.left : t.core.right]],
        ):
            yield result[:, :, :height, :width]

    @cached_property
    def _grid(self) -> Sequence[Tile]:
        height, width = (-(-side // STRIDE) * STRIDE for side in self.size)
        if not self.weights.facts.spatial:
            return list(tiles(height, width, _SEES, None))
        return self.engine.partners.grid(height, width, _SEES, self.tile)

    def _content_code(self, picture: Tensor) -> Tensor:
        if not self.weights.facts.spatial:
            return self.coder.content(picture)
        found = self.coder.unwritten(*(side // STRIDE for side in picture.shape[2:]))
        for _ in self.engine.partners.filled(
            self._grid,
            lambda t: [_core(self.coder.content(t.cut(picture)), t, STRIDE)],
            lambda t: [t.core.cut(found, _SEES[0])],
        ):
            pass
        return self.coder.normalised(found)

    def _style_code(self, number: int) -> Tensor:
        """Return the style code (1, n) of a placement: its styles', blended, or part of the way to it."""
        placed, strength = self.placed[number], self.options.strength
        code: Tensor | None = None
        for look, name, share in zip(placed.looks, placed.names, placed.shares, strict=True):
            part = self._code_of(*self.seen_look(look, name, STYLE_TAPS)) * (share / sum(placed.shares))
            code = part if code is None else code + part
        assert code is not None
        if strength == 1:
            return code
        assert self.content is not None
        region = None if placed.region is None else resize(placed.region, self.size)
        own: Layer = self.content.at(self.size).within(region)
        guides = None if own.weight is None else carry(own.weight, STYLE_TAPS)
        return strength * code + (1 - strength) * self._code_of(own.pixels, guides)

    def _code_of(self, pixels: Tensor, guides: Guides | None) -> Tensor:
        sums = gather(
            self.encoder, pixels, LookStatistics(STYLE_TAPS, guides=guides), self.tile, self.engine.partners
        )
        return self.coder.style(Look.of(sums).grams)

    def _shares(self) -> list[Tensor | None]:
        """Return where each placement acts (1, 1, H, W), padded, as shares of 1; None = everywhere."""
        if len(self.placed) == 1:
            return [None]
        whole = torch.ones(1, 1, *self.size, device=self.engine.device)
        maps = [whole if p.region is None else resize(p.region, self.size) for p in self.placed]
        total = torch.stack(maps).sum(0).clamp_min(1e-6)
        return [padded(m / total, STRIDE) for m in maps]

    def _decoded(
        self, t: Tile, code: Tensor, codes: Sequence[Tensor], shares: Sequence[Tensor | None]
    ) -> Tensor:
        """Return a tile's core."""
        window = t.outer.cut(code, _SEES[0]) if self.weights.facts.spatial else code
        made: Tensor | None = None
        for style, share in zip(codes, shares, strict=True):
            part = _core(self.coder.decode(window, style), t, 1)
            if share is not None:
                part = part * share[:, :, t.core.top : t.core.bottom, t.core.left : t.core.right]
            made = part if made is None else made + part
        assert made is not None
        return made


def _core(outer: Tensor, t: Tile, stride: int) -> Tensor:
    """Return a tile's core of what was made of the whole tile."""
    top, left = (t.core.top - t.outer.top) // stride, (t.core.left - t.outer.left) // stride
    height, width = (t.core.bottom - t.core.top) // stride, (t.core.right - t.core.left) // stride
    return outer[:, :, top : top + height, left : left + width]

"""The wiring of methods that make a picture in one pass: encode, transform the features, decode.

At each level, deep to shallow, the picture so far is encoded, its channels are given the statistics of the
style's (:mod:`katazome.methods.transfer`) and a decoder makes a picture of that. All of it runs in tiles: the
statistics are those of the whole picture, and a tile is decoded with a border as wide as the decoder sees, so
there is no seam.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial

import torch
from torch import Tensor

from katazome.descent.loop import Checkpoint, Step, in_one_pass
from katazome.device import supports_bfloat16, trim_heap
from katazome.errors import OptionError
from katazome.losses.base import Sums, Window, per_position
from katazome.methods.layers import Layer, Placed
from katazome.methods.options import InstantOptions, PictureOptions
from katazome.methods.scene import Scene, padded
from katazome.methods.transfer import ADAIN_LAYERS, Affine, ChannelStatistics, Transform, mixed, normalised
from katazome.networks.vgg import Encoder, deepest, tap
from katazome.objective.passes import PassPlan, choose_pass_tile, foretell_pass
from katazome.objective.tiles import Tile
from katazome.objective.whole import feature_maps, features_in, gather
from katazome.pictures.resize import resize
from katazome.statistics.guides import Guides, carry

KEPT_VALUES = 8
"""Features a pixel (512 channels for 64 pixels at relu4_1) that are kept of a whole picture in tiles; of
shallower layers, which have more, each tile is encoded again instead."""


@dataclass(frozen=True)
class OnePass(Scene):
    """A picture made in one pass; a :class:`katazome.methods.base.Task`.

    ``layers`` are the levels in order; ``transform`` makes the map of features, of covariances between
    channels if ``covariances``, else of each channel's moments.
    """

    options: InstantOptions
    layers: tuple[str, ...]
    transform: Transform
    covariances: bool

    @cached_property
    def dtype(self) -> torch.dtype:
        """Precision of the networks."""
        if self.options.precision == "auto":
            return torch.bfloat16 if supports_bfloat16(self.engine.device) else torch.float32
        return torch.float32 if self.options.precision == "float32" else torch.bfloat16

    @cached_property
    def encoder(self) -> Encoder:
        """The network as the decoders know it."""
        return self.engine.encoder.with_(pooling="max", padding=("reflect", "reflect"), dtype=self.dtype)

    @cached_property
    def tile(self) -> int | None:
        """Side of a tile's core, or None."""
        asked = self.options.tile_core()
        if asked != "auto":
            return None if asked is None else int(asked)
        device, partners = self.engine.device, self.engine.partners
        return choose_pass_tile(*self.size, self.layers, self.dtype, device, partners)

    @property
    def networks(self) -> list[tuple[str, str]]:
        """The decoders; see :class:`katazome.methods.base.Task`."""
        weights = [self.engine.decoders(layer).weights for layer in self.layers]
        return [(w.name, w.sha256) for w in weights]

    @cached_property
    def plan(self) -> PassPlan:
        """What is going to happen; what is wrong with a picture or a share is said here."""
        if not self.inputs.styles:
            raise OptionError("no style picture was given; name at least one")
        self.check_size(self.layers)
        looks = [look for placed in self.placed for look in placed.looks]
        sizes = [self.style_size(look, self.size) for look in looks]
        decoders = [self.engine.decoders(layer) for layer in self.layers]
        parts, count = len(self._grid), self.engine.partners.size
        return foretell_pass(
            self.encoder,
            decoders,
            self.size,
            sizes,
            self.tile,
            parts * len(decoders),
            count if parts > 1 else 1,
        )

    def steps(self, resume: Checkpoint | None = None) -> Iterator[Step]:
        """Make the picture and yield it as it stands after each tile of each level."""
        return in_one_pass(self.parts, self.plan.legs[-1].evaluations, self.finish, resume)

    # One level after the other

    def parts(self) -> Iterator[Tensor]:
        """Yield the picture (1, 3, H, W), not finished, as it stands after each tile of each level."""
        height, width = self.size
        looks = [
            [self._look(look, name) for look, name in zip(p.looks, p.names, strict=True)] for p in self.placed
        ]
        acting = [self._acting(placed) for placed in self.placed]
        picture = self._padded(self._content.pixels)
        for number, layer in enumerate(self.layers):
            see = self._seeing(layer, picture, first=not number)
            maps = self._maps(layer, see, acting, looks)
            made = picture
            for made in self._decoded(layer, picture, see, maps, acting):
                yield made[:, :, :height, :width]
            picture = made.clamp(0, 1)
            del see, made
            trim_heap()

    @cached_property
    def _content(self) -> Layer:
        assert self.content is not None
        return self.content.at(self.size)

    @cached_property
    def _grid(self) -> Sequence[Tile]:
        stride = deepest(self.layers).stride
        height, width = (-(-side // stride) * stride for side in self.size)
        # A decoder sees as far as the encoder that it mirrors.
        return self.engine.partners.grid(height, width, self.layers, self.tile)

    def _padded(self, x: Tensor) -> Tensor:
        return padded(x, deepest(self.layers).stride)  # a decoder makes no others

    def _acting(self, placed: Placed) -> Acting:
        region = None if placed.region is None else resize(placed.region, self.size)
        counted = self._content.within(region).weight
        region, counted = (None if m is None else self._padded(m) for m in (region, counted))
        inside = self.options.guides == "inside"
        return Acting(
            {} if region is None else carry(region, self.layers),
            None if counted is None else carry(counted, self.layers, inside=inside),
            placed.shares,
        )

    def _look(self, look: Layer, name: str) -> dict[str, Tensor]:
        """Return a style's statistics per position at each layer."""
        pixels, guides = self.seen_look(look, name, self.layers)
        statistics = ChannelStatistics(self.layers, self.covariances, guides)
        sums = gather(self.encoder, pixels, statistics, self.tile, self.engine.partners)
        return {layer: per_position(sums, layer) for layer in self.layers}

    def _seeing(self, layer: str, picture: Tensor, *, first: bool) -> Seeing:
        """Return what gives the features of a window of the picture at a layer."""
        values = self.encoder.channels(layer) / tap(layer).stride ** 2
        if len(self._grid) > 1 and values > KEPT_VALUES:
            return partial(features_in, self.encoder, picture, layer)

        def make() -> Tensor:
            return feature_maps(self.encoder, picture, [layer], self.tile, self.engine.partners)[layer]

        seen, content = self.inputs.seen, self.inputs.content
        if not first or seen is None or content is None:
            kept = make()
        else:
            key = (content.sha256, self.size, self.options.color == "luma", layer, self.encoder.settings)
            kept = seen.features((*key, self.engine.encoder.weights.sha256), make)
        return lambda window: window.cut(kept, layer)

    def _maps(
        self,
        layer: str,
        see: Seeing,
        acting: Sequence[Acting],
        looks: Sequence[Sequence[Mapping[str, Tensor]]],
    ) -> list[Affine]:
        """Return the map of features of each placement."""
        statistics = [ChannelStatistics((layer,), self.covariances, a.counted) for a in acting]

        def shares(t: Tile) -> list[Sums]:
            features = {layer: see(t.core)}
            return [one.partial(features, t.core) for one in statistics]

        with torch.no_grad():
            totals = self.engine.partners.gathered(self._grid, shares)
        maps = []
        for total, styles, placement in zip(totals, looks, acting, strict=True):
            own = per_position(total, layer)
            found = [self.transform(own, style[layer]) for style in styles]
            maps.append(Affine.blend(found, placement.shares).at(self.options.strength))
        return maps

    def _decoded(
        self, layer: str, picture: Tensor, see: Seeing, maps: Sequence[Affine], acting: Sequence[Acting]
    ) -> Iterator[Tensor]:
        """Yield the picture as it is mapped and decoded, tile by tile; the last is the whole."""
        decoder = self.engine.decoders(layer)
        result = picture.clone()

        def place(t: Tile) -> Tensor:
            return result[:, :, t.core.top : t.core.bottom, t.core.left : t.core.right]

        def made(t: Tile) -> list[Tensor]:
            shares = [t.outer.cut(a.region[layer], layer) if a.region else None for a in acting]
            decoded = decoder(mixed(see(t.outer), maps, shares))
            top, left = t.core.top - t.outer.top, t.core.left - t.outer.left
            height, width = place(t).shape[2:]
            return [decoded[:, :, top : top + height, left : left + width]]

        for _ in self.engine.partners.filled(self._grid, made, lambda t: [place(t)]):
            yield result


Seeing = Callable[[Window], Tensor]
"""From a window of the picture to its features at a layer (1, C, h, w)."""


@dataclass(frozen=True)
class Acting:
    """Where a placement acts and what it counts, by layer; an empty region or None is everywhere.

    ``region`` says where features are mapped, ``counted`` which of them make the content's statistics;
    ``shares`` are the styles'.
    """

    region: Guides
    counted: Guides | None
    shares: Sequence[float]


def instant(scene: Scene, size: tuple[int, int]) -> Tensor:
    """Return the picture (1, 3, *size) that AdaIN makes of a scene, for a descent to start from."""
    options = replace(instant_options(scene.options), size=f"{size[1]}x{size[0]}")
    task = OnePass(scene.inputs, options, scene.engine, ADAIN_LAYERS, normalised, covariances=False)
    (picture,) = deque(task.parts(), maxlen=1)
    return picture.clamp(0, 1)


def instant_options(asked: PictureOptions) -> InstantOptions:
    """Return what AdaIN shares with the options of a descent; its strength is its own, and whole."""
    shared = {f.name: getattr(asked, f.name) for f in fields(InstantOptions) if f.name != "strength"}
    return InstantOptions(**shared)

"""The options that methods share, declared once.

A method's own option class inherits from these and adds or re-declares fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from katazome.errors import OptionError
from katazome.losses.gamut import WEIGHT
from katazome.networks.vgg import tap
from katazome.options import Options, option

STYLE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
CONTENT_LAYERS = ("relu4_2",)
STARTS = ("content", "random", "style", "adain")
"""Words for where a descent starts; anything else is a picture's file."""

PREVIEWS = ("no", "small", "instant")
"""How a picture is foretold: not, by a small one, by one that is made in one pass."""


def check_preview(kind: str) -> None:
    """Raise :class:`OptionError` unless a kind of preview is known."""
    if kind not in PREVIEWS:
        raise OptionError(f"preview is {kind!r}; it must be {', '.join(PREVIEWS[:-1])} or {PREVIEWS[-1]}")


_MOMENT_HELP = (
    "Weight of the layers' means and deviations beside their Gram matrices, over the style's weight"
)


def strength_option(default: float | None) -> Any:
    """Declare ``strength`` with a method's own default."""
    return option(
        default,
        help="How much style, 0 (none) to 1 (nothing but style)"
        + ("; 0.5 when nothing else is said" if default is None else ""),
        low=0,
        high=1,
        aliases=("alpha",),
        group="Look",
    )


def octaves_option() -> Any:
    """Declare ``octaves``, for methods whose loss has a pyramid."""
    return option(
        3,
        help="Octaves of the pyramid inside the style loss; fewer where the picture is small",
        low=1,
        high=8,
        group="Look",
    )


def moment_option(default: float) -> Any:
    """Declare ``moment_weight`` with a method's own default."""
    return option(default, help=_MOMENT_HELP, low=0, group="Weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions(Options):
    """Options of every method."""

    precision: str = option(
        "auto",
        help="Arithmetic of the network; auto takes bfloat16 where it is fast and ends in float32",
        choices=("auto", "float32", "bfloat16"),
        group="Work",
    )


@dataclass(frozen=True, kw_only=True)
class SizedOptions(NetworkOptions):
    """Options of every method that makes a whole picture. Without slots, so that others can inherit both."""

    size: str = option(
        "512",
        help="Size of the result: 1024 (longest side), 2048x1365, 50%, 12MP or keep",
        aliases=("image-size", "max-size", "end-scale", "width"),
    )


@dataclass(frozen=True, kw_only=True)
class ChangingOptions(SizedOptions):
    """Options of every method that gives a photograph, or a part of it, another look."""

    where: str = option(
        "everything",
        help="Part of the content that is restyled: everything, face, object:NAME, material:NAME, salient, "
        "mask:FILE, filters:FILE, transparent, not:REGION, (A and B), (A or B)",
        group="Where",
    )
    model: str = option(
        "",
        help="Model that material:NAME asks (`katazome train segmenter`), or that feedforward or wae paints "
        "by (`katazome train feedforward`, `train wae`; open: the program's own)",
        group="Where",
    )
    feather: float = option(
        0.0,
        help="Soften the edges of regions by a Gaussian of so many pixels of the content",
        low=0,
        high=1000,
        group="Where",
    )
    color: str = option(
        "style",
        help="Colours: the style's, the style recoloured to the content's, or only brightness restyled",
        choices=("style", "content", "luma"),
        aliases=("original-colors=luma", "preserve-colors=luma", "preserve-color=content"),
        group="Look",
    )


@dataclass(frozen=True, kw_only=True)
class PictureOptions(SizedOptions):
    """Options of every method that takes the look of pictures."""

    style_scale: float = option(
        1.0,
        help="Size of the strokes: 1 keeps their share of the picture, 0.5 halves them",
        low=0.05,
        high=10,
        aliases=("style-scale-fac",),
        group="Look",
    )
    blend: tuple[float, ...] | None = option(
        None,
        help="Shares of several styles, in order, such as 3,1",
        low=0,
        aliases=("style-blend-weights", "style-imgs-weights", "style-interpolation-weights"),
        group="Look",
    )
    style_where: str = option(
        "everything",
        help="Part of the style picture that the look is taken from, in the words of --where; "
        "of several pictures one for each, with commas",
        group="Where",
    )
    tile: str = option(
        "auto",
        help="Side of tiles in pixels, off, or auto: tiles when the whole would not fit in memory",
        group="Work",
    )

    def __post_init__(self) -> None:
        NetworkOptions.__post_init__(self)
        if self.blend is not None and not sum(self.blend):
            raise OptionError("blend is all zero; at least one style must have a share")
        self.tile_core()

    def tile_core(self) -> int | str | None:
        """Return ``auto``, None (no tiles) or the side of a tile's core in px."""
        if self.tile == "auto":
            return "auto"
        if self.tile == "off":
            return None
        if not self.tile.isdigit() or int(self.tile) < 64:
            raise OptionError(
                f"tile is '{self.tile}'; it must be auto, off or a number of pixels, at least 64"
            )
        return int(self.tile)


@dataclass(frozen=True, kw_only=True)
class RestylingOptions(PictureOptions, ChangingOptions):
    """Options of every method that restyles a photograph by others."""

    strength: float | None = strength_option(None)
    at: tuple[str, ...] = option(
        (),
        help="A region and the style picture for it, as REGION=STYLE; may be given several times",
        repeats=True,
        group="Where",
    )
    guides: str = option(
        "simple",
        help="Which features count for a region: those above it in proportion (simple), or, deep in the "
        "network, only those that see little beyond its edge (inside)",
        choices=("simple", "inside"),
        group="Where",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkOptions(NetworkOptions):
    """How a picture is optimised, whatever it is to become."""

    optimizer: str = option(
        "lbfgs", help="How the picture is optimised", choices=("lbfgs", "adam"), group="Work"
    )
    precondition: bool = option(
        True,
        help="Let L-BFGS move large forms as fast as fine ones; plain L-BFGS makes grain first",
        group="Work",
    )
    seed: int = option(
        0, help="Seed of the random start", low=0, high=2**63 - 1, aliases=("random-seed",), group="Work"
    )
    smoothness: float = option(
        0.0,
        help="Weight of the squared difference of neighbouring pixels, per pixel",
        low=0,
        aliases=("tv-weight",),
        group="Weights",
    )
    gamut_weight: float = option(
        WEIGHT,
        help="Weight of the mean squared excess of pixels over the range that can be written",
        low=0,
        group="Weights",
    )
    pooling: str = option(
        "max",
        help="Pooling of the network",
        choices=("max", "average"),
        aliases=("pooling-type",),
        group="Weights",
    )
    padding: str = option(
        "reflect",
        help="What the network sees beyond the border",
        choices=("reflect", "zeros", "replicate"),
        group="Weights",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DescentOptions(WalkOptions, PictureOptions):
    """Options of every method that optimises a picture towards a look."""

    iterations: int = option(
        50,
        help="Iterations at the last scale; coarser scales get more in proportion",
        low=1,
        aliases=("num-iterations", "max-iterations", "steps", "num-iter"),
        group="Work",
    )
    scales: int | None = option(
        None,
        help="Scales walked from coarse to fine, each half of the next; 1 = off, open = as many as fit",
        low=1,
        high=12,
        group="Work",
    )
    smoothness_as_sum: bool = option(
        False, help="Sum the smoothness over pixels instead, as eq. 6 of the first source", group="Weights"
    )
    style_layers: tuple[str, ...] = option(
        STYLE_LAYERS, help="Layers whose statistics make the look", group="Weights"
    )
    moment_weight: float = moment_option(0.0)
    layer_weights: tuple[float, ...] | None = option(
        None,
        help="Weight of each style layer, in order; open = equal shares of 1",
        low=0,
        aliases=("style-layer-weights",),
        group="Weights",
    )

    def __post_init__(self) -> None:
        PictureOptions.__post_init__(self)
        for name in self.style_layers:
            tap(name)
        if not self.style_layers:
            raise OptionError("style_layers is empty; name at least one layer, such as relu3_1")
        if self.layer_weights is not None and len(self.layer_weights) != len(self.style_layers):
            raise OptionError(
                f"layer_weights has {len(self.layer_weights)} numbers for {len(self.style_layers)} "
                "style layers; give one for each"
            )
        if self.layer_weights is not None and not sum(self.layer_weights):
            raise OptionError("layer_weights are all zero; at least one layer must count")

    def weights_of_layers(self) -> dict[str, float]:
        """Return the weight of each style layer by tap name."""
        names = [tap(n).name for n in self.style_layers]
        weights = self.layer_weights or (1 / len(names),) * len(names)
        return dict(zip(names, weights, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleOptions(DescentOptions, RestylingOptions):
    """Options of methods that restyle a photograph."""

    init: str = option(
        "content",
        help="Where to start: content, random, style, adain (the picture of one pass), or a picture file",
        choices=(*STARTS, "file"),
        aliases=("init-image", "initial", "init-img-type"),
        group="Work",
    )
    content_weight: float | None = option(
        None, help="Raw weight of the content, instead of --strength", low=0, aliases=("cw",), group="Weights"
    )
    style_weight: float | None = option(
        None, help="Raw weight of the style, instead of --strength", low=0, aliases=("sw",), group="Weights"
    )
    content_layers: tuple[str, ...] = option(
        CONTENT_LAYERS, help="Layers whose features keep the content", group="Weights"
    )

    def __post_init__(self) -> None:
        DescentOptions.__post_init__(self)
        for name in self.content_layers:
            tap(name)
        raw = [n for n in ("content_weight", "style_weight") if getattr(self, n) is not None]
        if self.strength is not None and raw:
            raise OptionError(
                f"strength and {' and '.join(raw)} both say how much style; give one or the other"
            )
        if self.content_weight == 0 and self.style_weight == 0:
            raise OptionError("content_weight and style_weight are both 0; nothing would be left to do")

    def pair(self, balance: float) -> tuple[float, float]:
        """Return (content weight, style weight).

        ``balance`` is the method's style weight against content 1 at strength 0.5. Strength s
        gives content 4 (1 - s)^2 and style 4 s^2 balance: their ratio runs from 0 to infinity,
        and equal steps of strength look like equal steps.
        """
        if self.content_weight is not None or self.style_weight is not None:
            content = 1.0 if self.content_weight is None else self.content_weight
            return content, balance if self.style_weight is None else self.style_weight
        strength = 0.5 if self.strength is None else self.strength
        return 4 * (1 - strength) ** 2, 4 * strength**2 * balance


@dataclass(frozen=True, slots=True, kw_only=True)
class InstantOptions(RestylingOptions):
    """Options of methods that restyle a photograph in one pass."""

    strength: float = strength_option(1.0)

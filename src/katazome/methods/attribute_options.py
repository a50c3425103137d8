"""The options of the method ``attribute``, and the settings of the programs that it descends from."""

from __future__ import annotations

from dataclasses import dataclass

from katazome.errors import OptionError
from katazome.methods.base import Preset, smoothness_of_bytes
from katazome.methods.options import WalkOptions
from katazome.networks.vgg import smallest_side, tap
from katazome.options import option
from katazome.statistics.direction import CONVENTIONS, STRENGTHS

LAYERS = ("relu3_1", "relu4_1", "relu5_1")

PRESETS = {
    "chainer-dfi": Preset(
        summary="dsanno/chainer-dfi, the second source document: from noise, with both repairs",
        options={
            "init": "random",
            "iterations": 1000,
            "color_match": "channels",
            "residual": True,
            "precondition": False,
            "smoothness": smoothness_of_bytes(100 / 3)[0],  # a mean over colours there, a sum here
            "gamut_weight": 0.0,
            "padding": "zeros",
        },
        caffe={"smoothness": smoothness_of_bytes(100 / 3)[1]},
    ),
    "deepfeatinterp": Preset(
        summary="paulu/deepfeatinterp, the paper's code on LFW",
        options={
            "convention": "beta",
            "iterations": 500,
            "color_match": "global",
            "precondition": False,
            # 0.001 on bytes, summed, beside squares that are summed too: at 200 px this, beside means
            "smoothness": 15.0,
            "padding": "zeros",
        },
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeOptions(WalkOptions):
    """Options of ``attribute``."""

    add: tuple[str, ...] = option(
        (), help="Attribute that the face is to have; may be given several times", repeats=True, group="Look"
    )
    remove: tuple[str, ...] = option(
        (), help="Attribute that it is to lose; may be given several times", repeats=True, group="Look"
    )
    strength: float | None = option(
        None,
        help="How far to go: 0 is the picture itself, negative the other way. Open: 0.4, or 2.5 where the "
        "convention is plain",
        low=-20,
        high=20,
        aliases=("alpha",),
        group="Look",
    )
    convention: str = option(
        "layer",
        help="What a strength of 1 means: each layer's own length (layer), w over its mean square (beta), "
        "w itself (plain), or lengths of features over their norm (unit)",
        choices=CONVENTIONS,
        group="Look",
    )
    neighbours: int = option(
        100, help="Pictures in each of the two sets", low=5, high=10000, aliases=("K",), group="Look"
    )
    by: str = option(
        "auto",
        help="How the sets are chosen: the nearest by features, by attributes (the picture must have a row "
        "in the table), or at random; auto takes attributes where there is a row and features else",
        choices=("auto", "features", "attributes", "random"),
        group="Look",
    )
    is_: tuple[str, ...] = option(
        (), help="Attribute that all pictures of both sets must have", repeats=True, group="Look"
    )
    is_not: tuple[str, ...] = option(
        (), help="Attribute that all pictures of both sets must lack", repeats=True, group="Look"
    )
    align: bool = option(
        True,
        help="Look for a face and bring all faces onto it (off: things that are not faces)",
        group="Where",
    )
    face: int = option(
        0, help="Which face, counted from the left and from 1; 0: the only one", low=0, group="Where"
    )
    where: str = option(
        "everything",
        help="Part of the face that may change, in the words of stylize's --where",
        group="Where",
    )
    size: int = option(
        200,
        help="Side at which the face is edited; the change is carried up to the photograph",
        unit="px",
        low=64,
        high=800,
        group="Picture",
    )
    iterations: int = option(
        100, help="Iterations", low=1, aliases=("num-iterations", "max-iterations", "iter"), group="Work"
    )
    init: str = option(
        "content",
        help="Where to start: the picture (content) or noise (random)",
        choices=("content", "random"),
        group="Work",
    )
    color_match: str = option(
        "none",
        help="Give the edited face the colour statistics of the input: of each channel (channels), of all "
        "together (global), or not (none)",
        choices=("none", "channels", "global"),
        group="Look",
    )
    residual: bool = option(
        False,
        help="Subtract the error with which unedited features are reconstructed; for --init random",
        group="Look",
    )
    carry: str = option(
        "difference",
        help="Put back into the photograph the change alone (difference), or the edited face (result)",
        choices=("difference", "result"),
        group="Look",
    )
    layers: tuple[str, ...] = option(LAYERS, help="Layers whose features are moved", group="Weights")

    def __post_init__(self) -> None:
        WalkOptions.__post_init__(self)
        if not self.layers:
            raise OptionError("layers is empty; name at least one, such as relu4_1")
        least = smallest_side(self.layers)
        if self.size < least:
            raise OptionError(f"size is {self.size}; {', '.join(self.layers)} need at least {least} px")

    @property
    def taps(self) -> tuple[str, ...]:
        """The layers' full names."""
        return tuple(dict.fromkeys(tap(name).name for name in self.layers))

    @property
    def far(self) -> float:
        """The strength, or the convention's own."""
        return STRENGTHS[self.convention] if self.strength is None else self.strength

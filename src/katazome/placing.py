"""From what was asked to inputs: pictures read, regions made, styles put in their places, filters named.

``where``, ``style_where``, ``at`` and ``feather`` are options like the others; here their words
become maps. After this, methods, checkpoints and recipes know only pictures and maps.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor

from katazome.errors import OptionError
from katazome.filters.select import chosen_of, words_of
from katazome.methods.base import Inputs, Placement, Style
from katazome.methods.options import ChangingOptions, PictureOptions, RestylingOptions, SizedOptions
from katazome.networks.segmenter import Segmenter, fitting, open_segmenter
from katazome.pictures.mask import feathered
from katazome.pictures.read import Picture, PictureLike, read
from katazome.pictures.resize import parse_size
from katazome.regions.covering import coverage, map_of
from katazome.regions.grammar import parse, parse_list, parse_placement
from katazome.regions.region import Everything, Region
from katazome.weights.flavours import VGGWeights
from katazome.weights.shelf import Learnt, Shelf

At: TypeAlias = Mapping[str | Region, PictureLike] | Sequence[str | tuple[str | Region, PictureLike]]
"""What ``at`` takes: ``{"object:dog": "waves.jpg"}``, pairs, or texts ``object:dog=waves.jpg``."""

_MODEL = "model"

PREVIEW_SIZE = 256
"""Longest side (px) of a preview."""

_STRETCH = 0.02
"""A change of the aspect by so much is said: rounding to whole pixels makes less of it."""


@dataclass(frozen=True)
class Places:
    """The regions that were asked for, as values."""

    where: Region
    style_where: Sequence[Region]
    at: Sequence[tuple[Region, PictureLike]]


def places(options: dict[str, Any], segmenter: Segmenter | None = None) -> Places:
    """Take the regions out of ``options`` and leave their words there, without the names of files.

    ``segmenter`` is the model that ``material:NAME`` asks.

    Raises :class:`OptionError` that points at what it cannot read.
    """
    where = _region("where", options.get("where", "everything"), segmenter)
    style_where = _regions(options.get("style_where", "everything"), segmenter)
    at = [_pair(one, segmenter) for one in _items(options.get("at", ()))]
    words = {
        "where": where.anonymous(),
        "style_where": ", ".join(region.anonymous() for region in style_where),
        "at": tuple(region.anonymous() for region, _ in at),
    }
    options.update({name: said for name, said in words.items() if name in options})
    return Places(where, style_where, at)


def name_filters(options: dict[str, Any], weights: VGGWeights) -> None:
    """Put the numbers of the filters in the place of the file that has them: recipes hold no paths.

    Raises :class:`OptionError` when it cannot be read, or its filters are of another network.
    """
    if options.get("filters"):
        options["filters"] = words_of(chosen_of(str(options["filters"]), weights))


def name_model(options: dict[str, Any], weights: VGGWeights) -> Segmenter | None:
    """Open the model that regions ask for materials, and leave a word for it: recipes hold its hash.

    An open one may be given as well. Raises :class:`GivenWeightsError` when the file is none, or of another
    network.
    """
    given = options.get("model")
    if isinstance(given, Segmenter):
        options["model"] = _MODEL
        return fitting(given, weights, "the model")
    if not isinstance(given, str | os.PathLike) or not given:
        return None  # what it is instead the options themselves will say
    options["model"] = _MODEL
    return open_segmenter(Path(given), weights)


def name_network(options: dict[str, Any], shelf: Shelf[Any]) -> Learnt:
    """Open the network that a method paints by, and leave its name, or a word for a file.

    An open one may be given as well. Raises :class:`GivenWeightsError` when the file is none.
    """
    given = options.get("model", "")
    if isinstance(given, shelf.model):
        options["model"] = _MODEL
        held: Learnt = given
        return held
    if not isinstance(given, str | os.PathLike):
        raise OptionError(f"model is {given!r}; it must be a file of a {shelf.kind.what}, or its name")
    found: Learnt = shelf.opened(os.fspath(given))
    options["model"] = shelf.short(found.name) if found.name != shelf.kind.name else _MODEL
    return found


def _items(at: Any) -> list[Any]:
    if isinstance(at, Mapping):
        return list(at.items())
    if isinstance(at, Sequence) and not isinstance(at, str):
        return list(at)
    return [at]


def _pair(one: Any, segmenter: Segmenter | None) -> tuple[Region, PictureLike]:
    if isinstance(one, str):
        return parse_placement(one, "at", segmenter)
    if not isinstance(one, Sequence) or len(one) != 2:
        raise OptionError(f"at is {one!r}; it must be texts REGION=STYLE, or pairs of a region and a style")
    return _region("at", one[0], segmenter), one[1]


def _region(name: str, given: Any, segmenter: Segmenter | None) -> Region:
    if isinstance(given, Region):
        return given
    if not isinstance(given, str):
        raise OptionError(f"{name} is {given!r}; it must be a Region or the words for one")
    return parse(given, name, segmenter)


def _regions(given: Any, segmenter: Segmenter | None) -> list[Region]:
    if isinstance(given, str):
        return parse_list(given, "style_where", segmenter)
    if isinstance(given, Sequence):
        return [_region("style_where", one, segmenter) for one in given]
    return [_region("style_where", given, segmenter)]


def read_inputs(
    content: PictureLike | None,
    styles: Sequence[PictureLike],
    start: PictureLike | None,
    options: PictureOptions,
    asked: Places,
    own: Region | None = None,
) -> Inputs:
    """Read the pictures and make the maps, all within ``own``, the region that the method acts in.

    Raises :class:`OptionError`, :class:`PictureError` or :class:`RegionError`.
    """
    if not styles and not asked.at:
        raise OptionError("no style picture was given; name at least one")
    if not styles and not isinstance(asked.where, Everything):
        raise OptionError(
            "where is a region for the style pictures that stand after the content, and there are none; "
            "name one, or leave where out: each at has a region of its own"
        )
    everywhere = isinstance(asked.where, Everything) and not asked.at and own is None
    feather = options.feather if isinstance(options, RestylingOptions) else 0.0
    _check_feather(feather, everywhere=everywhere)
    canvas = None if content is None else _canvas(content, options.size)
    looks = _styles([*styles, *(style for _, style in asked.at)], canvas, options, asked.style_where)
    regions: list[Region | None] = []
    if styles:
        regions.append(own if isinstance(asked.where, Everything) else _within(asked.where, own))
    regions += [_within(region, own) for region, _ in asked.at]
    groups = [looks[: len(styles)]] if styles else []
    groups += [[look] for look in looks[len(styles) :]]
    maps = _maps(regions, canvas, feather)
    placed = [Placement(tuple(group), region) for group, region in zip(groups, maps, strict=True)]
    return Inputs(canvas, tuple(placed), None if start is None else read(start))


def read_canvas(content: Picture, asked: Places) -> Inputs:
    """Return the inputs of a method that takes no style: the picture, and the map of where it may change.

    Raises :class:`RegionError` for a region that is empty or cannot be made.
    """
    if isinstance(asked.where, Everything):
        return Inputs(content, ())
    return Inputs(content, (Placement((), _as_picture(asked.where, map_of(asked.where, content))),))


def read_photograph(content: PictureLike, options: ChangingOptions, asked: Places) -> Inputs:
    """Read the picture that takes a look which was learnt, and make the map of where.

    Raises :class:`OptionError`, :class:`PictureError` or :class:`RegionError`.
    """
    everywhere = isinstance(asked.where, Everything)
    _check_feather(options.feather, everywhere=everywhere)
    canvas = _canvas(content, options.size)
    if everywhere:
        return Inputs(canvas, ())
    return Inputs(canvas, (Placement((), _maps([asked.where], canvas, options.feather)[0]),))


def _canvas(content: PictureLike, size: str) -> Picture:
    return _noted(read(content, longest=int(size) if size.isdigit() else None), size)


def _noted(canvas: Picture, size: str) -> Picture:
    """Return the content, with a note where it will be stretched."""
    height, width = canvas.native
    rows, columns = parse_size(size, canvas.native)
    if abs(columns * height / (rows * width) - 1) <= _STRETCH:
        return canvas
    told = f"stretched from {width} x {height} to {columns} x {rows} px; a plain number keeps its shape"
    return replace(canvas, notes=(*canvas.notes, told))


def _within(region: Region, own: Region | None) -> Region:
    return region if own is None else region & own


def _styles(
    given: Sequence[PictureLike], canvas: Picture | None, options: PictureOptions, regions: Sequence[Region]
) -> list[Style]:
    # A style is needed at about the result's size; a huge file need not be decoded whole for that.
    longest = None
    if canvas is not None:
        longest = round(2 * max(parse_size(options.size, canvas.native)) * options.style_scale)
    pictures = [read(style, longest=longest) for style in given]
    if len(regions) not in (1, len(pictures)):
        raise OptionError(
            f"style_where has {len(regions)} regions for {len(pictures)} style pictures; "
            "give one for all, or one for each, with commas"
        )
    parts = list(regions) * (len(pictures) if len(regions) == 1 else 1)
    return [
        Style(picture, None if isinstance(part, Everything) else _as_picture(part, map_of(part, picture)))
        for picture, part in zip(pictures, parts, strict=True)
    ]


def _check_feather(feather: float, *, everywhere: bool) -> None:
    if feather and everywhere:
        raise OptionError("feather softens the edges of regions, and there is none; name one by where or at")


def _maps(regions: Sequence[Region | None], canvas: Picture | None, feather: float) -> list[Picture | None]:
    if canvas is None:
        return [None for _ in regions]
    sigma = feather * canvas.height / canvas.native[0]
    found = [None if r is None else _as_picture(r, feathered(map_of(r, canvas), sigma)) for r in regions]
    made = [picture for picture in found if picture is not None]
    if made:
        said = coverage([p.name for p in made], [p.pixels[:, :1] for p in made])
        found[-1] = replace(made[-1], notes=tuple(said))
    return found


def _as_picture(region: Region, found: Tensor) -> Picture:
    return replace(read(found), name=str(region))


def preview_size(inputs: Inputs, options: SizedOptions) -> str:
    """Return the size of a small preview, which keeps the aspect of what was asked for."""
    native = inputs.content.native if inputs.content is not None else (512, 512)
    height, width = parse_size(options.size, native)
    factor = min(1.0, PREVIEW_SIZE / max(height, width))
    return f"{max(1, round(width * factor))}x{max(1, round(height * factor))}"

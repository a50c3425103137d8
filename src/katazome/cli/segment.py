"""The command that shows where a region is: ``katazome segment``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from katazome.cli.declare import STREAM
from katazome.cli.settings import WithNetwork
from katazome.errors import OptionError
from katazome.networks.segmenter import open_segmenter
from katazome.pictures.colour import luma
from katazome.pictures.mask import feathered
from katazome.pictures.read import read
from katazome.pictures.write import check_target, write
from katazome.regions.covering import coverage, map_of
from katazome.regions.grammar import parse

_DIMMED = 0.35


def segment(
    image: Annotated[str, Parameter(help="The picture; - reads standard input")],
    /,
    *,
    where: Annotated[str, Parameter(help="The region, in the words that stylize --where takes")],
    output: Annotated[
        str | None,
        Parameter(name=["--output", "-o"], help="File of the mask: white inside, soft values grey"),
    ] = None,
    overlay: Annotated[
        str | None, Parameter(help="File of the picture with all outside the region grey and dark")
    ] = None,
    model: Annotated[
        str | None, Parameter(help="Model that material:NAME asks (katazome train segmenter)")
    ] = None,
    weights: Annotated[
        str | None,
        Parameter(help="File of the VGG-19 weights that the model was trained on, if not the usual"),
    ] = None,
    feather: Annotated[float, Parameter(help="Soften the edge by a Gaussian of so many pixels")] = 0.0,
    depth: Annotated[int, Parameter(help="Bits a sample of the mask: 8, or 16 (PNG and TIFF)")] = 8,
    overwrite: Annotated[bool, Parameter(help="Replace files that are there already")] = False,
) -> int:
    """Make a mask of a region, and a picture that shows it."""
    image = "-" if image == STREAM else image
    output, overlay = ("-" if name == STREAM else name for name in (output, overlay))
    if output is None and overlay is None:
        raise OptionError("nothing to write was named; give -o MASK.png, --overlay SHOW.png, or both")
    if not 0 <= feather <= 1000:
        raise OptionError(f"feather is {feather:g}; it must be 0..1000")
    segmenter = None if model is None else open_segmenter(Path(model), WithNetwork(weights=weights).network())
    region = parse(where, "where", segmenter)
    for target in (output, overlay):
        if target is not None:
            check_target(target, overwrite=overwrite, depth=depth)
    picture = read(image)
    found = feathered(map_of(region, picture), feather)
    if output is not None:
        write(found.expand(-1, 3, -1, -1), output, depth=depth, overwrite=overwrite)
    if overlay is not None:
        dark = _DIMMED * luma(picture.pixels)
        shown = found * picture.pixels + (1 - found) * dark
        write(shown, overlay, overwrite=overwrite)
    for said in coverage([str(region)], [found]):
        print(said, file=sys.stderr)
    return 0

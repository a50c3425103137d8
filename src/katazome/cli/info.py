"""The commands that read recipes: ``katazome info`` and ``katazome compare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from katazome.cli.declare import STREAM
from katazome.errors import OptionError
from katazome.jobs.compare import compare as compared
from katazome.jobs.compare import compared_sheet
from katazome.jobs.recorded import told
from katazome.pictures.write import check_target, write
from katazome.recipe import open_recipe

_LABEL = 12
_CELLS = (64, 4096)


def info(
    *pictures: Annotated[str, Parameter(help="Pictures, or recipes as --json prints them; - reads one")],
    as_json: Annotated[
        bool, Parameter(name="--json", help="Print the recipe itself, to keep or to pass on")
    ] = False,
) -> int:
    """Say what made a picture."""
    if not pictures:
        raise OptionError("no picture was given; name one or several")
    for picture in pictures:
        recipe = open_recipe("-" if picture == STREAM else picture)
        if as_json:
            print(json.dumps(recipe.to_json(), indent=2, ensure_ascii=False, allow_nan=False))
            continue
        print("standard input" if picture == STREAM else picture)
        for label, text in told(recipe):
            print(f"  {label:{_LABEL}}{text}")
    return 0


def compare(
    *pictures: Annotated[str, Parameter(help="Two pictures or more")],
    output: Annotated[
        str | None, Parameter(name=["--output", "-o"], help="File of the sheet; open: words alone")
    ] = None,
    cell: Annotated[int, Parameter(help="Side of a picture's place on the sheet, px")] = 384,
    overwrite: Annotated[bool, Parameter(help="Replace the sheet if it is there already")] = False,
) -> int:
    """Say what differs between pictures in how they were made, and lay them beside each other."""
    low, high = _CELLS
    if not low <= cell <= high:
        raise OptionError(f"cell is {cell}; it must be {low}..{high}")
    target = "-" if output == STREAM else output
    if target is not None:
        check_target(target, overwrite=overwrite)
    found = compared(pictures, cell)
    if target is not None:
        write(compared_sheet(found, cell), target, overwrite=overwrite)
    if target != "-":  # there the sheet has gone
        for one, given in zip(found, pictures, strict=True):
            print(f"{Path(given)}: {one.words}")
    return 0

"""The command that writes a network for other programs: ``katazome export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from katazome.cli.show import tell
from katazome.errors import OptionError, OutputError
from katazome.networks.feedforward import SHELF
from katazome.networks.onnx_export import export_onnx

SUFFIX = ".onnx"


def export(
    model: Annotated[
        str,
        Parameter(
            help="The network: a file of `katazome train feedforward`, or the name of one that comes along"
        ),
    ],
    /,
    *,
    output: Annotated[str | None, Parameter(name=["--output", "-o"], help="File to write, *.onnx")] = None,
    overwrite: Annotated[bool, Parameter(help="Replace the file if it is there already")] = False,
    quiet: Annotated[bool, Parameter(help="Say nothing but errors")] = False,
) -> int:
    """Write a network for one style as ONNX: in and out a picture of any size."""
    if output is None:
        raise OptionError("no file was named; give one by -o MODEL.onnx")
    path = Path(output)
    if path.suffix != SUFFIX:
        raise OptionError(f"'{path.name}' is not called so; only {SUFFIX} is written")
    if not path.parent.is_dir():
        raise OutputError(f"there is no folder '{path.parent}' to write '{path.name}' into; make it first")
    if path.exists() and not overwrite:
        raise OutputError(f"'{path}' is there already; choose another name, or --overwrite to replace it")
    weights = SHELF.opened(model)
    found = export_onnx(weights, path)
    told = ", ".join(f"{found[size]:.1e} at {size[1]} x {size[0]} px" for size in found)
    tell(
        f"{path}: from 'picture' to 'restyled', both (1, 3, H, W) sRGB in [0, 1]; largest difference from "
        f"this program's float32: {told}",
        quiet=quiet,
    )
    return 0

"""Checkpoints: where a descent stands, in one file that code can only read as data.

The picture, the optimiser's tensors and the input files' own bytes, with a JSON header
(:mod:`katazome.weights.tensorfile`). Nothing outside it is needed to go on, so inputs may have come
from a pipe or been moved since.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from katazome.descent.loop import Checkpoint
from katazome.errors import PictureError
from katazome.weights import tensorfile
from katazome.weights.tensorfile import Damaged, read_tensors, write_tensors

FORMAT = 1
SUFFIX = ".checkpoint"
_OPTIMISER = "optimiser."
_EXTRA = "extra."


def checkpoint_path(output: Path) -> Path:
    """Return the checkpoint's name for an output file: ``out.png.checkpoint``."""
    return output.with_name(output.name + SUFFIX)


def write_checkpoint(
    path: Path, checkpoint: Checkpoint, header: Mapping[str, Any], extra: Mapping[str, Tensor]
) -> None:
    """Write a checkpoint with the caller's own ``header`` (JSON values) and ``extra`` tensors.

    Raises :class:`OutputError` when it cannot be written; the last whole one then still stands.
    """
    tensors = {"picture": checkpoint.picture}
    tensors |= {_OPTIMISER + k: v for k, v in checkpoint.optimiser.items()}
    tensors |= {_EXTRA + k: v for k, v in extra.items()}
    place = {
        "format": FORMAT,
        "stage": checkpoint.stage,
        "iteration": checkpoint.iteration,
        "seconds": checkpoint.seconds,
        "calm": checkpoint.calm,
        "first_loss": checkpoint.first_loss.hex(),
        "header": dict(header),
    }
    write_tensors(path, tensors, place, what="the checkpoint")


def read_checkpoint(path: Path) -> tuple[Checkpoint, dict[str, Any], dict[str, Tensor]]:
    """Read a checkpoint back: where the descent stands, the header, the extra tensors.

    Raises :class:`PictureError` when the file is missing, damaged or not a checkpoint.
    """
    _look_for(path)
    try:
        tensors, place = read_tensors(path)
        if place["format"] != FORMAT:
            raise PictureError(
                f"{path} is a checkpoint of format {place['format']}, this version reads {FORMAT}; "
                "go on with the version of katazome that wrote it"
            )
        checkpoint = Checkpoint(
            stage=int(place["stage"]),
            iteration=int(place["iteration"]),
            seconds=float(place["seconds"]),
            calm=int(place["calm"]),
            first_loss=float.fromhex(place["first_loss"]),
            picture=tensors["picture"],
            optimiser=_below(tensors, _OPTIMISER),
        )
        return checkpoint, dict(place["header"]), _below(tensors, _EXTRA)
    except (Damaged, KeyError, TypeError, ValueError) as error:
        raise _not_whole(path, error) from error


def read_header(path: Path) -> dict[str, Any]:
    """Read a checkpoint's header alone; see :func:`read_checkpoint`."""
    _look_for(path)
    try:
        return dict(tensorfile.read_header(path)["header"])
    except (Damaged, KeyError, TypeError, ValueError) as error:
        raise _not_whole(path, error) from error


def _look_for(path: Path) -> None:
    if not path.is_file():
        raise PictureError(f"there is no checkpoint {path}")


def _not_whole(path: Path, error: Exception) -> PictureError:
    return PictureError(f"{path} is not a whole checkpoint ({error}); start the work again")


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def bytes_to_tensor(data: bytes) -> Tensor:
    """Return bytes as a tensor (N,) uint8."""
    return torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)


def tensor_to_bytes(tensor: Tensor) -> bytes:
    """The inverse of :func:`bytes_to_tensor`."""
    return tensor.numpy().tobytes()

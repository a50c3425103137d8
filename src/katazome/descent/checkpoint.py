"""Checkpoints: where a descent stands, in one file that code can only read as data.

A safetensors file: the picture, the optimiser's tensors and the input files' own bytes, with a
JSON header. Nothing outside it is needed to go on, so inputs may have come from a pipe or been
moved since. Written beside and renamed: a kill at any moment leaves the last whole one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from katazome.descent.loop import Checkpoint
from katazome.errors import OutputError, PictureError

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
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        whole = _apart(tensors)
        metadata = {"katazome": json.dumps(place), "blake2b": _digest(whole, json.dumps(place))}
        save_file(whole, beside, metadata=metadata)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"the checkpoint {path} cannot be written: {_reason(error)}") from error
    finally:
        beside.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> tuple[Checkpoint, dict[str, Any], dict[str, Tensor]]:
    """Read a checkpoint back: where the descent stands, the header, the extra tensors.

    Raises :class:`PictureError` when the file is missing, damaged or not a checkpoint.
    """
    if not path.is_file():
        raise PictureError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            place = json.loads(metadata["katazome"])
            # Copied: tensors of a file lie at other addresses modulo 64 than those that torch makes,
            # and sums are taken in another order there, so the last bits would differ.
            tensors: dict[str, Tensor] = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
        if place["format"] != FORMAT:
            raise PictureError(
                f"{path} is a checkpoint of format {place['format']}, this version reads {FORMAT}; "
                "go on with the version of katazome that wrote it"
            )
        if metadata["blake2b"] != _digest(tensors, metadata["katazome"]):
            raise PictureError(
                f"{path} is damaged: what it holds is not what was written; start the work again"
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
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError(f"{path} is not a whole checkpoint ({error}); start the work again") from error


def read_header(path: Path) -> dict[str, Any]:
    """Read a checkpoint's header alone; see :func:`read_checkpoint`."""
    if not path.is_file():
        raise PictureError(f"there is no checkpoint {path}")
    try:
        with safe_open(path, framework="pt") as file:
            return dict(json.loads((file.metadata() or {})["katazome"])["header"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise PictureError(f"{path} is not a whole checkpoint ({error}); start the work again") from error


def _digest(tensors: Mapping[str, Tensor], place: str) -> str:
    """Return a hash of all that a checkpoint holds; its format has none of its own."""
    found = hashlib.blake2b(place.encode(), digest_size=16)
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _reason(error: Exception) -> str:
    # safetensors hands the system's error on as text alone
    if getattr(error, "errno", None) == errno.ENOSPC or f"(os error {errno.ENOSPC})" in str(error):
        return "the disk is full; make room, or choose another folder"
    return getattr(error, "strerror", None) or str(error)


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with memory of their own each, as the format wants it; copied only where shared.

    The last iterate is the picture, and the optimiser's pairs are rows of larger matrices.
    """
    found: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        whole = tensor.detach().cpu().contiguous()
        memory = whole.untyped_storage()
        if memory.data_ptr() in taken or memory.nbytes() != whole.nbytes:
            whole = whole.clone()
        taken.add(whole.untyped_storage().data_ptr())
        found[name] = whole
    return found


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def bytes_to_tensor(data: bytes) -> Tensor:
    """Return bytes as a tensor (N,) uint8."""
    return torch.frombuffer(bytearray(data), dtype=torch.uint8) if data else torch.empty(0, dtype=torch.uint8)


def tensor_to_bytes(tensor: Tensor) -> bytes:
    """The inverse of :func:`bytes_to_tensor`."""
    return tensor.numpy().tobytes()

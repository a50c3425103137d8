"""Tensors and a JSON header in one file that is read as data alone: checkpoints, and models of our own.

A safetensors file with a hash of all that it holds, which the format itself has not. Written beside and
renamed: a kill at any moment leaves the last whole one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from katazome.errors import OutputError


class Damaged(Exception):
    """A file is not whole, or is none of this kind; the reason is its text."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any], *, what: str) -> None:
    """Write ``tensors`` and a ``header`` of JSON values; ``what`` names the file's kind in errors.

    Raises :class:`OutputError` when it cannot be written; the last whole one then still stands.
    """
    text = json.dumps(dict(header), ensure_ascii=False)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        whole = _apart(tensors)
        beside.touch()
        readers = beside.stat().st_mode  # as for any file of this user's; safetensors would keep others out
        save_file(whole, beside, metadata={"katazome": text, "blake2b": _digest(whole, text)})
        beside.chmod(readers)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(path)
    except (OSError, SafetensorError) as error:
        cause = _of_system(error)
        raise OutputError(f"{what} {path} cannot be written: {_reason(cause)}") from cause
    finally:
        beside.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file back: its tensors, on the CPU, and its header.

    Raises :class:`Damaged` when it is not whole or not of this kind.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Copied: tensors of a file lie at other addresses modulo 64 than those that torch makes,
            # and sums are taken in another order there, so the last bits would differ.
            tensors: dict[str, Tensor] = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
        header = _header(metadata)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise Damaged(str(error)) from error
    if metadata.get("blake2b") != _digest(tensors, metadata["katazome"]):
        raise Damaged("what it holds is not what was written")
    return tensors, header


def read_header(path: Path) -> dict[str, Any]:
    """Read a file's header alone, unchecked; see :func:`read_tensors`."""
    try:
        with safe_open(path, framework="pt") as file:
            return _header(file.metadata() or {})
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise Damaged(str(error)) from error


def _header(metadata: Mapping[str, str]) -> dict[str, Any]:
    found = json.loads(metadata["katazome"])
    if not isinstance(found, dict):
        raise ValueError("its header is no JSON object")
    return found


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    found = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _of_system(error: Exception) -> Exception:
    """Return the system's error, which safetensors hands on as text alone; others as they are."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return error if found is None else OSError(int(found[1]), os.strerror(int(found[1])))


def _reason(error: Exception) -> str:
    if getattr(error, "errno", None) == errno.ENOSPC:
        return "the disk is full; make room, or choose another folder"
    return getattr(error, "strerror", None) or str(error)


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with memory of their own each, as the format wants it; copied only where shared.

    A checkpoint's last iterate is the picture, and the optimiser's pairs are rows of larger matrices.
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

"""Models that come with the program, and what their files say of themselves. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

_LONGEST = 1 << 20


@dataclass(frozen=True)
class OwnModel:
    """A model of the package: its file's name without the suffix, bytes, and its card."""

    name: str
    size: int
    card: Mapping[str, Any]
    """What the file says: kind, layer, data, terms, losses, limits, ..."""


def folder() -> Traversable:
    """Return the folder of the package's models."""
    return files("katazome.weights") / "models"


def models() -> list[OwnModel]:
    """Return the package's models, in order of their names."""
    found = []
    for file in folder().iterdir() if folder().is_dir() else ():
        if file.name.endswith(".safetensors"):
            content = file.read_bytes()
            found.append(OwnModel(file.name.removesuffix(".safetensors"), len(content), card(content)))
    return sorted(found, key=lambda model: model.name)


def card(content: bytes) -> dict[str, Any]:
    """Return what a model's file (safetensors) says of itself.

    Raises :class:`ValueError` when it is none of ours.
    """
    length = int.from_bytes(content[:8], "little")
    if length > min(_LONGEST, len(content)):
        raise ValueError("it is no safetensors file")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    found = json.loads(metadata["katazome"]) if "katazome" in metadata else None
    if not isinstance(found, dict):
        raise ValueError("it says nothing of itself")
    return found

"""Files of models that are learnt here: tensors, and a card that says what they are and of what."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from katazome.errors import GivenWeightsError
from katazome.weights.tensorfile import Damaged, read_header, read_tensors, write_tensors

_KIND, _FORMAT = "kind", "format"


@dataclass(frozen=True, kw_only=True)
class Card:
    """What a model's file says of how it came about; each kind adds what it needs to be built."""

    trunk: Mapping[str, str]
    """``name`` and ``sha256`` of the VGG-19 weights that it reads, or learnt by."""
    what: str = ""
    """A line for people."""
    data: Mapping[str, int] = field(default_factory=dict)
    """Pictures by folder."""
    terms: str = ""
    """On what terms the pictures were to be had, as the person who trained it said."""
    options: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    losses: Mapping[str, float] = field(default_factory=dict)
    """On pictures held out, as the lesson measures them."""
    limits: str = ""


@dataclass(frozen=True)
class Kind:
    """A kind of model: its name in files, the format that this version reads, and its name in sentences.

    ``command`` makes such a model.
    """

    name: str
    format: int
    what: str
    command: str

    def write(self, path: Path, tensors: Mapping[str, Tensor], card: Mapping[str, Any]) -> None:
        """Write a model; :class:`katazome.errors.OutputError` when it cannot be."""
        header = {_KIND: self.name, _FORMAT: self.format, **card}
        write_tensors(path, tensors, header, what=f"the {self.what}")

    def read(self, path: Path) -> tuple[dict[str, Tensor], dict[str, Any], str]:
        """Return a model's tensors, its card and the file's SHA-256.

        Raises :class:`GivenWeightsError` when it is missing, damaged, of another kind or another format.
        """
        if not path.is_file():
            raise GivenWeightsError(f"there is no {self.what} {path}; make one with `{self.command}`")
        try:
            tensors, header = read_tensors(path)
        except Damaged as error:
            raise self.wrong(path, str(error)) from error
        if header.get(_KIND) != self.name:
            raise self.wrong(path, f"it is a {header.get(_KIND, 'file of something else')}")
        if header.get(_FORMAT) != self.format:
            raise self.wrong(path, f"its format is {header.get(_FORMAT)}, this version reads {self.format}")
        card = {name: value for name, value in header.items() if name not in (_KIND, _FORMAT)}
        return tensors, card, hashlib.sha256(path.read_bytes()).hexdigest()

    def wrong(self, path: Path, reason: str) -> GivenWeightsError:
        """Return the error for a file that is no such model."""
        return GivenWeightsError(f"{path} is no {self.what}: {reason}")


def kind_of(path: Path) -> str | None:
    """Return the name of the kind that a file says it is of; None when it is missing or says nothing."""
    try:
        found = read_header(path).get(_KIND)
    except Damaged:
        return None
    return found if isinstance(found, str) else None

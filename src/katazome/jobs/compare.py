"""Pictures beside each other, with what differs in how they were made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from katazome.errors import OptionError
from katazome.jobs.recorded import differing
from katazome.pictures.composite import composite
from katazome.pictures.read import Picture, read
from katazome.pictures.sheet import sheet
from katazome.recipe import read_recipe

_ROW = 4
"""So many pictures stand in one row; more make a square."""


@dataclass(frozen=True)
class Compared:
    """A picture, and what is its own in its recipe; None where it has none."""

    name: str
    picture: Picture
    differs: dict[str, str] | None

    @property
    def words(self) -> str:
        """What differs, in words."""
        if self.differs is None:
            return "no recipe in it"
        return ", ".join(f"{name} {text}" for name, text in self.differs.items()) or "made as the others"


def compare(files: Sequence[str | Path], cell: int) -> list[Compared]:
    """Read pictures and tell what differs between the recipes in them.

    ``cell`` is the side in px at which they will be shown: huge ones need not be decoded whole.

    Raises :class:`OptionError` for fewer than two, :class:`PictureError` for what cannot be read.
    """
    if len(files) < 2:
        raise OptionError(f"{len(files) or 'no'} picture was given; name two or more to compare")
    pictures = [read(file, longest=cell) for file in files]
    recipes = [read_recipe(picture.source or b"") for picture in pictures]
    own = iter(differing([recipe for recipe in recipes if recipe is not None]))
    return [
        Compared(Path(file).name, picture, None if recipe is None else next(own))
        for file, picture, recipe in zip(files, pictures, recipes, strict=True)
    ]


def compared_sheet(found: Sequence[Compared], cell: int) -> Tensor:
    """Lay compared pictures out on a contact sheet (1, 3, H, W), sRGB in [0, 1]."""
    across = len(found) if len(found) <= _ROW else math.ceil(math.sqrt(len(found)))
    cells = [(f"{one.name}: {one.words}", opaque(one.picture)) for one in found]
    return sheet([cells[n : n + across] for n in range(0, len(cells), across)], cell=cell)


def opaque(picture: Picture) -> Tensor:
    """Return a picture's pixels (1, 3, H, W), what is transparent laid on white."""
    if picture.alpha is None:
        return picture.pixels
    return composite(picture.pixels, torch.ones_like(picture.pixels), picture.alpha)

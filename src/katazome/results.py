"""What a piece of work comes to: the finished picture, the figures of its steps, its recipe."""

from __future__ import annotations

import os
from dataclasses import dataclass

from PIL import Image
from torch import Tensor

from katazome.descent.loop import Checkpoint, Step
from katazome.pictures.write import encode, to_image, write
from katazome.recipe import Recipe
from katazome.work import Work


@dataclass(frozen=True, slots=True)
class Record:
    """The figures of one step that has passed."""

    scale: int
    index: int
    loss: float
    terms: dict[str, float]
    seconds: float
    note: str


@dataclass(frozen=True, repr=False)
class Result:
    """A finished picture, how it came about, and its recipe."""

    tensor: Tensor
    """(1, 3, H, W), or 4 channels with alpha, sRGB in [0, 1], on the CPU."""
    steps: tuple[Record, ...]
    recipe: Recipe

    @property
    def image(self) -> Image.Image:
        """The picture as an 8-bit Pillow image."""
        return to_image(self.tensor)

    def save(
        self,
        target: str | os.PathLike[str],
        *,
        depth: int = 8,
        overwrite: bool = False,
        with_recipe: bool = True,
    ) -> None:
        """Write the picture; the format is the suffix's. See :func:`katazome.pictures.write.write`."""
        metadata = self.recipe.to_xmp() if with_recipe else None
        write(self.tensor, target, depth=depth, metadata=metadata, overwrite=overwrite)

    def __repr__(self) -> str:
        height, width = self.tensor.shape[2:]
        return f"<Result {width} x {height} px, {len(self.steps)} steps>"

    def _repr_png_(self) -> bytes:
        return encode(self.tensor, "png")


def drain(work: Work, resume: Checkpoint | None = None) -> Result:
    """Run a piece of work to its end."""
    records: list[Record] = []
    picture: Tensor | None = None
    for step in work.steps(resume):
        records.append(record(step))
        if step.last:
            picture = step.picture
    assert picture is not None
    return Result(picture.cpu(), tuple(records), work.recipe)


def record(step: Step) -> Record:
    """Return a step's figures."""
    return Record(step.scale, step.index, step.loss, step.terms, step.seconds, step.note)

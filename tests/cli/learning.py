"""What the tests of the train commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from katazome.cli import training
from katazome.training.trainer import TrainingStep, train

Katazome = Callable[..., int]


def scribbles(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """Make a folder of coarse colours, ``count`` pictures below it and one that is none; return it."""
    inside = folder / "in" / "more"
    inside.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number in range(count):
        coarse = draw.integers(0, 255, (6, 7, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize(size).save(inside / f"{number}.png")
    (inside / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    return folder / "in"


def interrupted(katazome: Katazome, command: tuple[object, ...], model: str, at: int) -> None:
    """Train, keeping every step, until Ctrl-C comes after step ``at``."""

    def ended(*arguments: Any) -> Iterator[TrainingStep]:
        for step in train(*arguments):
            yield step
            if step.index == at:
                raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", ended)
        assert katazome(*command, "-o", model, "--save-every", "0") == 130
    assert Path(f"{model}.checkpoint").exists()


def same(one: str, other: str) -> bool:
    """Whether two models hold the same numbers."""
    a, b = load_file(one), load_file(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)

"""A lesson for several processes: parts of batches, and a term that compares all rows with each other.

As a program (``python -m torch.distributed.run ... -m tests.several FOLDER``) it trains in as many processes
as it is started in, and leaves what it came to in files of a folder, one of each process.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from katazome import processes
from katazome.collections.cache import drained
from katazome.collections.folders import find
from katazome.errors import KatazomeError
from katazome.networks.vgg import Encoder
from katazome.training import distributed, pairs
from katazome.training.data import Squares
from katazome.training.steps import feedforward, wae
from katazome.training.trainer import Lesson, TrainingOptions, train
from tests.tiny import tiny_vgg

OPTIONS = TrainingOptions(steps=12, batch=8, learning_rate=0.05, averaging=0.9, clip=1.0, weight_decay=0.01)


class Coding:
    """Learns codes of points that are far from each other, and to give the points back."""

    def __init__(self, breaks_in: int = -1) -> None:
        # Another beginning in each process, which must not matter.
        torch.manual_seed(processes.rank())
        self.module = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3))
        self._breaks_in = breaks_in

    def terms(self, step: int, draw: torch.Generator) -> Mapping[str, Tensor]:
        mine = distributed.part(OPTIONS.batch)
        points = torch.rand(OPTIONS.batch, 3, generator=draw)[mine]
        codes = self.module[1](self.module[0](points))
        made = self.module[2](codes)
        rows = distributed.gathered(codes)
        near = 1 / (1 + (rows[:, None] - rows[None]).square().sum(2))
        terms = {"points": (made - points).square().mean(), "near": (near * distance(len(rows))).mean()}
        if step == 4 and self._breaks_in == processes.rank():
            terms["points"] = terms["points"] / 0
        return terms


def distance(count: int) -> Tensor:
    """Weights by which rows count unlike, so that it matters which process has which."""
    place = torch.arange(count).float()
    return (place[:, None] - place[None]).abs() + place


def learnt() -> dict[str, Tensor]:
    """Train, and return the weights and the terms of the last step."""
    lesson = Coding()
    last = list(train(lesson, OPTIONS))[-1]
    terms = {name: torch.tensor(value) for name, value in last.terms.items()}
    return {**lesson.module.state_dict(), **terms}


def failure() -> str:
    """Train what breaks in the second process, and return what is said of it."""
    try:
        list(train(Coding(breaks_in=1), OPTIONS))
    except KatazomeError as error:
        return str(error)
    return ""


def refused() -> str:
    """Ask for a batch that cannot be shared out, in the first process alone, for all."""
    try:
        processes.from_first(lambda: distributed.part(7))
    except KatazomeError as error:
        return str(error)
    return ""


def derived(lesson: Lesson) -> dict[str, Tensor]:
    """Return the terms of a lesson's first step, and their gradients."""
    terms = lesson.terms(0, torch.Generator().manual_seed(1))
    values = torch.stack(list(terms.values()))
    torch.autograd.backward(values.sum())
    found = {n: p.grad for n, p in lesson.module.named_parameters() if p.grad is not None}
    found |= {name: value.detach().clone() for name, value in zip(terms, values, strict=True)}
    distributed.average(list(found.values()))
    return found


def lessons(folder: Path) -> dict[str, dict[str, Tensor]]:
    """Derive the networks' own lessons, on the pictures below ``in``; in float32, whatever is fast here."""
    encoder, sources = Encoder(tiny_vgg()), find([folder / "in"])
    with (
        patch.object(pairs, "supports_bfloat16", lambda _: False),
        patch.object(feedforward, "supports_bfloat16", lambda _: False),
    ):
        codes = wae.WAEOptions(
            resolution=32, batch=6, style_size=5, content_size=4, regime="swap", spatial=True
        )
        net, _ = wae.fresh(encoder, codes)
        seen = drained(pairs.descriptions(encoder, net, 32, sources, folder / "cache"))
        style = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
        options = feedforward.FeedForwardOptions(batch=4, width=4)
        return {
            "autoencoder": derived(wae.WAELesson(encoder, net, pairs.Pairs(seen, 32), codes)),
            "one style": derived(
                feedforward.FeedForwardLesson(encoder, style, Squares(sources, 64), options)
            ),
        }


if __name__ == "__main__":
    processes.join("cpu")
    torch.set_num_threads(1)
    found: dict[str, Any] = {"learnt": learnt(), "failure": failure(), "refused": refused()}
    found |= lessons(Path(sys.argv[1]))
    found["any"] = [processes.in_any(processes.rank() == number) for number in (0, 1, 2)]
    torch.save(found, Path(sys.argv[1]) / f"{processes.rank()}.pt")

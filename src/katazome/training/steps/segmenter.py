"""Learning a segmenter's head from image labels alone, on features that were computed once.

A step draws classes alike often, then pictures of them, mirrors half of them and looks at a window of each:
the soft maximum over a window's positions must name the class, wherever the window lies, so the positions
learn it. Source: seed 3 and sheet 3, "image-level labels"; departures: the trunk stays as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.collections.cache import FeatureCache, Features, Progress
from katazome.collections.folders import Source
from katazome.device import supports_bfloat16
from katazome.errors import OptionError, PictureError
from katazome.networks.segmenter import Facts, Head, Segmenter, pooled
from katazome.networks.vgg import Encoder, tap
from katazome.options import option
from katazome.pictures.colour import luma
from katazome.training.distributed import part
from katazome.training.trainer import TrainingOptions

_TOGETHER = 32

HELD_OUT = 5
"""Every fifth picture of a class is not learnt from, but asked about at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterOptions(TrainingOptions):
    """How a segmenter is trained."""

    steps: int = option(1500, help="Steps of training", low=1, group="Work")
    weight_decay: float = option(0.05, help="Pull of the parameters to zero (AdamW)", low=0, group="Work")
    layer: str = option("relu5_3", help="Layer of VGG-19 that the classes are told from", group="Look")
    side: int = option(
        224,
        help="Side that pictures are cut and resized to",
        unit="px",
        low=64,
        high=1024,
        group="Look",
    )
    grey: bool = option(
        False, help="Learn and see brightness alone, for sets that differ in colour", group="Look"
    )
    window: float = option(
        0.5,
        help="Smallest side of the window that a step looks at, of the whole's",
        low=0.1,
        high=1,
        group="Work",
    )

    def __post_init__(self) -> None:
        TrainingOptions.__post_init__(self)
        known = tap(self.layer)
        if not known.name.startswith("relu") or known.block < 3:
            raise OptionError(
                f"layer is '{self.layer}'; classes are told from a layer after a ReLU, relu3_1 or deeper"
            )
        if self.side < 3 * known.stride:
            raise OptionError(f"side is {self.side}; {known.name} needs at least {3 * known.stride}")


@dataclass(frozen=True)
class Lot:
    """Pictures with the number of each one's class."""

    sources: tuple[Source, ...]
    labels: tuple[int, ...]


def split(classes: Mapping[str, Sequence[Source]]) -> tuple[Lot, Lot]:
    """Return the pictures to learn from and those to be asked about, of every class some.

    Which is which depends on the pictures' names alone: adding pictures moves few others.

    Raises :class:`PictureError` for fewer than two classes, or a class of fewer than two pictures.
    """
    if len(classes) < 2:
        raise PictureError(
            f"there is one class, '{next(iter(classes))}': nothing to tell it from; give others"
        )
    lots: tuple[list[tuple[Source, int]], list[tuple[Source, int]]] = ([], [])
    for number, (name, sources) in enumerate(classes.items()):
        if len(sources) < 2:
            raise PictureError(
                f"the class '{name}' has one picture; it needs one to learn from and one to be asked about"
            )
        drawn = sorted(sources, key=lambda s: hashlib.sha256(s.name.encode()).hexdigest())
        asked = max(1, len(drawn) // HELD_OUT)
        lots[1].extend((source, number) for source in drawn[:asked])
        lots[0].extend((source, number) for source in drawn[asked:])
    made = [Lot(tuple(s for s, _ in lot), tuple(n for _, n in lot)) for lot in lots]
    return made[0], made[1]


def precision_of(encoder: Encoder) -> str:
    """Return the arithmetic that features are computed in: the fast one, where there is one."""
    return "bfloat16" if supports_bfloat16(encoder.device) else "float32"


def features(
    encoder: Encoder, options: SegmenterOptions, sources: Sequence[Source]
) -> Generator[Progress, None, Features]:
    """Compute what the trunk sees in pictures, or take it from the cache: rows (C, h, w) at the layer."""
    name = tap(options.layer).name
    fast = getattr(torch, precision_of(encoder))
    trunk = encoder.with_(padding=("zeros", "zeros"), dtype=fast)

    def compute(pixels: Tensor) -> Tensor:
        seen = luma(pixels).expand_as(pixels) if options.grey else pixels
        return trunk(seen.to(trunk.device), [name])[name]

    key = {
        "network": encoder.weights.sha256,
        "layer": name,
        "crop": "centre square",
        "grey": options.grey,
        "precision": precision_of(encoder),
    }
    places = options.side // tap(name).stride
    cache = FeatureCache(key, options.side, (trunk.channels(name), places, places), compute)
    return cache.fill(sources)


class SegmenterLesson:
    """What a segmenter learns; see :class:`katazome.training.trainer.Lesson`."""

    def __init__(
        self, rows: Features, labels: Sequence[int], classes: int, options: SegmenterOptions
    ) -> None:
        self._rows, self._options = rows, options
        self._of_class = [[i for i, label in enumerate(labels) if label == n] for n in range(classes)]
        channels, self._places = rows.shape[0], rows.shape[1]
        with torch.random.fork_rng():
            torch.manual_seed(options.seed)
            self.module = Head(channels, classes)
        self.module.standardise(*_spread(rows))

    def terms(self, step: int, draw: torch.Generator) -> dict[str, Tensor]:  # noqa: ARG002
        """See :class:`katazome.training.trainer.Lesson`."""
        count = self._options.batch
        classes = torch.randint(len(self._of_class), (count,), generator=draw).tolist()
        chances = torch.rand(count, 5, generator=draw).tolist()
        chosen = [
            self._of_class[c][int(chance[0] * len(self._of_class[c]))]
            for c, chance in zip(classes, chances, strict=True)
        ]
        mine = part(count)
        rows = self._rows.rows(chosen[mine])
        # One window a step for all: its size is drawn, and each row's place.
        size = self._window(chances[0][4])
        seen = [self._seen(row, size, chance) for row, chance in zip(rows, chances[mine], strict=True)]
        scores = pooled(self.module(torch.stack(seen)))
        return {"labels": F.cross_entropy(scores, torch.tensor(classes[mine]))}

    def _window(self, chance: float) -> int:
        least = max(1, round(self._options.window * self._places))
        return least + int(chance * (self._places - least + 1))

    def _seen(self, row: Tensor, size: int, chance: Sequence[float]) -> Tensor:
        free = self._places - size + 1
        top, left = int(chance[1] * free), int(chance[2] * free)
        seen = row[:, top : top + size, left : left + size]
        return seen.flip(2) if chance[3] < 0.5 else seen


def _spread(rows: Features) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of the channels over all positions of all rows."""
    total, squares = torch.zeros(rows.shape[0]).double(), torch.zeros(rows.shape[0]).double()
    for start in range(0, len(rows), _TOGETHER):
        some = rows.rows(range(start, min(start + _TOGETHER, len(rows)))).double()
        total += some.mean((2, 3)).sum(0)
        squares += some.square().mean((2, 3)).sum(0)
    mean = total / len(rows)
    return mean.float(), (squares / len(rows) - mean.square()).clamp_min(0).sqrt().float()


@dataclass(frozen=True)
class Asked:
    """How well held-out pictures were told: ``confusion`` by true class (rows) and told class (columns)."""

    accuracy: float | None
    confusion: tuple[tuple[int, ...], ...]


def ask(head: Head, rows: Features, labels: Sequence[int], classes: int) -> Asked:
    """Ask for the classes of pictures that were not learnt from."""
    table = [[0] * classes for _ in range(classes)]
    with torch.no_grad():
        for number, label in enumerate(labels):
            told = int(pooled(head(rows.rows([number]))).argmax())
            table[label][told] += 1
    right = sum(table[n][n] for n in range(classes))
    accuracy = right / len(labels) if labels else None
    return Asked(accuracy, tuple(tuple(row) for row in table))


def made(
    lesson: SegmenterLesson,
    encoder: Encoder,
    options: SegmenterOptions,
    facts: Mapping[str, Any],
    asked: Asked,
) -> Segmenter:
    """Return the segmenter that was learnt, with what its file says of it."""
    weights = encoder.weights
    whole = Facts(
        layer=tap(options.layer).name,
        side=options.side,
        grey=options.grey,
        trunk={"name": weights.name, "flavour": weights.flavour, "sha256": weights.sha256},
        options=options.to_json(),
        accuracy=asked.accuracy,
        confusion=asked.confusion,
        **facts,
    )
    return Segmenter(weights, lesson.module.requires_grad_(False).eval(), whole)

"""The stream of steps: the one descent, and pictures that are made in one pass.

Every method that optimises a picture hands over a :class:`Problem` and a walk of stages and reads
back a stream of :class:`Step`. Bars, files, previews are consumers of the stream; to stop is to
close it. Nothing here prints or saves, and no gradient mode leaks to the caller.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from katazome.descent.optimisers import Optimiser, State
from katazome.descent.scales import Stage
from katazome.device import exact_dtype, trim_heap
from katazome.errors import MethodError
from katazome.objective.whole import Evaluation, Objective
from katazome.pictures.resize import resize
from katazome.pictures.write import to_image

SETTLED_CHANGE = 4e-5
"""RMS change of the moving pixels per step (pixel range 0..1): a hundredth of a grey level of 8 bits."""

SETTLED_STEPS = 8
"""So many steps in a row with less change mean that the picture no longer changes."""

EXPLODED = 10.0
"""A loss this many times the first of its stage means that the descent has been lost."""

MOST_RECOVERIES = 5
"""After so many explosions within a stage the last good picture is taken as the result."""

LOOK_EVERY_ON_GPU = 10
"""Steps between readings of the loss on a GPU, where each reading makes it wait."""


class Problem(Protocol):
    """What a method gives the loop: an objective for each stage, and a start."""

    def objective(self, stage: Stage) -> Objective:
        """Return the objective at the stage's size and precision; targets are made here."""

    def start(self, stage: Stage) -> Tensor:
        """Return the first picture (1, 3, H, W) at the first stage's size."""


_Position = tuple[int, int, float, int, float]
"""The first five fields of a :class:`Checkpoint`."""


@dataclass(frozen=True)
class Checkpoint:
    """Where the descent stands, before the step that follows: all that is needed to go on exactly.

    ``stage`` is an index into the walk, ``iteration`` one within the stage; ``calm`` counts the
    steps of little change so far, ``first_loss`` is the stage's first.
    """

    stage: int
    iteration: int
    seconds: float
    calm: int
    first_loss: float
    picture: Tensor
    optimiser: State


@dataclass(frozen=True)
class Step:
    """One evaluation of the objective, at the picture it was made for.

    ``scale`` and ``index`` count from 0, ``scales`` and ``count`` are their totals; ``seconds``
    have passed since the descent began. ``note`` is a sentence when something happened. ``last``
    marks the step that holds the result.
    """

    scale: int
    scales: int
    width: int
    height: int
    index: int
    count: int
    seconds: float
    note: str
    last: bool
    _total: Tensor = field(repr=False)
    _terms: Mapping[str, Tensor] = field(repr=False)
    _picture: Tensor = field(repr=False)
    _finish: Callable[[Tensor], Tensor] = field(repr=False)
    _checkpoint: Callable[[], Checkpoint] = field(repr=False)

    @property
    def loss(self) -> float:
        """The whole objective; reading it makes a GPU wait."""
        return float(self._total)

    @property
    def place(self) -> str:
        """Where the work stands, in words."""
        if not self._terms:
            return f"part {self.index + 1} of {self.count}"
        return f"scale {self.scale + 1} of {self.scales}, iteration {self.index + 1} of {self.count}"

    @property
    def terms(self) -> dict[str, float]:
        """The objective's weighted terms by name."""
        return {name: float(value) for name, value in self._terms.items()}

    @property
    def picture(self) -> Tensor:
        """The picture as it is now, finished: (1, 3, H, W), or 4 channels with alpha, in [0, 1]."""
        return self._finish(self._picture.clamp(0, 1))

    def image(self) -> Image.Image:
        """Return :attr:`picture` as an 8-bit image, to look at."""
        return to_image(self.picture)

    def checkpoint(self) -> Checkpoint:
        """Return where the descent stands; to be called, and written, before the next step is asked for.

        It shares its memory with the descent, which works in it. Raises :class:`MethodError` when
        the descent has gone on.
        """
        return self._checkpoint()


def descend(
    problem: Problem,
    walk: Sequence[Stage],
    make_optimiser: Callable[[], Optimiser],
    finish: Callable[[Tensor], Tensor] = lambda picture: picture,
    resume: Checkpoint | None = None,
) -> Iterator[Step]:
    """Walk the stages and yield a :class:`Step` for each evaluation.

    ``finish`` makes the picture that a step shows of the iterate (1, 3, H, W), clipped to [0, 1].

    Raises :class:`MethodError` when the objective is not a number already at the start.
    """
    return _undisturbed(_descend(problem, walk, make_optimiser, finish, resume))


def in_one_pass(
    parts: Callable[[], Iterator[Tensor]],
    count: int,
    finish: Callable[[Tensor], Tensor] = lambda picture: picture,
    resume: Checkpoint | None = None,
) -> Iterator[Step]:
    """Yield a :class:`Step` for each part of a picture that is made without an objective.

    ``parts`` yields the picture (1, 3, H, W) as it stands after each of ``count`` parts, such as tiles; the
    last one is the result. The steps have no terms, and 0 for a loss. To go on from a checkpoint of the last
    step is to have it at once; from an earlier one the picture is begun anew, which is as soon done.
    """
    return _undisturbed(_in_one_pass(parts, count, finish, resume))


def _in_one_pass(
    parts: Callable[[], Iterator[Tensor]],
    count: int,
    finish: Callable[[Tensor], Tensor],
    resume: Checkpoint | None,
) -> Iterator[Step]:
    done = resume is not None and resume.iteration == count - 1
    began = time.perf_counter() - (resume.seconds if resume and done else 0.0)
    made = enumerate(parts()) if resume is None or not done else iter([(count - 1, resume.picture)])
    now: list[_Position | None] = [None]
    for index, picture in made:
        position = (0, index, time.perf_counter() - began, 0, 0.0)
        now[0] = position
        nothing = torch.zeros((), dtype=exact_dtype(picture.device), device=picture.device)
        yield Step(
            scale=0,
            scales=1,
            width=picture.shape[3],
            height=picture.shape[2],
            index=index,
            count=count,
            seconds=position[2],
            note="",
            last=index == count - 1,
            _total=nothing,
            _terms={},
            _picture=picture,
            _finish=finish,
            _checkpoint=partial(_checkpoint, position, now, picture, None),
        )
        now[0] = None


def _undisturbed(steps: Iterator[Step]) -> Iterator[Step]:
    """Yield steps whatever gradient mode the caller stands in, and leave that as it is.

    What is made here must be fit for autograd, and a mode must not stay switched over a yield: so it is
    switched for each step.
    """
    while True:
        with torch.inference_mode(False), torch.no_grad():
            step = next(steps, None)
        if step is None:
            return
        yield step


def _descend(
    problem: Problem,
    walk: Sequence[Stage],
    make_optimiser: Callable[[], Optimiser],
    finish: Callable[[Tensor], Tensor],
    resume: Checkpoint | None,
) -> Iterator[Step]:
    began = time.perf_counter() - (resume.seconds if resume else 0.0)
    optimiser = make_optimiser()
    if resume:
        # In place afterwards, which tensors made under inference mode do not allow.
        optimiser.restore({k: v.clone() if v.is_inference() else v for k, v in resume.optimiser.items()})
    picture = resume.picture if resume else problem.start(walk[0])
    now: list[_Position | None] = [None]
    for number, stage in enumerate(walk):
        if resume and number < resume.stage:
            continue
        here = resume if resume and number == resume.stage else None
        size = (stage.height, stage.width)
        if tuple(picture.shape[2:]) != size:
            picture = resize(optimiser.shown(picture).clamp(0, 1), size, stage.wrap)
            optimiser = optimiser.carried(*size)
        elif number and not here:
            optimiser.changed_objective()
        following = walk[number + 1] if number + 1 < len(walk) else None
        objective = problem.objective(stage)
        guard = _Guard(here.first_loss if here else None, picture.device, stage.iterations - 1)
        calm = here.calm if here else 0
        for iteration in range(here.iteration if here else 0, stage.iterations):
            evaluation, note = objective(picture), ""
            if guard.is_lost(iteration, evaluation, picture):
                picture, what = guard.last_good(evaluation)
                note = f"{what}; went back to the best picture so far"
                optimiser.forget()
                evaluation = objective(picture)
            settled = calm >= SETTLED_STEPS or guard.recoveries > MOST_RECOVERIES
            last = following is None and (settled or iteration == stage.iterations - 1)
            if settled:
                note = (note or "the picture no longer changes") + (
                    ": done" if last else ": going on to the next stage"
                )
            elif note:
                note += ", with smaller steps"
            position = (number, iteration, time.perf_counter() - began, calm, guard.first_loss)
            now[0] = position
            yield Step(
                scale=stage.scale,
                scales=stage.scales,
                width=stage.width,
                height=stage.height,
                index=stage.first + iteration,
                count=stage.count,
                seconds=position[2],
                note=note,
                last=last,
                _total=evaluation.total,
                _terms=evaluation.terms,
                _picture=optimiser.shown(picture),
                _finish=finish,
                _checkpoint=partial(_checkpoint, position, now, picture, optimiser),
            )
            now[0] = None
            ends_scale = iteration == stage.iterations - 1 and (
                following is None or following.scale != stage.scale
            )
            if settled or ends_scale:
                break  # what is handed on is the picture as it was evaluated
            moved = optimiser.step(picture, evaluation.gradient)
            del evaluation  # before the next one is made: of a huge picture two gradients are a burden
            if guard.looks(iteration):
                calm = calm + 1 if _change(picture, moved) < SETTLED_CHANGE else 0
            picture = moved
        # Let go before the next stage makes its targets: of a huge picture two sets would not fit.
        del objective, guard
        trim_heap()


def _checkpoint(
    position: _Position, now: Sequence[_Position | None], picture: Tensor, optimiser: Optimiser | None
) -> Checkpoint:
    if now[0] is not position:
        raise MethodError(
            "the descent has gone on; take a step's checkpoint before the next step is asked for"
        )
    return Checkpoint(*position, picture, {} if optimiser is None else optimiser.state())


def _change(before: Tensor, after: Tensor) -> float:
    """RMS over the pixels that changed at all: outside a region that is held none does."""
    moved = (after - before).reshape(-1)
    return float((torch.dot(moved, moved) / torch.count_nonzero(moved).clamp_min(1)).sqrt())


class _Guard:
    """Keeps the best picture of a stage and notices when the descent has been lost."""

    def __init__(self, first_loss: float | None, device: torch.device, last: int) -> None:
        self.first_loss = math.inf if first_loss is None else first_loss
        self.recoveries = 0
        self._last = last
        self._every = 1 if device.type == "cpu" else LOOK_EVERY_ON_GPU
        self._best: tuple[float, Tensor] | None = None

    def looks(self, iteration: int) -> bool:
        """Whether numbers may be read from the device at this iteration."""
        return iteration % self._every == 0 or iteration == self._last

    def is_lost(self, iteration: int, evaluation: Evaluation, picture: Tensor) -> bool:
        """Judge an evaluation and remember its picture if it is the best so far."""
        if not self.looks(iteration):
            return False
        loss = float(evaluation.total)
        if not math.isfinite(loss) or loss > EXPLODED * self.first_loss:
            return True
        self.first_loss = loss if math.isinf(self.first_loss) else self.first_loss
        if self._best is None or loss < self._best[0]:
            self._best = (loss, picture)
        return False

    def last_good(self, evaluation: Evaluation) -> tuple[Tensor, str]:
        """Return the best picture and what went wrong; raise :class:`MethodError` when there is none."""
        broken = [name for name, value in evaluation.terms.items() if not math.isfinite(float(value))]
        what = f"{', '.join(broken)} is not a number" if broken else "the loss exploded"
        if self._best is None:
            raise MethodError(
                f"the objective cannot be evaluated at the start: {what}; "
                "use smaller weights, --precision float32, or another start (--init content)"
            )
        self.recoveries += 1
        return self._best[1], what

"""The one trainer: a generator of steps, as the descent is.

A lesson holds the network and says what a step costs; the trainer moves the parameters. It never prints and
never saves: a bar, a log and checkpoints are the consumer's (:mod:`katazome.training.keeping`). What a step
draws comes from a generator made of the seed and the step's number alone, so that training that was
interrupted goes on exactly where it was, whatever read ahead.

When it ends, the module holds what is to be kept: its averaged weights, where they were asked for. A step
whose loss or gradient is not finite is never made, so that a state is good if the next step's loss is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from katazome import processes
from katazome.device import generator
from katazome.errors import MethodError, OptionError
from katazome.options import Options, option
from katazome.training import distributed
from katazome.training.averaging import Average

_LEAST = 0.01
"""What an exponential schedule comes down to, of the first length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions(Options):
    """How a network is trained."""

    steps: int = option(1000, help="Steps of training", low=1, group="Work")
    batch: int = option(32, help="Pictures in a step", low=1, group="Work")
    learning_rate: float = option(1e-3, help="Length of Adam's steps at the beginning", low=0, group="Work")
    schedule: str = option(
        "cosine",
        help="How the steps' length falls: by half a cosine to nothing, by the same factor at each step to a "
        "hundredth (exponential), or not",
        choices=("cosine", "exponential", "constant"),
        group="Work",
    )
    warm_up: int = option(
        0,
        help="Steps at the beginning over which their length grows to what it should be",
        low=0,
        group="Work",
    )
    weight_decay: float = option(
        0.0,
        help="Pull of the parameters to zero, apart from the gradient (AdamW); at 0 this is Adam",
        low=0,
        group="Work",
    )
    clip: float = option(
        0.0,
        help="Norm of the gradient above which it is shortened to that; 0: it is taken as it is",
        low=0,
        group="Work",
    )
    averaging: float = option(
        0.0,
        help="Share of the averaged weights that a step keeps, such as 0.999; the model is written from the "
        "average. 0: from the last step's weights",
        low=0,
        high=0.999999,
        group="Work",
    )
    seed: int = option(0, help="Another number gives another beginning and other draws", group="Work")

    def rate_at(self, step: int) -> float:
        """Return the length of a step, which is counted from 0."""
        done = step / self.steps
        falls = {
            "cosine": (1 + math.cos(math.pi * done)) / 2,
            "exponential": math.pow(_LEAST, done),
            "constant": 1.0,
        }
        warm = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        return self.learning_rate * warm * falls[self.schedule]


class Lesson(Protocol):
    """What is learnt."""

    @property
    def module(self) -> nn.Module:
        """The network whose parameters move."""

    def terms(self, step: int, draw: torch.Generator) -> Mapping[str, Tensor]:
        """Return what a step costs, by name; the sum is descended. All chance comes from ``draw``.

        Of several processes each draws the same and takes its part of the batch
        (:func:`katazome.training.distributed.part`); their terms are averaged.
        """


@runtime_checkable
class Showing(Protocol):
    """A lesson that can also show how far it has come."""

    def samples(self) -> Tensor | None:
        """Return a contact sheet (1, 3, H, W) in [0, 1], or None where there is nothing to show.

        Called without gradients, with the module's averaged weights, if there are, and of several processes
        in the first alone. All chance comes from a generator of its own.
        """


@dataclass(frozen=True)
class TrainingState:
    """Where training stands: ``done`` steps in ``seconds``; tensors of the module and of the optimiser.

    ``average`` holds the averaged parameters; it is empty where none are averaged.
    """

    done: int
    seconds: float
    module: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]
    average: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingStep:
    """One step that was made: ``index`` counts from 1 to ``count``."""

    index: int
    count: int
    rate: float
    seconds: float
    _terms: Mapping[str, Tensor] = field(repr=False)
    _state: Callable[[], TrainingState] = field(repr=False)
    _samples: Callable[[], Tensor | None] = field(repr=False)

    @property
    def terms(self) -> dict[str, float]:
        """What the step cost before it was made, by name; reading it makes a GPU wait."""
        return {name: float(value) for name, value in self._terms.items()}

    def state(self) -> TrainingState:
        """Return what training goes on from; a copy, so that later steps do not move it."""
        return self._state()

    def samples(self) -> Tensor | None:
        """Return the lesson's contact sheet (1, 3, H, W); None where it has none."""
        return self._samples()


def train(
    lesson: Lesson, options: TrainingOptions, resume: TrainingState | None = None
) -> Iterator[TrainingStep]:
    """Make the steps that are left, and yield each; in the end the module holds what is to be kept.

    Raises :class:`MethodError` when the loss or its gradient is no longer finite, and says which term's; the
    last state that was asked for is still good. :class:`OptionError` when ``resume`` is of another network.
    """
    parameters = [p for p in lesson.module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, options.learning_rate, weight_decay=options.weight_decay)
    done, before = 0, 0.0
    if resume is not None:
        _restore(lesson.module, optimiser, resume)
        done, before = resume.done, resume.seconds
    processes.follow_first(lesson.module.state_dict().values())
    average = Average(lesson.module, options.averaging, resume.average if resume else {})
    began = time.perf_counter()

    def elapsed() -> float:
        return before + time.perf_counter() - began

    for index in range(done, options.steps):
        rate = options.rate_at(index)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        with torch.enable_grad():
            terms = lesson.terms(index, _draw(options, index))
            values = torch.stack(list(terms.values()))
            torch.autograd.backward(values.sum())
        values, grads = values.detach(), [p.grad for p in parameters if p.grad is not None]
        distributed.average([*grads, values])
        told, norm = dict(zip(terms, values, strict=True)), get_total_norm(grads)
        if not bool(values.isfinite().all() & norm.isfinite()):
            broken = _broken(lesson, told, parameters, options, index)
            raise MethodError(
                f"training failed at step {index + 1} of {options.steps}: {broken}; take a smaller "
                "--learning-rate, or --clip"
            )
        if options.clip:
            clip_grads_with_norm_(parameters, options.clip, norm)
        optimiser.step()
        average.follow(index)

        def state(done: int = index + 1) -> TrainingState:
            return TrainingState(
                done, elapsed(), _tensors(lesson.module), _moments(optimiser), average.state()
            )

        def samples() -> Tensor | None:
            if not isinstance(lesson, Showing):
                return None
            with torch.no_grad(), average.shown(), _evaluated(lesson.module):
                return lesson.samples()

        yield TrainingStep(index + 1, options.steps, rate, elapsed(), told, state, samples)
    average.settle()


def _draw(options: TrainingOptions, step: int) -> torch.Generator:
    # Mixed, so that neighbouring seeds do not draw one another's steps.
    return generator((options.seed * 0x9E3779B1 + step * 0x85EBCA77) % 2**63)


def _broken(
    lesson: Lesson,
    told: Mapping[str, Tensor],
    parameters: Sequence[nn.Parameter],
    options: TrainingOptions,
    index: int,
) -> str:
    """Say which terms of a step are not finite; where all are, whose gradients are not, one by one."""
    values = [f"{name} is {float(value)}" for name, value in told.items() if not value.isfinite()]
    if values:
        return " and ".join(values)
    names = []
    with torch.enable_grad():
        for name, term in lesson.terms(index, _draw(options, index)).items():
            if not term.requires_grad:
                continue
            found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
            if processes.in_any(not all(bool(g.isfinite().all()) for g in found if g is not None)):
                names.append(name)
    return f"the gradient of {' and '.join(names) or 'all terms together'} is not finite, or too long"


@contextmanager
def _evaluated(module: nn.Module) -> Iterator[None]:
    """Let a module be as it is when it is used, so that showing it does not teach it."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _moments(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for number, values in optimiser.state_dict()["state"].items():
        found |= {f"{number}.{name}": torch.as_tensor(value).clone() for name, value in values.items()}
    return found


def _restore(module: nn.Module, optimiser: torch.optim.Optimizer, state: TrainingState) -> None:
    try:
        module.load_state_dict(dict(state.module))
    except RuntimeError as error:
        raise OptionError(f"the checkpoint is of another network ({error}); begin anew") from error
    held: dict[int, dict[str, Tensor]] = {}
    for name, tensor in state.optimiser.items():
        number, _, kind = name.partition(".")
        held.setdefault(int(number), {})[kind] = tensor.clone()
    optimiser.load_state_dict({"state": held, "param_groups": optimiser.state_dict()["param_groups"]})

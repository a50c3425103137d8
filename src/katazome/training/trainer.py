"""The one trainer: a generator of steps, as the descent is.

A lesson holds the network and says what a step costs; the trainer moves the parameters. It never prints and
never saves: a bar, a log and checkpoints are the consumer's (:mod:`katazome.training.keeping`). What a step
draws comes from a generator made of the seed and the step's number alone, so that training that was
interrupted goes on exactly where it was, whatever read ahead.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from katazome.device import generator
from katazome.errors import MethodError, OptionError
from katazome.options import Options, option


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions(Options):
    """How a network is trained."""

    steps: int = option(1000, help="Steps of training", low=1, group="Work")
    batch: int = option(32, help="Pictures in a step", low=1, group="Work")
    learning_rate: float = option(1e-3, help="Length of Adam's steps at the beginning", low=0, group="Work")
    schedule: str = option(
        "cosine",
        help="How the steps' length falls: by half a cosine to nothing, or not",
        choices=("cosine", "constant"),
        group="Work",
    )
    weight_decay: float = option(0.0, help="Pull of the parameters to zero (AdamW)", low=0, group="Work")
    seed: int = option(0, help="Another number gives another beginning and other draws", group="Work")

    def rate_at(self, step: int) -> float:
        """Return the length of a step, which is counted from 0."""
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * (1 + math.cos(math.pi * step / self.steps)) / 2


class Lesson(Protocol):
    """What is learnt."""

    @property
    def module(self) -> nn.Module:
        """The network whose parameters move."""

    def terms(self, step: int, draw: torch.Generator) -> Mapping[str, Tensor]:
        """Return what a step costs, by name; the sum is descended. All chance comes from ``draw``."""


@dataclass(frozen=True)
class TrainingState:
    """Where training stands: ``done`` steps in ``seconds``; tensors of the module and of the optimiser."""

    done: int
    seconds: float
    module: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]


@dataclass(frozen=True)
class TrainingStep:
    """One step that was made: ``index`` counts from 1 to ``count``."""

    index: int
    count: int
    rate: float
    seconds: float
    _terms: Mapping[str, Tensor] = field(repr=False)
    _state: Callable[[], TrainingState] = field(repr=False)

    @property
    def terms(self) -> dict[str, float]:
        """What the step cost before it was made, by name; reading it makes a GPU wait."""
        return {name: float(value) for name, value in self._terms.items()}

    def state(self) -> TrainingState:
        """Return what training goes on from; a copy, so that later steps do not move it."""
        return self._state()


def train(
    lesson: Lesson, options: TrainingOptions, resume: TrainingState | None = None
) -> Iterator[TrainingStep]:
    """Make the steps that are left, and yield each.

    Raises :class:`MethodError` when the loss is no longer a number; the last state that was asked for is
    still good. :class:`OptionError` when ``resume`` is of another network.
    """
    parameters = [p for p in lesson.module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, options.learning_rate, weight_decay=options.weight_decay)
    done, before = 0, 0.0
    if resume is not None:
        _restore(lesson.module, optimiser, resume)
        done, before = resume.done, resume.seconds
    began = time.perf_counter()

    def elapsed() -> float:
        return before + time.perf_counter() - began

    for index in range(done, options.steps):
        rate = options.rate_at(index)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        with torch.enable_grad():
            terms = lesson.terms(index, generator(_seed(options.seed, index)))
            total = torch.stack(list(terms.values())).sum()
            if not bool(total.isfinite()):
                raise MethodError(
                    f"training failed at step {index + 1}: its loss is {float(total.detach())}; take "
                    "a smaller --learning-rate"
                )
            torch.autograd.backward(total)
        optimiser.step()

        def state(done: int = index + 1) -> TrainingState:
            return TrainingState(done, elapsed(), _tensors(lesson.module), _moments(optimiser))

        told = {name: term.detach() for name, term in terms.items()}
        yield TrainingStep(index + 1, options.steps, rate, elapsed(), told, state)


def _seed(seed: int, step: int) -> int:
    # Mixed, so that neighbouring seeds do not draw one another's steps.
    return (seed * 0x9E3779B1 + step * 0x85EBCA77) % 2**63


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

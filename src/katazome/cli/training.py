"""What the commands that train share: a bar, a log, a checkpoint, an end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from katazome.cli.drive import Interrupt
from katazome.cli.settings import WithNetwork
from katazome.cli.show import Count, tell
from katazome.collections.cache import known
from katazome.collections.folders import Source
from katazome.errors import OptionError, OutputError
from katazome.options import option
from katazome.training.keeping import Log, read_state, write_state
from katazome.training.trainer import Lesson, TrainingOptions, TrainingState, TrainingStep, train

SAVE_SECONDS = 60.0
"""A kill loses at most so much training."""

LOGGED = 200
"""Rows of a log, about."""

_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings(WithNetwork):
    """Where what was learnt goes, and on what terms."""

    output: str | None = option(None, help="File of the model, *.safetensors", group="Output")
    terms: str = option(
        "not stated", help="On what terms the pictures are to be had; written into the model", group="Output"
    )
    overwrite: bool = option(False, help="Replace the model if it is there already", group="Output")


def trained(
    lesson: Lesson,
    options: TrainingOptions,
    model: Path,
    header: Mapping[str, Any],
    interrupt: Interrupt,
    *,
    quiet: bool,
) -> float | None:
    """Train to the end and return its seconds, or keep where it stands and return None when interrupted.

    Beside ``model`` stand a log and a checkpoint, which the caller removes when the model is written.
    ``header`` is all that decides what is learnt: training begun with another is not gone on with.

    Raises :class:`OptionError` when the checkpoint there is of other training.
    """
    beside, table = state_path(model), model.with_name(model.name + ".csv")
    resume = _begun(beside, header)
    log = Log(table, max(1, options.steps // LOGGED), resume.done if resume else 0)
    saved = resume.seconds if resume else 0.0
    step: TrainingStep | None = None
    with Count("steps", quiet=quiet) as count:
        if resume is not None:
            count.note(f"going on after step {resume.done} of {options.steps}")
        for step in train(lesson, options, resume):
            count(step.index, step.count)
            log.step(step)
            if step.seconds - saved >= SAVE_SECONDS and not interrupt.asked:
                saved = step.seconds
                try:
                    write_state(beside, step.state(), header)
                except OutputError as error:
                    count.note(f"{error}; going on, what was saved before still stands")
            if interrupt.asked and step.index < step.count:
                write_state(beside, step.state(), header)
                count.note(
                    f"interrupted at step {step.index} of {step.count}, which is kept in {beside}. "
                    "To go on: the same command again"
                )
                return None
        if step is not None:
            with suppress(OutputError):  # only for the case that the model cannot be written either
                write_state(beside, step.state(), header)
    return saved if step is None else step.seconds


def model_path(output: str | None, *, overwrite: bool) -> Path:
    """Return where a model is to go; :class:`OptionError` or :class:`OutputError` where it cannot."""
    if output is None:
        raise OptionError("no file for the model was named; give one by -o MODEL.safetensors")
    model = Path(output)
    if model.suffix != ".safetensors":
        raise OptionError(f"a model is a .safetensors file; '{model.name}' is not called so")
    if not model.parent.is_dir():
        raise OutputError(f"there is no folder '{model.parent}' to write '{model.name}' into; make it first")
    if model.exists() and not overwrite:
        raise OutputError(f"'{model}' is there already; choose another name, or --overwrite to replace it")
    return model


def state_path(model: Path) -> Path:
    """Return where the state of training is kept beside a model."""
    return model.with_name(model.name + ".checkpoint")


def digest(sources: Iterable[Source]) -> str:
    """Return a hash of which pictures, unchanged, are learnt from."""
    return hashlib.sha256("\n".join(known(s) for s in sources).encode()).hexdigest()[:16]


def tell_skipped(skipped: Mapping[Source, str], *, quiet: bool) -> None:
    """Say which pictures were passed over, and why; of many, how many more."""
    for reason in list(skipped.values())[:_NAMED]:
        tell(f"skipped: {reason}", quiet=quiet)
    if len(skipped) > _NAMED:
        tell(f"skipped: {len(skipped) - _NAMED} more", quiet=quiet)


def _begun(beside: Path, header: Mapping[str, Any]) -> TrainingState | None:
    if not beside.exists():
        return None
    state, own = read_state(beside)
    if own != header:
        names = [name for name in header if own.get(name) != header[name]]
        raise OptionError(
            f"{beside} is where other training stands (its {', '.join(names)} differ); delete it to begin "
            "anew, or name another model by -o"
        )
    return state

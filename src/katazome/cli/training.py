"""What the commands that train share: a bar, a log, a checkpoint, an end."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from katazome.cli.drive import Interrupt
from katazome.cli.settings import WithNetwork
from katazome.cli.show import Count, tell
from katazome.collections.cache import known
from katazome.collections.folders import Source
from katazome.errors import MethodError, OptionError, OutputError
from katazome.options import option
from katazome.pictures.write import write
from katazome.processes import from_first, in_any, leads
from katazome.training.keeping import Log, read_state, write_state
from katazome.training.plot import write_plot
from katazome.training.trainer import Lesson, TrainingOptions, TrainingState, TrainingStep, train

LOGGED = 200
"""Rows of a log, about."""

SHOWN = 10
"""Sheets of samples, unless otherwise asked."""

_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings(WithNetwork):
    """Where what was learnt goes, and on what terms."""

    output: str | None = option(None, help="File of the model, *.safetensors", group="Output")
    terms: str = option(
        "not stated", help="On what terms the pictures are to be had; written into the model", group="Output"
    )
    overwrite: bool = option(False, help="Replace the model if it is there already", group="Output")
    save_every: float = option(
        60.0,
        help="Write a checkpoint every so many seconds; a kill loses no more",
        unit="s",
        low=0,
        group="Output",
    )
    samples_every: int | None = option(
        None,
        help="Steps between sheets of samples, where the network makes pictures; 0: none. Open: ten sheets",
        low=0,
        group="Output",
    )
    other_options: bool = option(
        False,
        help="Go on with a checkpoint though options, such as --steps or --learning-rate, are other ones",
        group="Work",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureSettings(TrainSettings):
    """Training on pictures of any folders."""

    images: tuple[str, ...] = option(
        (),
        help="Folder of pictures, with all folders below it; may be given several times",
        repeats=True,
    )
    limits: str = option(
        "", help="What is known to fail, for those who use it; written into the file", group="Output"
    )

    def folders(self) -> list[Path]:
        """Return the folders; :class:`OptionError` where none was named."""
        if not self.images:
            raise OptionError("no pictures were named; give a folder of them by --images DIR")
        return [Path(folder) for folder in self.images]

    def said(self, sources: Iterable[Source], seconds: float, losses: Mapping[str, float]) -> dict[str, Any]:
        """Return what every card says of how its model came about."""
        return {
            "data": dict(Counter(source.folder.name for source in sources)),
            "terms": self.terms,
            "limits": self.limits,
            "seconds": round(seconds),
            "losses": {name: round(value, 4) for name, value in losses.items()},
        }


def trained(
    lesson: Lesson,
    options: TrainingOptions,
    model: Path,
    header: Mapping[str, Any],
    interrupt: Interrupt,
    settings: TrainSettings,
) -> float | None:
    """Train to the end and return its seconds, or keep where it stands and return None when interrupted.

    Beside ``model`` stand a log, its plot, sheets of samples, each under the number of its step so that they
    can be compared, and a checkpoint, which the caller removes when the model is written. Of several
    processes the first alone writes; an interruption of one is one of all.
    ``header`` is all that decides what is learnt: training begun with another is not gone on with.

    Raises :class:`OptionError` when the checkpoint there is of other training; :class:`MethodError` when a
    loss is not finite, with the last good checkpoint kept.
    """
    beside = state_path(model)
    resume = from_first(lambda: _begun(beside, header, options, others=settings.other_options))
    seconds = resume.seconds if resume else 0.0
    with Count("steps", quiet=settings.quiet or not leads()) as count:
        keeper = _Keeper(model, header, options, settings, resume, count) if leads() else None
        for step in _told_what_is_kept(train(lesson, options, resume), beside):
            seconds = step.seconds
            stop = in_any(interrupt.asked) and step.index < step.count
            if keeper is not None:
                keeper.step(step, stop=stop)
            if stop:
                return None
    return seconds


class _Keeper:
    """Writes what stands beside a model while it is learnt."""

    def __init__(
        self,
        model: Path,
        header: Mapping[str, Any],
        options: TrainingOptions,
        settings: TrainSettings,
        resume: TrainingState | None,
        count: Count,
    ) -> None:
        self._model, self._header, self._count = model, header, count
        self._beside, self._table = state_path(model), model.with_name(model.name + ".csv")
        self._log = Log(self._table, max(1, options.steps // LOGGED), resume.done if resume else 0)
        ten = max(1, options.steps // SHOWN)
        self._show_every = ten if settings.samples_every is None else settings.samples_every
        self._save_every, self._saved = settings.save_every, resume.seconds if resume else 0.0
        self._due: TrainingState | None = None
        if resume is not None:
            count.note(f"going on after step {resume.done} of {options.steps}")

    def step(self, step: TrainingStep, *, stop: bool) -> None:
        """Keep what is due at a step; ``stop`` is set when it is the last before an interruption."""
        last = step.index == step.count
        self._count(step.index, step.count)
        self._log.step(step)
        if self._due is not None:
            # A step late: only now is it known that the loss there is finite.
            with self._going_on():
                self._checkpoint(self._due)
            self._due = None
        if self._show_every and (last or step.index % self._show_every == 0):
            with self._going_on():
                self._show(step)
        if stop:
            self._checkpoint(step.state())
            self._count.note(
                f"interrupted at step {step.index} of {step.count}, which is kept in {self._beside}. "
                "To go on: the same command again"
            )
        elif last:
            with suppress(OutputError):  # only for the case that the model cannot be written either
                self._checkpoint(step.state())
        elif step.seconds - self._saved >= self._save_every:
            self._saved, self._due = step.seconds, step.state()

    def _checkpoint(self, state: TrainingState) -> None:
        write_state(self._beside, state, self._header)
        write_plot(self._table, self._table.with_suffix(".svg"))

    def _show(self, step: TrainingStep) -> None:
        sheet = step.samples()
        if sheet is not None:
            name = f"{self._model.name}.samples-{step.index:06}.png"
            write(sheet, self._model.with_name(name), overwrite=True)

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        """Say what could not be written on the way, and go on without it."""
        try:
            yield
        except OutputError as error:
            self._count.note(f"{error}; going on, what was written before still stands")


def _told_what_is_kept(steps: Iterator[TrainingStep], beside: Path) -> Iterator[TrainingStep]:
    """Yield the steps; where training fails, say from where it can be gone on with."""
    try:
        yield from steps
    except MethodError as error:
        if not beside.exists():
            raise
        raise MethodError(
            f"{error}. Step {read_state(beside)[0].done} is kept in {beside}: the same command with another "
            "--learning-rate and --other-options goes on from there"
        ) from error


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


class Model(Protocol):
    """What was learnt."""

    def write(self, path: Path) -> None:
        """Write it; :class:`OutputError` when it cannot be."""


def keep(model: Model, path: Path) -> None:
    """Write a model that is finished; its checkpoint has served."""
    model.write(path)
    state_path(path).unlink(missing_ok=True)


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


def _begun(
    beside: Path, header: Mapping[str, Any], options: TrainingOptions, *, others: bool
) -> TrainingState | None:
    """Return where training stands, if it was begun; ``others`` allows that its options were other ones."""
    if not beside.exists():
        return None
    state, own = read_state(beside)
    # An option that is younger than the checkpoint has its default, which is how things were without it.
    own["options"] = type(options).from_json(own["options"]).to_json()
    names = [name for name in header if own.get(name) != header[name]]
    if names and not (others and names == ["options"]):
        raise OptionError(
            f"{beside} is where other training stands (its {', '.join(names)} differ); delete it to begin "
            "anew, or name another model by -o"
            + ("; --other-options goes on from there with these" if names == ["options"] else "")
        )
    if state.done > options.steps:
        raise OptionError(f"{beside} stands after step {state.done}; --steps is {options.steps}, give more")
    return state

"""The command ``katazome train segmenter``."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from katazome.cli import declare
from katazome.cli.drive import INTERRUPTED, Interrupt
from katazome.cli.show import counted, tell
from katazome.cli.training import TrainSettings, keep, model_path, tell_skipped, trained
from katazome.collections.cache import Features, known
from katazome.collections.folders import classes_in
from katazome.device import keep_heap
from katazome.errors import OptionError, PictureError
from katazome.networks.segmenter import Segmenter
from katazome.networks.vgg import Encoder
from katazome.objective.plan import duration
from katazome.options import option
from katazome.processes import join, leads
from katazome.training.steps.segmenter import (
    Lot,
    SegmenterLesson,
    SegmenterOptions,
    ask,
    features,
    made,
    precision_of,
    split,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmenterSettings(TrainSettings):
    """A segmenter to be trained."""

    images: tuple[str, ...] = option(
        (),
        help="Folder with a folder of pictures for each class, or NAME=FOLDER for one class; may be given "
        "several times",
        repeats=True,
    )


def _segmenter(**given: Any) -> int:
    settings = SegmenterSettings.from_json(declare.values_of(SegmenterSettings, given))
    options = SegmenterOptions.from_json(declare.values_of(SegmenterOptions, given))
    model = model_path(settings.output, overwrite=settings.overwrite)
    if not settings.images:
        raise OptionError("no pictures were named; give a folder of class folders by --images DIR")
    device = join(settings.device)
    classes = classes_in(settings.images)
    learn, asked = split(classes)
    keep_heap()
    began, quiet = time.perf_counter(), settings.quiet or not leads()
    with Interrupt(quiet=quiet, keeping="this step, then keeping what was learnt") as interrupt:
        encoder = Encoder(settings.network(), device=device)
        seen = counted(
            features(encoder, options, [*learn.sources, *asked.sources]),
            "pictures seen",
            interrupt,
            quiet=quiet,
        )
        if seen is None:
            tell("interrupted; what was seen is kept. To go on: the same command again", quiet=quiet)
            return INTERRUPTED
        tell_skipped(seen.skipped, quiet=quiet)
        (learn_at, learn), (ask_at, asked) = _there(seen, learn), _there(seen, asked)
        _check_left(learn, list(classes))
        lesson = SegmenterLesson(seen.only(learn_at), learn.labels, len(classes), options)
        header = {
            "options": options.to_json(),
            "network": encoder.weights.sha256,
            "pictures": _digest(learn),
            "precision": precision_of(encoder),
            "classes": list(classes),
        }
        if trained(lesson, options, model, header, interrupt, settings) is None:
            return INTERRUPTED
    if not leads():
        return 0
    result = ask(lesson.module, seen.only(ask_at), asked.labels, len(classes))
    facts = {"classes": tuple(classes), "data": _counts(learn, asked, list(classes)), "terms": settings.terms}
    found = made(lesson, encoder, options, facts, result)
    keep(found, model)
    tell(_table(found), quiet=quiet)
    took = duration(time.perf_counter() - began)
    tell(f"{model}: {len(classes)} classes from {len(learn.sources)} pictures, after {took}", quiet=quiet)
    return 0


def _there(seen: Features, lot: Lot) -> tuple[list[int], Lot]:
    """Return where the readable pictures of a lot stand among the rows, and the lot of these alone."""
    place = {source: number for number, source in enumerate(seen.sources)}
    pairs = [(s, n) for s, n in zip(lot.sources, lot.labels, strict=True) if s in place]
    return [place[s] for s, _ in pairs], Lot(tuple(s for s, _ in pairs), tuple(n for _, n in pairs))


def _check_left(learn: Lot, classes: Sequence[str]) -> None:
    for number, name in enumerate(classes):
        if number not in learn.labels:
            raise PictureError(f"no picture of the class '{name}' that is to be learnt from can be read")


def _digest(lot: Lot) -> str:
    names = "\n".join(f"{known(s)} {n}" for s, n in zip(lot.sources, lot.labels, strict=True))
    return hashlib.sha256(names.encode()).hexdigest()[:16]


def _counts(learn: Lot, asked: Lot, classes: Sequence[str]) -> dict[str, int]:
    """Return pictures by class and the name of the folder they came from, without the way to it."""
    found: dict[str, int] = {}
    for lot in (learn, asked):
        for source, label in zip(lot.sources, lot.labels, strict=True):
            key = f"{classes[label]}: {source.folder.name}"
            found[key] = found.get(key, 0) + 1
    return dict(sorted(found.items()))


def _table(found: Segmenter) -> str:
    facts = found.facts
    width = max(len(name) for name in facts.classes)
    asked = sum(sum(row) for row in facts.confusion)
    score = "none could be asked about" if facts.accuracy is None else f"{facts.accuracy:.0%} were told"
    rows = [f"of {asked} pictures held out, {score}; by their true class:"]
    for number, (name, row) in enumerate(zip(facts.classes, facts.confusion, strict=True)):
        told = [(n, c) for c, n in enumerate(row) if n and c != number]
        wrong = ", ".join(f"{facts.classes[c]} {n}" for n, c in sorted(told, reverse=True))
        rows.append(f"  {name:{width}}  {row[number]:4} of {sum(row):4}{'   else ' + wrong if wrong else ''}")
    return "\n".join(rows)


segmenter = declare.command(_segmenter, [], {"": SegmenterSettings, "segmenter": SegmenterOptions})

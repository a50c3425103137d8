"""The command ``katazome batch``: many pictures, done once, gone on with, shared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from katazome.cli import declare
from katazome.cli.crew import address_of, check_crew, outcomes, shared_out
from katazome.cli.drive import INTERRUPTED, Interrupt
from katazome.cli.settings import BatchSettings
from katazome.cli.show import Count, tell
from katazome.cli.study import part_of
from katazome.cli.stylize import CLASSES, check_options, presets_of
from katazome.device import resolve_device
from katazome.errors import KatazomeError, MethodError, OptionError, OutputError, PictureError
from katazome.jobs.batch import BOOKS, Order, Unfit, check_case
from katazome.jobs.cluster import sent_by_ray
from katazome.jobs.courier import PictureCourier
from katazome.jobs.crew import Outcome
from katazome.jobs.fields import has_fields
from katazome.jobs.inputs import hash_of, pictures
from katazome.jobs.local import RECORDS, Painter
from katazome.jobs.lock import only_run
from katazome.jobs.manifest import Case, Manifest
from katazome.jobs.replay import Replay
from katazome.jobs.summary import SHEET, TABLE, name_of, write_sheet, write_table
from katazome.methods.base import get_method, list_methods
from katazome.methods.options import STARTS
from katazome.networks.segmenter import open_segmenter
from katazome.objective.plan import WARM_UP_SECONDS, duration
from katazome.processes import alone
from katazome.recipe import open_recipe
from katazome.weights.flavours import VGGWeights

MANIFEST = "manifest.jsonl"
_SAMPLE, _TRIED = 4, 12
_GOLDEN = 0.618034


def _batch(*contents: str, **given: Any) -> int:
    settings = BatchSettings.from_json(declare.values_of(BatchSettings, given))
    alone("a batch (--workers has processes of its own)")
    part = part_of(settings.part)
    weights = settings.network()
    resolve_device(settings.device)
    check_crew(settings)
    if settings.send and not settings.on:
        raise OptionError("send is for a cluster's machines; add --on ray or --on ray:ADDRESS")
    if settings.send and settings.save_every:
        raise OptionError(
            "save-every keeps where a picture stands in a folder that all machines reach; leave out --send"
        )
    if settings.devices:
        raise OptionError(
            "devices shares out the tiles of one picture; a batch shares out its pictures: take --workers"
        )
    unfit: list[Unfit] = []
    if settings.manifest is not None:
        cases, folder = _given_manifest(Path(settings.manifest), contents, given, weights)
    else:
        folder = _folder(settings)
        cases, unfit = _ordered(contents, folder, settings, given, weights)
    painter = Painter(
        folder, weights, settings.device, overwrite=settings.overwrite, save_every=settings.save_every
    )
    # A plan may be asked for while a run is at work.
    with nullcontext() if settings.plan else only_run(folder / BOOKS, part):
        own = list(painter.manifest(cases).part(*part).cases)
        missing = painter.missing(own)
        _check_free(painter, missing, settings)
        if settings.manifest is None:
            _write_manifest(painter.manifest(cases), folder / BOOKS / MANIFEST, settings)
        done = len(own) - len(missing)
        told = f"{_many(len(missing))} to make" + (f", {done} done already" if done else "")
        told += f", {len(unfit)} cannot be made" if unfit else ""
        for one in unfit:
            tell(f"{one.output}: {one.why}", quiet=settings.quiet)
        if settings.plan:
            print(f"{told}{_foretold(painter, missing, settings)}; {folder / BOOKS / MANIFEST}", flush=True)
            return 0
        tell(told, quiet=settings.quiet)
        return _run(painter, own, missing, unfit, settings)


def _run(
    painter: Painter,
    own: Sequence[Case],
    missing: Sequence[Case],
    unfit: Sequence[Unfit],
    settings: BatchSettings,
) -> int:
    failed: dict[str, str] = {}
    hopeless = ""
    made = 0
    lost = settings.on and not settings.save_every
    keeping = (
        "the run; the pictures in hand are begun anew" if lost else "the pictures in hand, to be gone on with"
    )
    with (
        Interrupt(quiet=settings.quiet, keeping=keeping) as interrupt,
        Count("pictures", quiet=settings.quiet) as count,
    ):
        count(0, len(missing))

        def stopped() -> bool:
            return interrupt.asked or bool(hopeless)

        for outcome in _outcomes(painter, missing, stopped, settings):
            if outcome.failed:
                failed[outcome.case.name] = outcome.failed
                if outcome.hopeless:
                    hopeless = outcome.failed
                else:
                    count.note(f"{outcome.case.values['output']}: {outcome.failed}")
            made += outcome.figures is not None
            count(made + len(failed), len(missing))
    rest = len(missing) - made - len(failed)
    if hopeless:
        raise OutputError(
            f"{hopeless}. {_many(made)} made in this run are whole; the same command makes the other "
            f"{len(missing) - made}"
        )
    part = part_of(settings.part)
    books = [
        write_table(painter, own, failed, unfit, name_of(TABLE, part)),
        write_sheet(painter, own, name_of(SHEET, part)),
    ]
    tell("; ".join(str(path) for path in books if path is not None), quiet=settings.quiet)
    if interrupt.asked and rest:
        tell(
            f"interrupted; {_many(made)} made, {rest} left. To go on: the same command", quiet=settings.quiet
        )
        return INTERRUPTED
    if failed or unfit:
        raise MethodError(
            f"{_many(len(failed) + len(unfit))} could not be made, {made} {'was' if made == 1 else 'were'}; "
            f"{books[0]} says why"
        )
    return 0


def _outcomes(
    painter: Painter, missing: Sequence[Case], stopped: Callable[[], bool], settings: BatchSettings
) -> Iterator[Outcome]:
    if settings.send:
        return sent_by_ray(PictureCourier(painter), missing, stopped, address_of(settings))
    # on a cluster another folder may be the current one
    known = replace(painter, folder=painter.folder.resolve()) if settings.on else painter
    return outcomes(known, missing, stopped, settings)


def _folder(settings: BatchSettings) -> Path:
    if settings.output is None:
        raise OptionError("no folder for the results was given; name one by -o FOLDER")
    folder = Path(settings.output)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"'{folder}' is a file; give -o a folder")
    return folder


def _ordered(
    contents: Sequence[str],
    folder: Path,
    settings: BatchSettings,
    given: Mapping[str, Any],
    weights: VGGWeights,
) -> tuple[list[Case], list[Unfit]]:
    if "-" in (*contents, *settings.style):
        raise OptionError("standard input (-) is one picture; batch takes files, folders and patterns")
    options = {k: v for k, v in given.items() if k not in declare.declared({"": BatchSettings})}
    method, styles, combine = get_method(settings.method), settings.style, settings.combine
    threads = settings.threads or _threads_before(folder) or shared_out(settings.workers)
    if settings.recipe is not None:
        replay = Replay(
            open_recipe(settings.recipe),
            [style.path for style in pictures(styles, folder, "style")] if styles else (),
            settings.mask,
            other_style=settings.other_style,
            other_weights=settings.other_weights,
        )
        method = replay.method
        check_options(method, None, options)
        looks, options = replay.arguments(
            declare.values_of(method.options, options), resolve_device(settings.device)
        )
        if "at" in options and "at" not in given:
            options["at"] = [f"{region}={style}" for region, style in options["at"]]
        styles, combine = tuple(str(look) for look in looks), "together"
        threads = settings.threads or replay.recipe.threads
        _check_files(replay, options, weights)
    else:
        check_options(method, settings.preset, options)
        options = declare.values_of(method.options, options)
    order = Order(
        contents=contents,
        styles=styles,
        folder=folder,
        combine=combine,
        name=settings.name,
        method=method.name,
        preset=settings.preset or "",
        preview=settings.preview,
        options={k: list(v) if isinstance(v, tuple) else v for k, v in options.items()},
        weights=weights.sha256,
        threads=threads,
        depth=settings.depth,
        recipe=not settings.no_recipe,
    )
    return order.cases()


def _check_files(replay: Replay, options: Mapping[str, Any], weights: VGGWeights) -> None:
    """Hold the network, a model and a start against a recipe's."""
    here = [(weights.name, weights.sha256)]
    if options.get("model"):
        given = str(options["model"])
        learnt = replay.method.learnt
        here.append(
            ("model", learnt.opened(given).sha256 if learnt else open_segmenter(Path(given), weights).sha256)
        )
    replay.check_weights(here)
    start = options.get("init")
    if start in (None, *STARTS):
        replay.check_start(None)
    else:
        replay.check_start("each its own" if has_fields(start) else hash_of(Path(start)))


def _threads_before(folder: Path) -> int:
    """Return the threads of the manifest that is there: what was done with them need not be done again."""
    try:
        found, _ = Manifest.read(folder / BOOKS / MANIFEST, folder / BOOKS / RECORDS)
        return int(found.cases[0].values["threads"])
    except (KatazomeError, KeyError, TypeError, ValueError):
        return 0


def _given_manifest(
    path: Path, contents: Sequence[str], given: Mapping[str, Any], weights: VGGWeights
) -> tuple[list[Case], Path]:
    beside = {
        "manifest",
        "part",
        "workers",
        "on",
        "send",
        "device",
        "weights",
        "overwrite",
        "save_every",
        "plan",
        "quiet",
    }
    said = [declare.flag_of(name) for name in given if name not in beside]
    if contents or said:
        raise OptionError(
            f"a manifest has its pictures and options in it; leave out {', '.join([*contents, *said][:3])}"
        )
    folder = path.parent.parent if path.parent.name == BOOKS else None
    if folder is None:
        raise OptionError(f"the manifest '{path}' must lie where it was written: RESULTS/{BOOKS}/{MANIFEST}")
    manifest, edited = Manifest.read(path, path.parent / RECORDS)
    for case in manifest.cases:
        check_case(case, weights.sha256)
    if edited:
        tell(f"{path} was edited; it is run as it stands", quiet=bool(given.get("quiet")))
    return list(manifest.cases), folder


def _write_manifest(manifest: Manifest, path: Path, settings: BatchSettings) -> None:
    try:
        before, edited = Manifest.read(path, manifest.folder)
    except PictureError:
        edited = path.exists()
    else:
        if before == manifest:
            return
    if edited and not settings.overwrite:
        raise OutputError(
            f"'{path}' was edited by hand; run it by --manifest {path}, or --overwrite to write it anew"
        )
    manifest.write(path)


def _check_free(painter: Painter, missing: Sequence[Case], settings: BatchSettings) -> None:
    """Refuse to replace pictures that are no unchanged work of ours."""
    taken = [painter.output(case) for case in missing if os.path.lexists(painter.output(case))]
    if taken and not settings.overwrite:
        more = (
            f", and so {'is' if len(taken) == 2 else 'are'} {len(taken) - 1} more" if len(taken) > 1 else ""
        )
        raise OutputError(
            f"'{taken[0]}' is there already{more}, made otherwise or by something else; "
            "choose another folder or --name, or --overwrite"
        )


def _foretold(painter: Painter, missing: Sequence[Case], settings: BatchSettings) -> str:
    """Say memory and time, from some of the pictures."""
    if not missing:
        return ""
    memory, seconds, seen = 0, 0.0, 0
    problems: list[str] = []
    for number in range(min(_TRIED, len(missing))):
        # golden steps: spread out, and in step with nothing
        case = missing[number if len(missing) <= _TRIED else int(number * _GOLDEN % 1 * len(missing))]
        try:
            plan = painter.prepare(case).plan
        except KatazomeError as error:
            problems.append(f"{case.values['output']}: {error}")
            continue
        memory = max(memory, plan.memory)
        seconds, seen = seconds + plan.seconds() - WARM_UP_SECONDS, seen + 1
        if seen == _SAMPLE:
            break
    for text in problems:
        tell(text, quiet=settings.quiet)
    if not seen:
        return f", of which none of {len(problems)} that were tried can be"
    whole = WARM_UP_SECONDS + seconds / seen * len(missing) / min(settings.workers, len(missing))
    return (
        f": about {memory * settings.workers / 2**30:.1f} GiB and {duration(whole)} with "
        f"{settings.workers} worker{'s' * (settings.workers > 1)}, by {seen} of them"
    )


def _many(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


batch = declare.command(
    _batch,
    [declare.argument("content", "Pictures to restyle: files, folders, patterns in quotes", several=True)],
    CLASSES["batch"],
    {"preset": presets_of([m for m in list_methods() if m.content])},
)

"""The commands that make pictures: stylize, texture, resume."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from katazome.api import DEFAULT_METHOD, Session, Work
from katazome.cli import declare
from katazome.cli.drive import Sink, drive
from katazome.cli.settings import (
    AttributeSettings,
    BatchSettings,
    Caller,
    MakingSettings,
    MaterialSettings,
    ReplaySettings,
    ResumeSettings,
    StylizeSettings,
    WorkSettings,
)
from katazome.cli.show import show_for
from katazome.cli.team import NOBODY_ELSE, Team, followed
from katazome.descent.checkpoint import checkpoint_path, read_header
from katazome.descent.loop import Checkpoint
from katazome.device import free_memory, keep_threads, resident_memory
from katazome.errors import OptionError, OutputError, PictureError
from katazome.jobs.recorded import differing
from katazome.jobs.replay import Replay
from katazome.methods.base import Method, get_method, list_methods
from katazome.methods.options import STARTS
from katazome.options import Options
from katazome.pictures.read import PictureLike
from katazome.pictures.write import check_target, default_name
from katazome.processes import launched, leads
from katazome.recipe import Recipe, open_recipe
from katazome.regions.grammar import parse_placement


def _by_method(*, content: bool) -> dict[str, type[Options]]:
    methods = [m for m in list_methods() if (m.restyles if content else m.styled and not m.content)]
    methods.sort(key=lambda m: m.name != DEFAULT_METHOD)
    return {m.name: m.options for m in methods}


def presets_of(methods: Sequence[Method]) -> str:
    """Return the presets of methods, for help."""
    named = [f"{', '.join(m.presets)} ({m.name})" for m in methods if m.presets]
    return ": " + "; ".join(named) if named else ""


def _stylize(content: str, *styles: str, **given: Any) -> int:
    settings = StylizeSettings.from_json(declare.values_of(StylizeSettings, given))
    if settings.recipe is not None:
        return again(settings.recipe, content, styles, settings, given)
    said = [name for name in ("mask", "other_style", "other_weights") if getattr(settings, name)]
    if said:
        raise OptionError(f"{said[0]} stands beside a recipe; give one by --recipe")
    method = get_method(settings.method)
    if not method.restyles:
        raise OptionError(f"{method.name} restyles no picture by a style; use `katazome {method.name}`")
    _need_styles(method, styles, given)
    return make(method, content, styles, settings, given)


def _need_styles(method: Method, styles: Sequence[str], given: Mapping[str, Any]) -> None:
    if method.styled and not styles and not given.get("at"):
        raise OptionError("no style picture was given; name one or several after the content picture")


def _texture(*sources: str, **given: Any) -> int:
    settings = WorkSettings.from_json(declare.values_of(WorkSettings, given))
    if not sources:
        raise OptionError("no source picture was given; name one or several")
    return make(get_method("texture"), None, sources, settings, given)


def again(
    recipe: str,
    content: str | None,
    styles: Sequence[str],
    settings: StylizeSettings | ReplaySettings,
    given: Mapping[str, Any],
) -> int:
    """Do what a recipe says, with other options where they were given."""
    replay = Replay(
        open_recipe(recipe),
        styles,
        settings.mask,
        other_style=settings.other_style,
        other_weights=settings.other_weights,
    )
    method = replay.method
    replay.check_asked(content, given)
    if isinstance(settings, StylizeSettings):
        _need_styles(method, styles, given)
    return make(method, content, styles, settings, given, replay)


def make(
    method: Method,
    content: str | None,
    styles: Sequence[str],
    settings: WorkSettings,
    given: Mapping[str, Any],
    replay: Replay | None = None,
) -> int:
    """Do what a command was asked for: the work laid out, foretold, run, its result written."""
    options = {k: v for k, v in given.items() if k not in declare.declared({"": type(settings)})}
    check_options(method, settings.preset, options)
    options = declare.values_of(method.options, options)
    inputs = [*([] if content is None else [content]), *styles, *_start_file(options)]
    if inputs.count("-") > 1:
        raise OptionError("standard input (-) is given twice; it can be read only once")
    if settings.plan:
        output = "-"
    else:
        placed = [parse_placement(text, "at")[1] for text in options.get("at", ())]
        output = (
            settings.output
            if settings.output is not None
            else _made_name(content, [*_looks(method, styles, options), *placed, *_kinds(settings)])
        )
        check_output(output, settings)
    device = settings.device or (replay.device() if replay is not None and not settings.devices else "auto")
    team = Team.of(device, settings.devices, inputs)
    if replay is not None and replay.recipe.processes == team.partners.size:
        keep_threads(replay.recipe.threads)
    decoders = settings.decoders if isinstance(settings, StylizeSettings) else ()
    session = team.session(settings.network(), decoders)
    looks: Sequence[PictureLike] = styles
    if replay is not None:
        looks, options = replay.arguments(options, session.device)
    work = session.prepare(
        content,
        looks,
        method=method.name,
        preset=settings.preset,
        preview=settings.preview,
        **options,
    )
    if replay is not None:
        replay.check(work.recipe)
        _unlike(replay.recipe, work.recipe, quiet=settings.quiet or not leads())
    team.check(work)
    return carry_out(work, session, output, settings, team)


def carry_out(
    work: Work, session: Session, output: str, settings: MakingSettings, team: Team = NOBODY_ELSE
) -> int:
    """Run work that is laid out and write its result, or foretell it where no more was asked."""
    if not leads():
        return 0 if settings.plan else followed(work, None)
    caller = Caller(
        output="-" if output == "-" else Path(output).name,
        depth=settings.depth,
        recipe=not settings.no_recipe,
        save_every=settings.save_every,
        device=settings.device or session.device.type,
        devices=tuple(str(one) for one in team.started),
    )
    _notes(work, quiet=settings.quiet)
    if settings.plan:
        warning = _memory_warning(work, session)
        print(work.plan.sentence(work.plan.seconds()), flush=True)
        if warning and not settings.quiet:
            _say(warning)
        return 0
    return _run(Sink(output, settings.overwrite, caller, work), session, team, quiet=settings.quiet)


def _run(sink: Sink, session: Session, team: Team, resume: Checkpoint | None = None, *, quiet: bool) -> int:
    seconds = 0.0
    if not quiet:
        warning = _memory_warning(sink.work, session)
        seconds = sink.work.plan.seconds()
        _say(sink.work.plan.sentence(seconds))
        if warning:
            _say(warning)
    with team.helped(sink.work, session, resume):
        return drive(sink, show_for(sink.work.plan, seconds, quiet=quiet), resume, quiet=quiet)


def check_options(method: Method, preset: str | None, options: Mapping[str, Any]) -> None:
    """Name the methods that have what the chosen one has not."""
    own = declare.declared({"": method.options})
    for name in options:
        if name not in own:
            others = [m.name for m in list_methods() if name in declare.declared({"": m.options})]
            raise OptionError(f"{method.name} has no {declare.flag_of(name)}; {_have(others)}")
    if preset is not None and preset not in method.presets:
        others = [m.name for m in list_methods() if preset in m.presets]
        if others:
            raise OptionError(f"{method.name} has no preset '{preset}'; {_have(others)}")


def _have(methods: Sequence[str]) -> str:
    ways = [f"--method {m}" if get_method(m).content else f"`katazome {m}`" for m in methods]
    *first, last = ways
    return f"it belongs to {', '.join(first)} and {last}" if first else f"it belongs to {last}"


def _start_file(options: Mapping[str, Any]) -> list[str]:
    init = options.get("init")
    return [] if init in (None, *STARTS) else [str(init)]


def _looks(method: Method, styles: Sequence[str], options: Mapping[str, Any]) -> Sequence[str]:
    """Return what a result is called after: its styles, or the network that has learnt one."""
    return [str(options.get("model") or method.name)] if method.learnt else styles


def _kinds(settings: WorkSettings) -> Sequence[str]:
    return ["preview"] if settings.preview != "no" else []


def _made_name(content: str | None, styles: Sequence[str]) -> str:
    stems = ["picture" if s == "-" else Path(s).stem or "picture" for s in styles]
    if content is None:
        return default_name(stems[0], [*stems[1:], "texture"])
    return default_name("picture" if content == "-" else Path(content).stem or "picture", stems)


def check_output(output: str, settings: MakingSettings) -> None:
    """Raise what would keep the result from being written, before there is one."""
    path = check_target(output, overwrite=settings.overwrite, depth=settings.depth)
    if path is None:
        if settings.save_every:
            raise OptionError("--save-every needs a file to write to, not standard output; give -o FILE")
        _refuse_terminal()
        return
    _check_checkpoint(path, overwrite=settings.overwrite)


def _check_checkpoint(output: Path, *, overwrite: bool, resumed: Path | None = None) -> None:
    """Refuse to replace, and at the end to remove, what other work left beside ``output``."""
    checkpoint = checkpoint_path(output)
    ours = resumed is not None and checkpoint.absolute() == resumed.absolute()
    if checkpoint.exists() and not ours and not overwrite:
        raise OutputError(
            f"'{checkpoint}' of earlier work is there; go on with it: katazome resume {checkpoint}, "
            "or --overwrite to begin anew"
        )


def _refuse_terminal() -> None:
    if sys.stdout.isatty():
        raise OptionError("standard output is the terminal; send it to a file or a program, or give -o FILE")


def _notes(work: Work, *, quiet: bool) -> None:
    for role, picture in work.inputs.named():
        for note in () if quiet else picture.notes:
            _say(note if role == "where" else f"{role} '{picture.name}': {note}")


def _unlike(recorded: Recipe, made: Recipe, *, quiet: bool) -> None:
    """Say in what the work is not the recipe's."""
    there, here = differing([recorded, made])
    told = ", ".join(f"{name} {here[name]} (was {there[name]})" for name in there)
    if not quiet:
        _say(f"unlike the recipe: {told}" if told else "all as in the recipe")


def _memory_warning(work: Work, session: Session) -> str:
    """Return a sentence when the work needs more than is free; to be asked before anything is measured."""
    held = resident_memory() if session.device.type != "cuda" else 0
    needed, free = work.plan.memory - held, free_memory(session.device)
    if needed <= free:
        return ""
    small = work.plan.tile is not None and work.plan.tile <= 256
    tiles = "" if small or not hasattr(work.options, "tile") else ", or --tile 256"
    return (
        f"warning: this needs about {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free; "
        f"close other programs, or take a smaller --size{tiles}"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _resume(checkpoint: str, **given: Any) -> int:
    settings = ResumeSettings.from_json(given)
    path = Path(checkpoint)
    header = read_header(path)
    try:
        caller, threads = Caller.from_json(header["caller"]), int(header["threads"])
    except (OptionError, KeyError, TypeError, ValueError) as error:
        raise PictureError(f"{path} was not written by this version's command line: {error}") from error
    output, overwrite = _resumed_output(path, caller, settings)
    target = check_target(output, overwrite=overwrite, depth=caller.depth)
    if target is None:
        _refuse_terminal()
    else:
        _check_checkpoint(target, overwrite=settings.overwrite, resumed=path)
    devices = settings.devices or (() if settings.device or launched() else caller.devices)
    team = Team.of(settings.device or ("auto" if devices else caller.device), devices)
    keep_threads(threads)
    session = team.session(settings.network(), settings.decoders)
    work, state, _ = session.resume(path)
    team.check(work)
    if not leads():
        return followed(work, state)
    here = replace(
        caller,
        output="-" if output == "-" else Path(output).name,
        device=settings.device or caller.device,
        devices=tuple(str(one) for one in team.started),
    )
    return _run(Sink(output, overwrite, here, work), session, team, state, quiet=settings.quiet)


def _resumed_output(path: Path, caller: Caller, settings: ResumeSettings) -> tuple[str, bool]:
    """Return where the result goes and whether it may replace what is there."""
    # only the name is believed, not a folder that a file from elsewhere might hold
    own = caller.output if caller.output in ("", "-") else str(path.parent / Path(caller.output).name)
    if settings.output is None:
        if not own:
            raise OptionError(f"{path} does not say where its picture was going; give -o FILE")
        # a checkpoint that lies elsewhere or was renamed has no say over what lies here
        ours = own == "-" or checkpoint_path(Path(own)).absolute() == path.absolute()
        return own, ours or settings.overwrite
    if settings.output == "-":
        return "-", False
    same = own not in ("", "-") and Path(settings.output).absolute() == Path(own).absolute()
    return settings.output, settings.overwrite or same


_RESTYLING: declare.Classes = {"": StylizeSettings, **_by_method(content=True)}
_GROWING: declare.Classes = {"": WorkSettings, **_by_method(content=False)}

CLASSES: Mapping[str, declare.Classes] = {
    "stylize": _RESTYLING,
    "texture": _GROWING,
    "resume": {"": ResumeSettings},
    "batch": {"": BatchSettings, **_by_method(content=True)},
    "replay": {"": ReplaySettings, **_by_method(content=True), **_by_method(content=False)},
    "material": {"": MaterialSettings, "material": get_method("material").options},
    "attribute": {"": AttributeSettings, "attribute": get_method("attribute").options},
}
"""The option classes of each command that makes pictures."""

stylize = declare.command(
    _stylize,
    [
        declare.argument("content", "The picture to restyle; - reads standard input"),
        declare.argument(
            "style", "One or several pictures whose look it takes; none for feedforward", several=True
        ),
    ],
    CLASSES["stylize"],
    {
        "method": ": " + " | ".join(m for m in _RESTYLING if m),
        "preset": presets_of([m for m in list_methods() if m.restyles]),
    },
)

texture = declare.command(
    _texture,
    [
        declare.argument(
            "source", "One or several pictures of a texture; - reads standard input", several=True
        )
    ],
    CLASSES["texture"],
    {"preset": presets_of([m for m in list_methods() if not m.content])},
)

resume = declare.command(
    _resume,
    [declare.argument("checkpoint", "The checkpoint, a file such as out.png.checkpoint")],
    CLASSES["resume"],
)

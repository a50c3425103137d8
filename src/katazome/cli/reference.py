"""The reference page of the docs, made from the declarations.

Nothing on the page is written by hand, so it cannot say what the program does not do; a test
compares the file with what this makes.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from katazome.api import DEFAULT_METHOD, list_methods
from katazome.cli import declare
from katazome.cli.main import app, classes_named
from katazome.cli.settings import (
    AttributeSettings,
    BatchSettings,
    MakingSettings,
    MaterialSettings,
    ReplaySettings,
    ResumeSettings,
    StylizeSettings,
    WorkSettings,
)
from katazome.cli.train_feedforward import FeedForwardSettings
from katazome.cli.train_segmenter import SegmenterSettings
from katazome.cli.train_wae import WAESettings
from katazome.cli.training import PictureSettings
from katazome.methods.base import Method
from katazome.methods.options import StyleOptions
from katazome.options import OptionInfo, Options, info_of
from katazome.training.steps.decoder import DecoderOptions
from katazome.training.steps.feedforward import FeedForwardOptions
from katazome.training.steps.segmenter import SegmenterOptions
from katazome.training.steps.wae import WAEOptions

STRENGTHS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
"""Strengths whose weights the page shows."""

ENVIRONMENT = (
    ("KATAZOME_HOME", "folder of everything kept; open: the platform's cache folder"),
    ("KATAZOME_OFFLINE", "1: never touch the network"),
    ("KATAZOME_DETECTOR", "Folder of an open-vocabulary detector that finds `object:NAME`, by any words"),
    ("KATAZOME_HEAP", "0: leave the C library's heap settings alone"),
    ("KATAZOME_MAX_PIXELS", "most pixels of a picture that is read; open: 250000000"),
    ("KATAZOME_DEBUG", "1: show where an error came from"),
    ("PIP_INDEX_URL, ...", "pip's own settings say which package index weights are fetched from"),
    ("NO_COLOR", "no colours in what is printed"),
)
_FILTERS = ("rank", "select", "show")
_OTHERS = ("segment", "info", "compare", "doctor", "export", "weights", "study")
"""Commands whose options are those of a function."""
_EXIT_CODES = (
    ("0", "done"),
    ("1", "the work failed, or its result could not be written"),
    ("2", "a mistake in what was asked: an option, a picture"),
    ("130", "interrupted; what was done so far, and a checkpoint, are kept"),
)


def reference() -> str:
    """Return the page as Markdown."""
    methods = list_methods()
    return "\n".join(
        [
            "# Reference of the options",
            "",
            "Made by `make reference`; not to be edited by hand.",
            "",
            "Python and recipes spell an option with `_`, the command line with `-`: `style_scale=0.5` is",
            "`--style-scale 0.5`. Lists are written `1,2,3` on the command line. An open default means that",
            "the program chooses. Other names are those of other programs; the command line takes them too.",
            *(line for method in methods for line in _method(method)),
            *_strengths(methods),
            *_section("The command line: `stylize` and `texture`"),
            "`--method` belongs to `stylize` only.",
            "",
            *_options(StylizeSettings),
            *_section("The command line: `material`"),
            "Beside the options of the method `material`, and those of `stylize` above:",
            "",
            *_options(MaterialSettings, without=WorkSettings),
            *_section("The command line: `attribute`"),
            "Beside the options of the method `attribute`, and those of `stylize` above but for `--preview`:",
            "",
            *_options(AttributeSettings, without=MakingSettings),
            *_section("The command line: `replay`"),
            "Beside the options of the recipe's method, and those of `stylize` above:",
            "",
            *_options(ReplaySettings, without=StylizeSettings),
            *_section("The command line: `batch`"),
            "Beside the options of the methods, and those of `stylize` above; `--output` is a folder here:",
            "",
            *_options(BatchSettings, without=StylizeSettings),
            *_section("The command line: `train segmenter`"),
            *_options(SegmenterSettings),
            *_options(SegmenterOptions)[2:],
            *_section("The command line: `train decoder`"),
            *_options(PictureSettings),
            *_options(DecoderOptions)[2:],
            *_section("The command line: `train feedforward`"),
            *_options(FeedForwardSettings),
            *_options(FeedForwardOptions)[2:],
            *_section("The command line: `train wae`"),
            *_options(WAESettings),
            *_options(WAEOptions)[2:],
            *_section("The command line: `resume`"),
            *_options(ResumeSettings),
            *(line for name in _FILTERS for line in _declared("filters", name)),
            *(line for name in _OTHERS for line in _help(name)),
            *_section("Environment"),
            *_table(("variable", "meaning"), ((f"`{name}`", text) for name, text in ENVIRONMENT)),
            *_section("Exit codes"),
            *_table(("code", "meaning"), _EXIT_CODES),
            "",
        ]
    )


def _declared(*words: str) -> list[str]:
    """Return the section of a command that is made of option classes."""
    tables = [_options(cls) for cls in (classes_named(words) or {}).values()]
    lines = [line for number, table in enumerate(tables) for line in table[2 if number else 0 :]]
    return [*_section(f"The command line: `{' '.join(words)}`"), *lines]


def _help(*words: str) -> list[str]:
    """Return the section of a command, or those of all below it, as help has them."""
    command = app
    for word in words:
        command = command[word]
    below = [name for name in command if not name.startswith("-")]
    if below:
        return [line for name in below for line in _help(*words, name)]
    with app.app_stack(words):  # what holds for all commands is found from the root on
        text = command.generate_docs().replace("```console", "```text")  # a usage is no command
    return [*_section(f"The command line: `{' '.join(words)}`"), *text.rstrip().split("\n")[2:]]


def _section(title: str, level: int = 2) -> list[str]:
    return ["", f"{'#' * level} {title}", ""]


def _method(method: Method) -> list[str]:
    default = " (the default of `katazome stylize`)" if method.name == DEFAULT_METHOD else ""
    lines = [*_section(f"`{method.name}`"), f"{method.summary}{default}.", "", *_options(method.options)]
    if method.presets:
        rows = [(f"`{name}`", p.summary, _settings(p.options)) for name, p in method.presets.items()]
        lines += ["", *_table(("preset", "what", "sets"), rows)]
    return lines


def _settings(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_value(value)}" for name, value in options.items())


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(_value(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _options(cls: type[Options], without: type[Options] | None = None) -> list[str]:
    found = declare.declared({"": cls})
    known = set() if without is None else {f.name for f in fields(without)}
    rows = []
    for f in (f for f in fields(cls) if f.name not in known):
        info, option = info_of(f), found[f.name]
        flag = f"--no-{f.name}" if f.default is True else option.flag
        text = declare.switched_off(info.help) if f.default is True else info.help
        names = ", ".join(f"`--{a.replace('=', '` = `')}`" for a in info.aliases)
        default = "no" if isinstance(f.default, bool) else _value(f.default)
        shown = "open" if default in ("None", "") else f"`{default}`"
        rows.append((f"`{flag}`", text, _range(info), shown, names))
    return _table(("option", "meaning", "values", "default", "other names"), rows)


def _range(info: OptionInfo) -> str:
    if info.high is not None and info.high > declare.HUGE:
        return f"at least {info.low:g}"
    return info.range_text.strip(" |")


def _strengths(methods: Sequence[Method]) -> list[str]:
    lines = [
        *_section("What a strength means"),
        "`--strength` is the same word everywhere: 0 is no style, 1 nothing but style. It stands for these",
        "weights of content and style; `--content-weight` and `--style-weight` give others.",
    ]
    restyling = [m for m in methods if issubclass(m.options, StyleOptions)]
    balances = {m.name: importlib.import_module(m.build.__module__).BALANCE for m in restyling}
    rows = []
    for strength in STRENGTHS:
        pairs = [StyleOptions(strength=strength).pair(balances[m.name]) for m in restyling]
        rows.append((f"{strength:g}", f"{pairs[0][0]:.4g}", *(f"{style:.4g}" for _, style in pairs)))
    heads = ("strength", "content", *(f"style ({m.name})" for m in restyling))
    return [*lines, "", *_table(heads, rows)]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    return [line(heads), line("---" for _ in heads), *(line(row) for row in rows)]

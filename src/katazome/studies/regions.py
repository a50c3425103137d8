"""``study regions``: where things by name and what stands out are found, against masks made by hand.

A set is a folder with ``images`` and either ``masks`` (pictures of the same stem: the thing white, what does
not count middle grey) or ``labels`` (a text of polygons for each picture, a class and normalised x, y pairs a
line; the classes' names in ``config.yaml``). A table of two columns, picture and word, says what the thing of
a masked picture is called (``*`` and ``?`` stand for any characters); polygons bring their classes' names.

A case a file under the report's folder: a study that was stopped goes on where it was.
"""

from __future__ import annotations

import csv
import re
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cache, cached_property, partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from katazome.errors import PictureError
from katazome.jobs.manifest import Case, Figures, Manifest
from katazome.networks.classifier import open_classifier
from katazome.networks.vocabulary import meaning
from katazome.pictures.read import read
from katazome.pictures.sheet import sheet
from katazome.pictures.write import write
from katazome.regions.evidence import distinct, located, presence, share
from katazome.regions.objects import PRESENT, sight_of, standing_out
from katazome.regions.refine import refined
from katazome.regions.saliency import salient_map
from katazome.studies.metrics import mean_iu
from katazome.studies.report import markdown, write_csv

SMALLEST = 0.01
"""Of the picture: smaller things do not count."""

ROUGH, STEEP = 0.35, 0.8
"""Where the rough maps are cut, :func:`located` and :func:`distinct`: each at about its best."""


@dataclass(frozen=True)
class Thing:
    """A thing in a picture; ``mask`` makes its true mask and what does not count, (1, 1, H, W) each."""

    set: str
    picture: Path
    word: str
    mask: Callable[[], tuple[Tensor, Tensor]] = field(repr=False)


@dataclass(frozen=True)
class RegionStudy:
    """The study's inputs."""

    sets: Sequence[Path]
    words: Sequence[tuple[str, str]]
    folder: Path
    part: tuple[int, int] = (1, 1)
    say: Callable[[str], None] = lambda _: None

    @cached_property
    def things(self) -> Mapping[str, Thing]:
        """All things, by the names of their cases; :class:`PictureError` where there are none."""
        found = [thing for path in self.sets for thing in things_in(path, self.words)]
        if not found:
            raise PictureError("no picture has a thing that can be named; check the table of words")
        return {f"{t.set}-{t.picture.stem}-{t.word.replace(' ', '-')}": t for t in found}

    @cached_property
    def manifest(self) -> Manifest:
        """All cases: a thing each."""
        cases = [
            Case(name, {"set": t.set, "picture": t.picture.stem, "word": t.word})
            for name, t in self.things.items()
        ]
        return Manifest(self.folder / "cases", cases)

    def run(self) -> str:
        """Measure what is missing of this part; return the report (Markdown) of all there is."""
        (self.folder / "pictures").mkdir(parents=True, exist_ok=True)
        self.manifest.part(*self.part).run(self.measure, self.say)
        rows = self.manifest.results()
        write_csv(self.folder / "things.csv", rows)
        text = ["# Study: regions", "", "Mean intersection over union of thing and background.", ""]
        for title, key in (("By set", "set"), ("By word", "word")):
            text += [f"## {title}", "", markdown(summary(rows, key))]
        report = "\n".join(text)
        (self.folder / "report.md").write_text(report)
        return report

    def measure(self, case: Case) -> Figures:
        """Measure a case."""
        thing = self.things[case.name]
        pixels = read(thing.picture).pixels
        true, ignored = thing.mask()
        meant = meaning(thing.word)
        assert meant is not None
        network = _classifier()
        place, gradient = (make(sight_of(network), pixels, meant.classes) for make in (located, distinct))
        salient = salient_map(pixels)
        found = {
            "object": refined(pixels, standing_out(place, salient)),
            "without salient": refined(pixels, place),
            "not refined": (place > ROUGH).float(),
            "distinct": refined(pixels, gradient),
            "distinct, not refined": (gradient > STEEP).float(),
            "salient": salient,
        }
        shown = [("picture", pixels), ("mask", true)] + [(k, found[k]) for k in ("object", "salient")]
        cells = [(title, x.expand(-1, 3, -1, -1)) for title, x in shown]
        write(sheet([cells], cell=240), self.folder / "pictures" / f"{case.name}.png", overwrite=True)
        return {
            "area": float(true.mean()),
            "seen": float(share(presence(sight_of(network), pixels), meant.classes)),
            **{way: mean_iu(x, true, ignored) for way, x in found.items()},
        }


def summary(rows: Sequence[Figures], key: str) -> list[Figures]:
    """Return means over the rows that are alike in ``key``, then over all."""
    if not rows:
        return []
    groups: dict[str, list[Figures]] = {}
    for row in rows:
        groups.setdefault(str(row[key]), []).append(row)
    groups["all"] = list(rows)
    ways = [name for name in rows[0] if name not in ("set", "picture", "word", "area", "seen")]
    return [
        {
            key: name,
            "things": len(group),
            "seen %": round(100 * sum(row["seen"] >= PRESENT for row in group) / len(group)),
            **{way: round(statistics.mean(row[way] for row in group), 2) for way in ways},
        }
        for name, group in groups.items()
    ]


def things_in(folder: Path, words: Sequence[tuple[str, str]]) -> Iterator[Thing]:
    """Yield the things of a set that have a name the classifier knows.

    Raises :class:`PictureError` for a folder that is not laid out as a set.
    """
    pictures = sorted((folder / "images").glob("*.*")) if (folder / "images").is_dir() else []
    if not pictures or not ((folder / "masks").is_dir() or (folder / "labels").is_dir()):
        raise PictureError(f"'{folder}' is no set: it needs a folder images, and masks or labels beside it")
    for picture in pictures:
        if (folder / "masks").is_dir():
            word = next((word for pattern, word in words if fnmatch(picture.stem, pattern)), None)
            mask = folder / "masks" / f"{picture.stem}.png"
            if word and meaning(word) and mask.exists():
                yield Thing(folder.name, picture, word, partial(_masked, mask))
        else:
            for word, polygons in _polygons(folder, picture).items():
                drawn = _drawn(picture, polygons)
                if meaning(word) and float(drawn.mean()) >= SMALLEST:
                    yield Thing(folder.name, picture, word, partial(_whole, drawn))


def read_words(file: Path) -> list[tuple[str, str]]:
    """Read the table of pictures and words."""
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = [row for row in csv.reader(stream) if row]
    except (OSError, ValueError) as error:
        raise PictureError(f"the words '{file}' cannot be read: {error}") from error
    if any(len(row) != 2 for row in rows):
        raise PictureError(f"'{file}' must have two columns in each row: picture and word")
    return [(picture, word) for picture, word in rows]


def _masked(mask: Path) -> tuple[Tensor, Tensor]:
    value = read(mask).pixels[:, :1]
    band = (value > 0.3) & (value < 0.7)
    return (value > 0.3).float(), band


def _whole(drawn: Tensor) -> tuple[Tensor, Tensor]:
    return drawn, torch.zeros_like(drawn, dtype=torch.bool)


def _polygons(folder: Path, picture: Path) -> dict[str, list[list[float]]]:
    labels = folder / "labels" / f"{picture.stem}.txt"
    found: dict[str, list[list[float]]] = {}
    for line in labels.read_text().splitlines() if labels.exists() else []:
        number, *points = line.split()
        name = _class_names(folder / "config.yaml").get(int(number))
        if name and len(points) >= 6:
            found.setdefault(name, []).append([float(p) for p in points])
    return found


@cache
def _class_names(file: Path) -> Mapping[int, str]:
    rows = re.findall(r"^\s+(\d+): *['\"]?(.+?)['\"]?\s*$", file.read_text(), re.MULTILINE)
    return {int(number): name for number, name in rows}


def _drawn(picture: Path, polygons: Sequence[Sequence[float]]) -> Tensor:
    with Image.open(picture) as image:
        width, height = image.size
    canvas = Image.new("L", (width, height))
    for points in polygons:
        places = [(x * width, y * height) for x, y in zip(points[::2], points[1::2], strict=True)]
        ImageDraw.Draw(canvas).polygon(places, fill=1)
    return torch.from_numpy(np.array(canvas, dtype=np.float32))[None, None]


_classifier = cache(open_classifier)

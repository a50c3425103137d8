"""``study materials``: does stone that was fabric look like stone? Asked of the segmenter, and of a judge.

Source: the third source document's protocol. Five pictures a case: (1) the original; (2) the look on the
whole picture; (3) the original segmented; (4) the look on the segmented part alone; (5) picture 4 segmented.
Scored is the region of the *new* material in (5) against the true mask of the thing: ``forced`` (the class is
given) and ``free`` (the segmenter chooses among all). That is a circle, since the segmenter judges itself; a
judge on another network, taught with other pictures (:mod:`katazome.studies.judge`), is asked beside it.

Three ways to (4): ``pasted``, the source's (picture 2 inside the segmentation, picture 1 outside);
``guided``, the method material; ``joint``, with the segmenter's own map in the objective.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from katazome.api import Session, drain
from katazome.collections.cache import drained
from katazome.collections.folders import SUFFIXES, Source
from katazome.errors import OptionError, PictureError
from katazome.jobs.manifest import Case, Figures, Manifest
from katazome.looks import typical
from katazome.networks.classifier import Classifier
from katazome.networks.segmenter import Segmenter
from katazome.pictures.composite import composite
from katazome.pictures.read import read
from katazome.pictures.resize import resize
from katazome.pictures.sheet import sheet
from katazome.pictures.write import write
from katazome.regions.evidence import gradient, located
from katazome.regions.materials import class_called, partition, shown, sight_of
from katazome.regions.refine import refined
from katazome.regions.region import Region
from katazome.studies.judge import Judge
from katazome.studies.metrics import foreground_iu, mean_iu, pixel_accuracy
from katazome.studies.report import markdown, write_csv, write_page
from katazome.weights.catalogue import sha256_of

WAYS = ("pasted", "guided", "joint")
SCORES = ("pixel accuracy", "mean IU", "thing IU")


@dataclass(frozen=True)
class Content:
    """A picture of a material, with the true mask of it."""

    material: str
    picture: Path
    mask: Path

    @property
    def name(self) -> str:
        """The picture's name."""
        return f"{self.material}-{self.picture.stem}"


def contents_in(folder: Path) -> list[Content]:
    """Return the masked pictures of a set laid out as the Flickr Material Database.

    ``image/MATERIAL/NAME.*`` and ``mask/MATERIAL/NAME.*``. Raises :class:`PictureError` for a folder that is
    laid out otherwise, or a picture whose mask is missing or of another shape.
    """
    if not (folder / "image").is_dir() or not (folder / "mask").is_dir():
        raise PictureError(f"'{folder}' is no set of materials: it needs the folders image and mask")
    found: list[Content] = []
    for picture in sorted((folder / "image").glob("*/*")):
        if picture.suffix.lower() not in SUFFIXES:
            continue
        masks = sorted((folder / "mask" / picture.parent.name).glob(f"{picture.stem}.*"))
        if not masks:
            raise PictureError(f"'{picture}' has no mask in '{folder / 'mask' / picture.parent.name}'")
        sizes = [read(path).native for path in (picture, masks[0])]
        if sizes[0] != sizes[1]:
            (height, width), (rows, columns) = sizes
            raise PictureError(
                f"the mask '{masks[0]}' is {columns} x {rows} px, its picture {width} x {height}; "
                "they must agree"
            )
        found.append(Content(picture.parent.name, picture, masks[0]))
    if not found:
        raise PictureError(f"'{folder / 'image'}' has no pictures in class folders")
    return found


@dataclass(frozen=True)
class MaterialStudy:
    """The study's inputs."""

    session: Session
    model: Segmenter
    classifier: Classifier
    """What the judge thinks with."""
    contents: Sequence[Content]
    looks: Mapping[str, Sequence[Source]]
    """Pictures by material, of which the most typical are looks, and the judge learns from the others."""
    folder: Path
    styles: int = 2
    """How many looks of each material, the most typical first."""
    size: int = 256
    iterations: int = 50
    part: tuple[int, int] = (1, 1)
    say: Callable[[str], None] = field(default=lambda _: None)

    def __post_init__(self) -> None:
        """Raise what would stop the study on the way: :class:`OptionError`, :class:`PictureError`."""
        for name in (*self.looks, *(content.material for content in self.contents)):
            class_called(self.model, name)
        for content in self.contents:
            if not bool((read(content.mask).pixels > 0.5).any()):
                raise PictureError(f"the mask '{content.mask}' is empty; there is nothing in it to change")
        if not self.styles >= 1:
            raise OptionError(f"styles is {self.styles}; it must be at least 1")

    @cached_property
    def manifest(self) -> Manifest:
        """All cases: every content with every look of every material, the most typical looks first."""
        cases = []
        for number in range(self.styles):
            for content, material in itertools.product(self.contents, self._typical):
                if number >= len(self._typical[material]):
                    continue
                values = {
                    "content": content.name,
                    "from": content.material,
                    "to": material,
                    "look": sha256_of(self._typical[material][number])[:12],
                    "number": number,
                    "model": self.model.sha256[:12],
                    "judge": self.judge.sha256[:12],
                    "mask": sha256_of(content.mask)[:12],
                    "size": self.size,
                    "iterations": self.iterations,
                }
                cases.append(Case(f"{content.name}-{material}-{number}", values))
        return Manifest(self.folder / "cases", cases)

    @cached_property
    def _typical(self) -> Mapping[str, tuple[Path, ...]]:
        encoder = self.session.encoder
        return {name: drained(typical(encoder, some, self.styles)) for name, some in self.looks.items()}

    @cached_property
    def judge(self) -> Judge:
        """The judge, who has seen none of the looks."""
        taken = {path for looks in self._typical.values() for path in looks}
        left = {name: [s for s in some if s.path not in taken] for name, some in self.looks.items()}
        return Judge.taught(self.classifier, left)

    def run(self) -> str:
        """Measure what is missing of this part; return the report (Markdown) of all there is."""
        (self.folder / "pictures").mkdir(parents=True, exist_ok=True)
        self.manifest.part(*self.part).run(self.measure, self.say)
        rows = self.manifest.results()
        write_csv(self.folder / "cases.csv", [_flat(row) for row in rows])
        tables = {"By material": summary(rows, "to"), "By content": summary(rows, "content")} if rows else {}
        head = (
            f"{len(rows)} of {len(self.manifest.cases)} cases; "
            f"the judge told {self.judge.accuracy:.0%} of pictures kept back."
        )
        text = ["# Study: materials", "", head, ""]
        for title, table in tables.items():
            text += [f"## {title}", "", markdown(table)]
        report = "\n".join(text)
        (self.folder / "report.md").write_text(report, encoding="utf-8")
        names = (self.folder / "pictures" / f"{case.name}.png" for case in self.manifest.cases)
        sheets = [name for name in names if name.exists()]
        write_page(self.folder / "report.html", "Study: materials", head, tables, sheets)
        return report

    def measure(self, case: Case) -> Figures:
        """Measure a case."""
        content = next(c for c in self.contents if c.name == case.values["content"])
        look = self._typical[str(case.values["to"])][int(case.values["number"])]
        picture = read(content.picture)
        options: dict[str, Any] = {"size": self.size, "iterations": self.iterations, "method": "material"}
        whole = drain(self.session.prepare(picture, [look], **options)).tensor[:, :3]
        size = (whole.shape[2], whole.shape[3])
        original = resize(picture.pixels, size)
        true = (resize(read(content.mask).pixels[:, :1], size) > 0.5).float()
        old, new = (class_called(self.model, str(case.values[key])) for key in ("from", "to"))
        found = self._forced(original, old)
        more = {**options, "where": Region.mask(resize(found, picture.native)), "to": case.values["to"]}
        guided = drain(self.session.prepare(picture, [look], **more)).tensor[:, :3]
        more |= {"joint": True, "model": self.model}
        joint = drain(self.session.prepare(picture, [look], **more)).tensor[:, :3]
        made = {"pasted": composite(whole, original, found), "guided": guided, "joint": joint}
        cells = [("1 original", original), ("2 whole", whole), ("3 segmented", found.expand(-1, 3, -1, -1))]
        baseline = refined(original, gradient(sight_of(self.model), original, [old]))
        figures: Figures = {"segmented": mean_iu(found, true), "simonyan": mean_iu(baseline, true)}
        for way in WAYS:
            again = self._forced(made[way], new)
            figures[way] = {
                "forced": _scored(again, true),
                "free": _scored(self._free(made[way], new), true),
                "judge": float(self.judge.tells(made[way], true) == case.values["to"]),
            }
            cells += [(f"4 {way}", made[way]), (f"5 {way}, segmented", again.expand(-1, 3, -1, -1))]
        rows = [cells[:3], *(cells[n : n + 2] for n in range(3, len(cells), 2))]
        write(sheet(rows, cell=self.size), self.folder / "pictures" / f"{case.name}.png", overwrite=True)
        return figures

    def _forced(self, pixels: Tensor, number: int) -> Tensor:
        return refined(pixels, located(sight_of(self.model), pixels, [number]))

    def _free(self, pixels: Tensor, number: int) -> Tensor:
        return partition(self.model, pixels, shown(self.model, pixels)).get(
            number, torch.zeros_like(pixels[:, :1])
        )


def _scored(found: Tensor, true: Tensor) -> dict[str, float]:
    values = (pixel_accuracy(found, true), mean_iu(found, true), foreground_iu(found, true))
    return dict(zip(SCORES, values, strict=True))


def _flat(row: Figures) -> Figures:
    found: Figures = {k: v for k, v in row.items() if not isinstance(v, dict)}
    for way in WAYS:
        for reading in ("forced", "free"):
            found |= {f"{way} {reading} {name}": value for name, value in row[way][reading].items()}
        found[f"{way} judge"] = row[way]["judge"]
    return found


def summary(rows: Sequence[Figures], key: str) -> list[Figures]:
    """Return means over the rows that are alike in ``key``, then over all."""
    groups: dict[str, list[Figures]] = {}
    for row in rows:
        groups.setdefault(str(row[key]), []).append(row)
    groups["all"] = list(rows)
    found = []
    for name, group in groups.items():
        line: Figures = {key: name, "cases": len(group)}
        for way in WAYS:
            for reading in ("forced", "free"):
                line[f"{way}, {reading}"] = round(
                    statistics.mean(r[way][reading]["mean IU"] for r in group), 2
                )
            line[f"{way}, judge %"] = round(100 * statistics.mean(r[way]["judge"] for r in group))
        line["segmented"] = round(statistics.mean(r["segmented"] for r in group), 2)
        line["simonyan"] = round(statistics.mean(r["simonyan"] for r in group), 2)
        found.append(line)
    return found

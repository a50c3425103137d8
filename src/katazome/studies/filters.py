"""``study filters``: what the first source document's method comes to, beside its successors.

The source claims that style through chosen filters changes "only the dog, not the background". Here pictures
with a true mask are restyled in eight ways, and the change inside the mask is set against that outside:

* ``gatys`` on the whole picture; ``faithful`` and ``energy``, the source's method and its repair;
* ``guided`` by the filters' region, by the object's (``object:NAME``), by the true mask; by the true mask
  with guides that lie ``inside`` it;
* ``cut-out``: the whole picture restyled, then pasted through the true mask.

A case a file: a study that was stopped goes on where it was, and several machines can share it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from katazome.api import Session
from katazome.filters.select import chosen_of, words_of
from katazome.jobs.manifest import Case, Figures, Manifest
from katazome.losses.style import Look, LookStatistics, gram_loss
from katazome.methods.base import Descent
from katazome.methods.options import STYLE_LAYERS
from katazome.objective.whole import gather
from katazome.pictures.composite import composite
from katazome.pictures.read import read
from katazome.pictures.resize import resize
from katazome.pictures.sheet import sheet
from katazome.pictures.write import write
from katazome.regions.region import Region
from katazome.statistics.guides import carry
from katazome.studies.metrics import border_step
from katazome.studies.report import markdown, write_csv

WAYS = (
    "gatys",
    "faithful",
    "energy",
    "guided (filters)",
    "guided (object)",
    "guided (true mask)",
    "inside (true mask)",
    "cut-out",
)
RING = 16
"""Width (px) of the ring outside the mask in which a leak would show."""

_LEVEL = 0.5 / 255
"""Half a grey level: what 8 bits cannot show; added to the change outside, so that a ratio has an end."""

_CHANGED = 8 / 255

_MEDIANS = (
    "inside",
    "outside",
    "ratio",
    "before",
    "ring over inside",
    "edge",
    "mask reached",
    "Gram inside",
)
"""What the table gives of each way."""


@dataclass(frozen=True)
class FilterStudy:
    """The study's inputs: ``filters`` is a selection's file or its words, ``word`` what the things are."""

    session: Session
    filters: str
    word: str
    sets: Sequence[Path]
    pictures: Sequence[str]
    """Patterns of the pictures' names, such as ``*dog*``."""
    styles: Sequence[Path]
    folder: Path
    size: int = 256
    iterations: int = 50
    part: tuple[int, int] = (1, 1)
    say: Callable[[str], None] = lambda _: None

    @cached_property
    def manifest(self) -> Manifest:
        """All cases: every picture with every style in every way."""
        words = words_of(chosen_of(self.filters, self.session.encoder.weights))
        cases = []
        for folder in self.sets:
            for picture in sorted(
                file for pattern in self.pictures for file in (folder / "images").glob(f"{pattern}.*")
            ):
                for style in self.styles:
                    for way in WAYS:
                        values = {
                            "way": way,
                            "picture": f"{folder.name}/{picture.stem}",
                            "style": style.stem,
                            "filters": words,
                            "word": self.word,
                            "size": self.size,
                            "iterations": self.iterations,
                        }
                        name = f"{picture.stem}-{style.stem}-{way.replace(' ', '-')}"
                        cases.append(Case(name, values))
        return Manifest(self.folder / "cases", cases)

    def run(self) -> str:
        """Measure what is missing of this part; return the report (Markdown) of all there is."""
        (self.folder / "pictures").mkdir(parents=True, exist_ok=True)
        self.manifest.part(*self.part).run(self.measure, self.say)
        rows = self.manifest.results()
        write_csv(self.folder / "cases.csv", rows)
        done = f"{len(rows)} of {len(self.manifest.cases)} cases."
        report = "\n".join(["# Study: filters", "", done, "", markdown(summary(rows))])
        (self.folder / "report.md").write_text(report, encoding="utf-8")
        return report

    def measure(self, case: Case) -> Figures:
        """Measure a case."""
        way = str(case.values["way"])
        folder, _, stem = str(case.values["picture"]).partition("/")
        root = next(path for path in self.sets if path.name == folder)
        picture = next((root / "images").glob(f"{stem}.*"))
        style = next(path for path in self.styles if path.stem == case.values["style"])
        true = (read(root / "masks" / f"{stem}.png").pixels[:, :1] > 0.3).float()
        # all by Gram matrices alone, as the source and its variants are
        options: dict[str, Any] = {"method": "gatys", "moment_weight": 0.0}
        if way in ("faithful", "energy", "guided (filters)"):
            options = {"method": "filters", "filters": case.values["filters"], "variant": way.split()[0]}
        elif way == "guided (object)":
            options["where"] = Region.object(self.word)
        elif way.endswith("(true mask)"):
            options |= {"where": Region.mask(true), "guides": "inside" if "inside" in way else "simple"}
        work = self.session.prepare(picture, [style], size=self.size, iterations=self.iterations, **options)
        task = work.task
        assert isinstance(task, Descent)
        bare = list(replace(task, finish=torch.clone).steps())[-1].picture  # before it is composited
        made = task.finish(bare)[:, :3]
        size = (made.shape[2], made.shape[3])
        content, mask = resize(read(picture).pixels, size), resize(true, size)
        if way == "cut-out":
            made = composite(made, content, mask)
        cells = [("content", content), (way, made)]
        write(sheet([cells], cell=self.size), self.folder / "pictures" / f"{case.name}.png", overwrite=True)
        return {
            **measures(made, content, mask),
            "before": measures(bare, content, mask)["outside over inside"],
            "Gram inside": self._look(made, mask, style),
        }

    def _look(self, made: Tensor, mask: Tensor, style: Path) -> float:
        """Distance of the Gram matrices under the mask to the style's, mean over layers."""
        encoder = self.session.encoder
        source = read(style).pixels
        factor = (made.shape[2] * made.shape[3] / (source.shape[2] * source.shape[3])) ** 0.5
        source = resize(source, (round(source.shape[2] * factor), round(source.shape[3] * factor)))
        guided = LookStatistics(STYLE_LAYERS, (), carry(mask, STYLE_LAYERS))
        own = Look.of(gather(encoder, made, guided)).grams
        target = Look.of(gather(encoder, source, LookStatistics(STYLE_LAYERS))).grams
        return statistics.mean(float(gram_loss(own[tap], target[tap])) for tap in own)


def measures(made: Tensor, content: Tensor, mask: Tensor) -> Figures:
    """Compare the change inside a mask with that outside; pictures (1, 3, H, W), mask (1, 1, H, W).

    Changes are means of absolute differences over colours, in 0..1; ``edge`` is how much more of a line
    runs along the mask than ran there before (:func:`katazome.studies.metrics.border_step`).
    """
    change = (made - content).abs().mean(1, keepdim=True)
    inside, outside = mask > 0.5, mask < 0.5 / 255
    near = torch.nn.functional.max_pool2d(inside.float(), 2 * RING + 1, 1, RING) > 0
    ring = near & outside
    within, beyond = float(change[inside].mean()), float(change[outside].mean())
    return {
        "inside": within,
        "outside": beyond,
        "ratio": within / (beyond + _LEVEL),
        "outside over inside": beyond / within,
        "ring over inside": float(change[ring].mean()) / within if bool(ring.any()) else 0.0,
        "edge": border_step(made, mask) / border_step(content, mask),
        "mask reached": float((change[inside] > _CHANGED).float().mean()),
    }


def summary(rows: Sequence[Figures]) -> list[Figures]:
    """Return a row for each way: medians, and the quartiles of the ratio."""
    found = []
    for way in WAYS:
        own = [row for row in rows if row["way"] == way]
        if not own:
            continue
        ratios = [float(row["ratio"]) for row in own]
        quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
        medians = {name: statistics.median(float(row[name]) for row in own) for name in _MEDIANS}
        spread = f"{quartiles[0]:.2g} to {quartiles[2]:.2g}"
        found.append({"way": way, "cases": len(own), **medians, "ratio, quartiles": spread})
    return found

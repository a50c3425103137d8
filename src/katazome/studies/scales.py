"""``study scales``: what the pyramid gains, and why it must be made by halvings.

Three experiments of the second source document (dsanno's article on Snelgrove 2017):

1. transfer: ``gatys`` with content 1 : style 100 beside ``multiscale`` with 5 : 100;
2. quartering: an octave at a quarter made in one step by two-tap interpolation, as against two
   halvings. One step leaves three quarters of the pixels without gradient at that octave;
3. texture: the pyramid beside a single scale, from the same noise, in equal time.

A case a file under the report's folder: a study that was stopped goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.api import Session, Work, drain
from katazome.jobs.manifest import Figures
from katazome.methods.base import Descent
from katazome.methods.options import STYLE_LAYERS
from katazome.methods.wiring import Wiring
from katazome.pictures.read import Picture, read
from katazome.pictures.resize import resize, shrink_five_tap
from katazome.pictures.sheet import sheet
from katazome.pictures.write import write
from katazome.studies.metrics import (
    content_distance,
    fine_noise,
    gram_distance,
    texture_distance,
)
from katazome.studies.report import case, markdown, write_csv

OCTAVES = (0, 1, 2, 3)


@dataclass(frozen=True)
class Study:
    """The study's inputs: pictures, the size of the transfers (longest side, px), where to report."""

    session: Session
    content: Picture
    style: Picture
    textures: Sequence[Picture]
    folder: Path
    size: int = 800
    texture_size: int = 512
    iterations: int = 60
    say: Callable[[str], None] = lambda _: None

    def run(self) -> str:
        """Measure what is missing and return the report (Markdown), also written to the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        parts = {
            "transfer": ("Gatys 1:100 beside multi-scale 5:100", self._transfers()),
            "quartering": ("One quartering against two halvings", self._quarterings()),
            "texture": ("Texture: pyramid against one scale, in equal time", self._textures()),
        }
        text = ["# Study: scales", ""]
        for name, (title, rows) in parts.items():
            if rows:
                write_csv(self.folder / f"{name}.csv", rows)
                text += [f"## {title}", "", markdown(rows)]
        report = "\n".join(text)
        (self.folder / "report.md").write_text(report)
        return report

    def _transfers(self) -> list[Figures]:
        methods: dict[str, dict[str, Any]] = {
            "gatys": {"content_weight": 1.0, "style_weight": 100.0, "moment_weight": 0.0},  # as published
            "multiscale": {"content_weight": 5.0, "style_weight": 100.0},
        }
        rows = [
            case(self.folder / "cases", f"transfer-{m}", partial(self._transfer, m, w))
            for m, w in methods.items()
        ]
        self._sheet("transfer", [f"transfer-{m}" for m in methods], columns=2)
        return rows

    def _transfer(self, method: str, weights: dict[str, Any]) -> Figures:
        self.say(f"transfer: {method} at {self.size} px")
        work = self.session.prepare(
            self.content, [self.style], method=method, size=self.size, iterations=self.iterations, **weights
        )
        began = time.perf_counter()
        result = drain(work).tensor[:, :3]
        seconds = time.perf_counter() - began
        self._keep(f"transfer-{method}", result)
        encoder = self.session.encoder
        content, style = self._at_size_of(result)
        figures: Figures = {
            "method": method,
            "content:style": f"{weights['content_weight']:g}:{weights['style_weight']:g}",
            "seconds": round(seconds, 1),
            "content distance": content_distance(encoder, result, content),
        }
        for halvings in OCTAVES:
            figures[f"Gram at 1/{2**halvings}"] = gram_distance(
                encoder, result, style, STYLE_LAYERS, halvings
            )
        return figures

    def _at_size_of(self, result: Tensor) -> tuple[Tensor, Tensor]:
        """Return content and style at the result's size, as the work saw them at its last scale."""
        height, width = result.shape[2:]
        style = self.style.pixels
        factor = (height * width / (style.shape[2] * style.shape[3])) ** 0.5
        size = (round(style.shape[2] * factor), round(style.shape[3] * factor))
        return resize(self.content.pixels, (height, width)), resize(style, size)

    def _quarterings(self) -> list[Figures]:
        ways = {"two halvings": _halve_twice, "one quartering": _quarter}
        rows = []
        for name, way in ways.items():
            slug = f"quartering-{name.replace(' ', '-')}"
            rows.append(case(self.folder / "cases", slug, partial(self._quartering, name, way)))
        self._sheet("quartering", [f"quartering-{n.replace(' ', '-')}" for n in ways], columns=2)
        return rows

    def _quartering(self, name: str, way: Callable[[Tensor], Tensor]) -> Figures:
        """Run with octaves at 1 and 1/4 only, the latter made in the given way on both sides."""
        self.say(f"quartering: {name} at {self.size} px")
        work = self.session.prepare(
            self.content,
            [self.style],
            method="multiscale",
            size=self.size,
            iterations=self.iterations,
            octaves=2,
            scales=2,
            content_weight=5.0,
            style_weight=100.0,
        )
        task = work.task
        assert isinstance(task, Descent)
        assert isinstance(task.problem, Wiring)
        quartered = replace(work, task=replace(task, problem=replace(task.problem, shrink=way)))
        result = drain(quartered).tensor[:, :3]
        self._keep(f"quartering-{name.replace(' ', '-')}", result)
        picture = torch.rand(1, 1, 512, 512).requires_grad_()
        way(picture).sum().backward()  # type: ignore[no-untyped-call]
        assert picture.grad is not None
        inside = picture.grad[:, :, 32:-32, 32:-32]
        return {
            "way": name,
            "pixels without weight %": float((inside.abs() < 1e-9).float().mean() * 100),
            "weight, least over greatest": float(inside.min() / inside.max()),
            "fine noise (grey levels)": fine_noise(result),
        }

    def _textures(self) -> list[Figures]:
        rows: list[Figures] = []
        for source in self.textures:
            folder, slug = self.folder / "cases", f"texture-{source.name}"
            several = case(folder, f"{slug}-pyramid", partial(self._texture, source, 3, None))
            single = case(folder, f"{slug}-single", partial(self._texture, source, 1, several["seconds"]))
            rows += [several, single]
            names = [f"texture-{source.name}-{k}" for k in ("pyramid", "single")]
            self._sheet(f"texture-{source.name}", names, columns=2)
        return rows

    def _texture(self, source: Picture, octaves: int, seconds: float | None) -> Figures:
        """Grow a texture; with ``seconds``, as many iterations as fit in that time."""
        name = "pyramid" if octaves > 1 else "single"
        self.say(f"texture: {source.name}, {name}")
        size = str(self.texture_size)
        scales = None if octaves > 1 else 1
        work = self._texture_work(source, size, octaves, scales, 100 if seconds is None else 100_000)
        began = time.perf_counter()
        picture, count = _run_for(work, seconds)
        spent = time.perf_counter() - began
        self._keep(f"texture-{source.name}-{name}", picture)
        figures: Figures = {
            "texture": source.name,
            "method": f"{octaves} octaves, coarse to fine" if octaves > 1 else "one scale",
            "iterations": count,
            "seconds": round(spent, 1),
        }
        for halvings in OCTAVES:
            figures[f"SWD at 1/{2**halvings}"] = texture_distance(picture, source.pixels, halvings)
        return figures

    def _texture_work(
        self, source: Picture, size: str, octaves: int, scales: int | None, iterations: int
    ) -> Work:
        return self.session.prepare(
            None, [source], method="texture", size=size, octaves=octaves, scales=scales, iterations=iterations
        )

    def _keep(self, name: str, picture: Tensor) -> None:
        write(picture, self.folder / f"{name}.png", overwrite=True)

    def _sheet(self, name: str, cases: Sequence[str], columns: int) -> None:
        pictures = [(c, read(self.folder / f"{c}.png").pixels) for c in cases]
        rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
        write(sheet(rows, cell=self.size), self.folder / f"sheet-{name}.png", overwrite=True)


def _run_for(work: Work, seconds: float | None) -> tuple[Tensor, int]:
    count = 0
    stream = work.steps()
    for step in stream:
        count += 1
        picture = step
        if step.last or (seconds is not None and step.seconds >= seconds):
            break
    return picture.picture[:, :3].cpu(), count


def _halve_twice(picture: Tensor) -> Tensor:
    border = ("reflect", "reflect")
    return shrink_five_tap(shrink_five_tap(picture, border), border)


def _quarter(picture: Tensor) -> Tensor:
    """A quarter in one step by two-tap interpolation, corners aligned, as Chainer's ``resize_images``."""
    size = (picture.shape[2] // 4, picture.shape[3] // 4)
    return F.interpolate(picture, size=size, mode="bilinear", align_corners=True)

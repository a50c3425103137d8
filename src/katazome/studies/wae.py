"""``study wae``: what the codes of style and content hold, by their size and by what they were learnt from.

Source: the experiments of the fourth source document (Nakada & Asoh): reconstruction, then pictures whose
style code is another's, for content codes of 512 to 32 numbers and two collections. Here each is measured on
pictures that no model of ours learnt from: the error of what comes back; the distance of the mixed picture's
look from the style picture's, from the content's own and from other styles'; and the distance of its content.
Two rows show what a distance is worth: the unchanged copy, and the style picture itself.

A case is a model on a set of pictures, a file.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from katazome.api import Session
from katazome.collections.folders import Source, load_square
from katazome.device import generator
from katazome.jobs.manifest import Case, Figures, Manifest
from katazome.networks.wae import STYLE_TAPS, WAE
from katazome.networks.wae_model import WAEWeights
from katazome.pictures.sheet import sheet
from katazome.pictures.write import write
from katazome.studies.eyes import Portrait, vgg_eye
from katazome.studies.metrics import rms_error, structure_distance
from katazome.studies.report import markdown, write_csv, write_page
from katazome.training.data import held_first

MANY = 16
"""Pictures of a set, and styles: the chance of finding one's own among them is 6 %."""

_SHOWN = 6
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
_SEED = 4
_CONTENT = STYLE_TAPS[-1]
_COPY, _ITSELF = "the copy", "the style itself"


@dataclass(frozen=True)
class WAEStudy:
    """The study's inputs: models by name, sets of pictures by name, where to report."""

    session: Session
    models: Mapping[str, WAEWeights]
    sets: Mapping[str, Sequence[Source]]
    folder: Path
    part: tuple[int, int] = (1, 1)
    say: Callable[[str], None] = field(default=lambda _: None)

    @cached_property
    def manifest(self) -> Manifest:
        """All cases: each model, and both rows to compare with, on each set."""
        known = {name: model.sha256 for name, model in self.models.items()}
        known |= {_COPY: "", _ITSELF: ""}
        cases = []
        for model, sha256 in known.items():
            for name, sources in self.sets.items():
                pictures = [source.name for source in chosen(sources)]
                values = {"model": model, "sha256": sha256[:12], "set": name, "pictures": pictures}
                cases.append(Case(f"{model}-{name}".replace(" ", "-"), values))
        return Manifest(self.folder / "cases", cases)

    def run(self) -> str:
        """Measure what is missing of this part; return the report (Markdown) of all there is."""
        (self.folder / "pictures").mkdir(parents=True, exist_ok=True)
        self.manifest.part(*self.part).run(self.measure, self.say)
        rows = [{k: v for k, v in row.items() if k != "pictures"} for row in self.manifest.results()]
        write_csv(self.folder / "cases.csv", rows)
        for name, model in self.models.items():
            self._sheets(name, model)
        self._reconstructions()
        table = by_model(rows)
        head = (
            f"{len(rows)} of {len(self.manifest.cases)} cases, {MANY} pictures of each set that nothing was "
            "learnt from, each with the style of one of as many from all sets."
        )
        report = "\n".join(["# Study: codes of style and content", "", head, "", markdown(table)])
        (self.folder / "report.md").write_text(report, encoding="utf-8")
        shown = sorted((self.folder / "pictures").glob("*.png"))
        write_page(self.folder / "report.html", "Study: codes of style and content", head, {"": table}, shown)
        return report

    def pictures(self, name: str, side: int) -> Tensor:
        """Return a set's pictures (MANY, 3, side, side)."""
        return torch.cat([load_square(source, side) for source in chosen(self.sets[name])])

    def styles(self, side: int) -> Tensor:
        """Return the styles (MANY, 3, side, side): of all sets in turn, and none of the contents."""
        columns = [chosen(sources, 2 * MANY)[MANY:] for sources in self.sets.values()]
        turned = [source for row in zip(*columns, strict=True) for source in row]
        return torch.cat([load_square(source, side) for source in turned[:MANY]])

    def measure(self, case: Case) -> Figures:
        """Measure a case."""
        name = str(case.values["model"])
        model = self.models.get(name)
        side = model.facts.side if model else next(iter(self.models.values())).facts.side
        contents, styles = self.pictures(str(case.values["set"]), side), self.styles(side)
        if model is None:
            return self._figures(contents, styles, contents if name == _COPY else styles)
        net = model.net()
        with torch.no_grad():
            code, own = net.content_code(contents), net.style_code(self._described(net, contents))
            mixed = net.decode(code, net.style_code(self._described(net, styles))).clamp(0, 1)
            back = net.decode(code, own).clamp(0, 1)
        facts = {
            "form": "spatial" if model.facts.spatial else "vector",
            "regime": model.facts.options.get("regime", ""),
            "prior": model.facts.options.get("prior", "mmd"),
            "content size": model.facts.content_size,
            "RMSE": rms_error(back, contents),
        }
        return {**facts, **self._figures(contents, styles, mixed)}

    def _figures(self, contents: Tensor, styles: Tensor, made: Tensor) -> Figures:
        """Return means over pictures made of ``contents`` and ``styles`` (B, 3, side, side)."""
        eye = vgg_eye(self.session.encoder, STYLE_TAPS)
        looks = [Portrait.of(eye, style[None], slices=False) for style in styles]
        rows = []
        for number, picture in enumerate(made):
            look = Portrait.of(eye, picture[None], slices=False)
            own = Portrait.of(eye, contents[number : number + 1], slices=False)
            near = [look.gram_distance(other) for other in looks]
            others = near[:number] + near[number + 1 :]
            seen = [eye(p[None])[-1] for p in (picture, contents[number])]
            rows.append(
                {
                    "style": near[number],
                    "style before": own.gram_distance(looks[number]),
                    "other styles": statistics.mean(others),
                    "own style %": 100.0 * (near[number] < min(others)),
                    "content": structure_distance(*seen),
                }
            )
        return {name: statistics.mean(row[name] for row in rows) for name in rows[0]}

    def _described(self, net: WAE, pictures: Tensor) -> Tensor:
        with torch.no_grad():
            found: Tensor = net.describer(self.session.encoder(pictures, STYLE_TAPS))
        return found

    # Sheets

    def _sheets(self, name: str, model: WAEWeights) -> None:
        """Write a model's grid of contents and styles, what lies between two styles, and draws."""
        net, side = model.net(), model.facts.side
        contents = torch.cat([self.pictures(s, side)[: _SHOWN // 2] for s in self.sets])
        styles = self.styles(side)[:_SHOWN]
        with torch.no_grad():
            code = net.content_code(contents)
            codes = net.style_code(self._described(net, styles))
            grid = [[torch.ones_like(styles[0]), *styles]]
            for number, content in enumerate(contents):
                one = code[number : number + 1].expand(len(codes), *code.shape[1:])
                grid.append([content, *net.decode(one, codes)])
            between = []
            for number in range(min(_SHOWN, len(contents))):
                one = code[number : number + 1]
                pair = (codes[number % len(codes)], codes[(number + 1) % len(codes)])
                line = [net.decode(one, (pair[0] * (1 - s) + pair[1] * s)[None])[0] for s in _SHARES]
                between.append([contents[number], *line])
            draw = generator(_SEED)
            of_prior = torch.randn((_SHOWN * _SHOWN, *code.shape[1:]), generator=draw)
            of_style = torch.randn((len(of_prior), codes.shape[1]), generator=draw)
            drawn = list(net.decode(of_prior, of_style))
        self._write(f"{name}-grid", grid, side)
        self._write(f"{name}-between", between, side)
        self._write(f"{name}-prior", [drawn[n : n + _SHOWN] for n in range(0, len(drawn), _SHOWN)], side)

    def _reconstructions(self) -> None:
        """Write what comes back of a few pictures of each set, a row for each model."""
        lines: list[list[tuple[str, Tensor]]] = []
        for name, model in self.models.items():
            net, side = model.net(), model.facts.side
            contents = torch.cat([self.pictures(s, side)[:4] for s in self.sets])
            if not lines:
                lines.append([("", picture) for picture in contents])
            with torch.no_grad():
                style = net.style_code(self._described(net, contents))
                back = net.decode(net.content_code(contents), style).clamp(0, 1)
            lines.append([(name if not n else "", picture) for n, picture in enumerate(back)])
        write(sheet(lines, cell=96, gap=4), self.folder / "pictures" / "reconstruction.png", overwrite=True)

    def _write(self, name: str, rows: Sequence[Sequence[Tensor]], side: int) -> None:
        laid = [[("", picture.clamp(0, 1)) for picture in row] for row in rows]
        file = self.folder / "pictures" / f"{name}.png"
        write(sheet(laid, cell=max(side, 96), gap=4), file, overwrite=True)


def chosen(sources: Sequence[Source], many: int = MANY) -> list[Source]:
    """Return the pictures of a set that are measured: those that training holds out first."""
    return held_first(sources)[:many]


def by_model(rows: Sequence[Figures]) -> list[Figures]:
    """Return a line for each model: the error of each set, means over all sets of what mixing does."""
    found: dict[str, list[Figures]] = {}
    for row in rows:
        found.setdefault(str(row["model"]), []).append(row)
    table = []
    for name, some in found.items():
        line: Figures = {"model": name}
        line |= {k: some[0].get(k, "") for k in ("form", "regime", "prior", "content size")}
        line |= {f"RMSE, {row['set']}": row.get("RMSE", "") for row in some}
        measured = ("style", "style before", "other styles", "own style %", "content")
        line |= {k: statistics.mean(float(row[k]) for row in some) for k in measured}
        table.append(line)
    return table

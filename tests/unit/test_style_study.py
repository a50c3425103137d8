"""study styles on the tiny network: its cases, what is made once, what fails, its report."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from katazome.api import Session
from katazome.collections.folders import find
from katazome.errors import MethodError, OptionError
from katazome.jobs.inputs import hash_of
from katazome.jobs.manifest import Figures
from katazome.networks.classifier import classifier_of
from katazome.pictures.read import read
from katazome.pictures.write import write
from katazome.studies.contenders import asked_for
from katazome.studies.fresh import Order, made_apart, made_here
from katazome.studies.style_table import costs, head_of, tables_of
from katazome.studies.styles import StyleStudy
from tests.tiny import tiny_decoders, tiny_feedforward, tiny_vgg
from tests.unit.test_classifier import random_tensors

OPENED: dict[str, Any] = {"weights": tiny_vgg(), "decoders": tiny_decoders(), "device": "cpu", "heap": False}


@pytest.fixture(autouse=True)
def few_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorting is most of the time that measuring takes."""
    monkeypatch.setattr("katazome.studies.eyes.POSITIONS", 256)


def picture(seed: int, height: int = 96, width: int = 128) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def study(tmp_path: Path) -> StyleStudy:
    for name, seed in (("photos/hill", 1), ("photos/lake", 2), ("paints/waves", 3), ("paints/night", 4)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(picture(seed), tmp_path / f"{name}.png")
    return StyleStudy(
        session=Session(**OPENED),
        classifier=classifier_of(random_tensors()),
        contents=find([tmp_path / "photos"]),
        styles=find([tmp_path / "paints"]),
        folder=tmp_path / "report",
        methods=("adain", "gatys"),
        size=128,
        iterations=2,
        few=1,
        make=made_here,
        opened=OPENED,
    )


def test_it_makes_measures_and_reports_once(study: StyleStudy) -> None:
    made: list[Order] = []

    def counted(order: Order) -> Figures:
        made.append(order)
        return made_here(order)

    study = dataclasses.replace(study, make=counted)
    report = study.run()
    # 2 x 2 in two methods, 2 baselines each; of one content identity and tiles in both
    assert "20 of 20 cases, 0 failed: 2 contents x 2 styles" in report
    assert [order.method for order in made[:4]] == ["adain", "gatys", "adain", "gatys"]
    assert made[0].options == {"size": "128"}
    assert made[1].options == {"size": "128", "iterations": 2, "seed": 0}
    assert [order.options.get("tile") for order in made[4:8]] == [None, None, "64", "64"]
    for title in ("What it costs", "Identity", "Tiles against the whole", "Patterns of the pixel grid"):
        assert f"## {title}" in report
    with (study.folder / "cases.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 20
    copies = [row for row in rows if row["method"] == "(copy)"]
    assert all(float(row["content distance"]) < 1e-6 and not row["seconds"] for row in copies)
    assert all(float(r["peak MB"]) > 50 for r in rows if r["method"] == "gatys")
    page = (study.folder / "report.html").read_text()
    assert "sheet-hill.jpg" in page
    assert read(study.folder / "sheet-lake.jpg").native[1] > 3 * 320
    assert len(made) == 12
    assert study.run() == report
    assert len(made) == 12  # nothing is made again
    # one style fewer: other measures of the same pictures
    fewer = dataclasses.replace(study, styles=study.styles[:1])
    assert fewer.run() != report
    assert len(made) == 12
    # a picture that was taken away
    (study.folder / "pictures" / "hill.night.gatys.png").unlink()
    study.run()
    assert len(made) == 13


def test_a_case_that_fails_is_a_row_and_is_tried_again(study: StyleStudy) -> None:
    fails = [True]

    def failing(order: Order) -> Figures:
        if order.method == "gatys" and fails[0]:
            raise MethodError("the descent was lost")
        return made_here(order)

    said: list[str] = []
    study = dataclasses.replace(study, make=failing, say=said.append, contents=study.contents[:1], few=0)
    report = study.run()
    assert "8 of 8 cases, 2 failed" in report
    assert "| style | hill | waves | gatys | the descent was lost |" in report
    assert "hill.waves.gatys failed: the descent was lost" in said
    fails.clear()
    fails.append(False)
    assert "8 of 8 cases, 0 failed" in study.run()


def test_parts_keep_a_pair_together(study: StyleStudy) -> None:
    for number in (1, 2):
        part = dataclasses.replace(study, part=(number, 2))
        report = part.run()
        own = [c for c in study.manifest.cases if study.manifest.result(c) is not None]
        pairs = {(c.values["content"], c.values["style"]) for c in own}
        whole = [c for c in study.manifest.cases if (c.values["content"], c.values["style"]) in pairs]
        assert own == whole
        assert 0 < len(own) < 20 or number == 2
    assert "20 of 20 cases" in report
    with pytest.raises(OptionError, match="part is 3/2"):
        dataclasses.replace(study, part=(3, 2)).run()


def test_methods_that_need_more_are_told_of(study: StyleStudy) -> None:
    able, left = dataclasses.replace(study, methods=()).contenders
    assert {"gatys", "multiscale", "adain", "wct"} <= {one.name for one in able}
    assert "needs filters" in left["filters"]
    assert left["attribute"] == "it takes no style"
    assert "texture" not in {*left, *(one.name for one in able)}
    with pytest.raises(OptionError, match=r"no method is left to study \(filters: "):
        _ = dataclasses.replace(study, methods=("filters",)).contenders


def test_what_is_asked_for_wrongly(study: StyleStudy) -> None:
    with pytest.raises(OptionError, match="did you mean 'adain'"):
        asked_for(["adan"])
    with pytest.raises(OptionError, match="adain takes no model; leave '=waves' out"):
        asked_for(["adain=waves"])
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"size": 64}, "at least 128"),
        ({"few": -1}, "few is -1"),
        ({"iterations": 0}, "iterations is 0"),
        ({"styles": [*study.styles, *study.styles]}, "two pictures are called 'night'"),
    ]
    for change, message in wrong:
        with pytest.raises(OptionError, match=message):
            dataclasses.replace(study, **change)


def test_a_method_that_has_learnt_a_style_is_asked_for_that_alone(study: StyleStudy, tmp_path: Path) -> None:
    def model(name: str, style: Path) -> str:
        tiny = tiny_feedforward()
        learnt = {"name": style.stem, "sha256": hash_of(style), "terms": ""}
        dataclasses.replace(tiny, facts=dataclasses.replace(tiny.facts, style=learnt)).write(tmp_path / name)
        return f"feedforward={tmp_path / name}"

    waves = model("waves.safetensors", tmp_path / "paints/waves.png")
    other = model("other.safetensors", tmp_path / "photos/lake.png")
    study = dataclasses.replace(study, methods=("adain", waves, other))
    _, left = study.contenders
    assert left == {other: "it has learnt 'lake', which is none of the styles"}
    cases = [c for c in study.manifest.cases if c.values["method"] == "feedforward"]
    tests = [(c.values["test"], c.values["content"], c.values["style"]) for c in cases]
    assert tests == [("style", "hill", "waves"), ("style", "lake", "waves")]
    assert cases[0].values["networks"]
    report = study.run()
    assert "| feedforward | 2 |" in report
    assert "0 failed" in report


def test_a_picture_made_apart(study: StyleStudy, tmp_path: Path) -> None:
    paths = study.contents[0].path, (study.styles[0].path,)
    order = Order(*paths, "adain", {"size": "128"}, tmp_path / "apart.png", OPENED)
    figures = made_apart(order)
    made_here(dataclasses.replace(order, target=tmp_path / "here.png"))
    assert (tmp_path / "apart.png").read_bytes() == (tmp_path / "here.png").read_bytes()
    assert figures["peak MB"] > 50
    assert 0 < figures["seconds"] + figures["opening"] < 600
    with pytest.raises(MethodError, match="no method is called 'nothing'"):
        made_apart(dataclasses.replace(order, method="nothing"))


def test_tables_by_hand() -> None:
    def row(method: str, style: str, seconds: float, **more: Any) -> Figures:
        made = {"seconds": seconds, "opening": 1.0, "peak MB": 100 * seconds, "threads": 2, "precision": "f"}
        return {"test": "style", "content": "hill", "style": style, "method": method, **made, **more}

    rows = [
        row("a", "x", 1.0, **{"content distance": 0.2}, **{"own style": 1}),
        row("b", "x", 3.0, **{"content distance": 0.4}, **{"own style": 0}),
        row("a", "y", 10.0, **{"content distance": 0.4}, **{"own style": 0}),
        row("b", "y", 50.0, **{"content distance": 0.6}),
        {"test": "style", "content": "hill", "style": "z", "method": "b", "failed": "lost"},
    ]
    first, second = costs(rows[:4])
    assert (first["times the quickest"], second["times the quickest"]) == (1, 4)
    assert (second["seconds"], second["peak MB"]) == (26.5, 5000)
    tables = tables_of(rows)
    kept = tables["Content kept and style taken"]
    assert kept[0] == {"method": "a", "pictures": 2, "content distance": 0.3, "own style %": 50}
    assert kept[1] == {"method": "b", "pictures": 2, "content distance": 0.5, "own style %": 0}
    assert tables["Failed"][0]["failed"] == "lost"
    assert "Tiles against the whole" not in tables
    head = head_of(rows, 9, {"filters": "it needs filters."})
    assert "5 of 9 cases, 1 failed: 1 contents x 3 styles (f, 2 threads)." in head
    assert head.endswith("filters is left out: it needs filters.")

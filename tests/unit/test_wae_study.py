"""The study of codes: what a copy and the style itself come to, which pictures are measured, the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from katazome.api import Session
from katazome.collections.folders import find
from katazome.studies.wae import MANY, WAEStudy, by_model, chosen
from katazome.training.data import split
from tests.tiny import tiny_vgg, tiny_wae


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> WAEStudy:
    draw = np.random.default_rng(0)
    sets = {}
    for name in ("one", "two"):
        folder = tmp_path_factory.mktemp(name)
        for number in range(2 * MANY + 3):
            coarse = draw.integers(0, 255, (5, 5, 3), dtype=np.uint8)
            Image.fromarray(coarse).resize((40, 40)).save(folder / f"{number}.png")
        sets[name] = find([folder])
    session = Session(weights=tiny_vgg(), device="cpu", heap=False)
    return WAEStudy(
        session=session, models={"tiny": tiny_wae()}, sets=sets, folder=tmp_path_factory.mktemp("report")
    )


def test_the_pictures_are_those_that_training_holds_out(study: WAEStudy) -> None:
    sources = study.sets["one"]
    _, held = split(sources)
    assert chosen(sources)[: len(held)] == held
    assert len(chosen(sources)) == MANY
    contents, styles = study.pictures("one", 32), study.styles(32)
    assert contents.shape == styles.shape == (MANY, 3, 32, 32)
    assert not any(torch.equal(c, s) for c in contents for s in styles)


def test_the_report(study: WAEStudy) -> None:
    report = study.run()
    assert "6 of 6 cases" in report
    rows = {row["model"]: row for row in by_model(study.manifest.results())}
    assert rows["the style itself"]["style"] == 0
    assert rows["the style itself"]["own style %"] == 100
    assert rows["the copy"]["content"] == pytest.approx(0, abs=1e-6)
    assert rows["the copy"]["style"] == rows["the copy"]["style before"]
    assert rows["the style itself"]["content"] > 0.5
    tiny = rows["tiny"]
    assert (tiny["form"], tiny["content size"]) == ("spatial", 3)
    assert tiny["RMSE, one"] > 0
    assert tiny["style before"] == rows["the copy"]["style before"]
    names = {file.name for file in (study.folder / "pictures").glob("*.png")}
    assert names == {"tiny-grid.png", "tiny-between.png", "tiny-prior.png", "reconstruction.png"}
    assert (study.folder / "report.html").exists()
    said: list[str] = []
    object.__setattr__(study, "say", said.append)
    assert study.run() == report
    assert said == []  # nothing is measured twice
    assert Path(study.folder / "cases.csv").read_text().count("\n") == 7

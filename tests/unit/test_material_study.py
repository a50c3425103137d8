"""The protocol of the third source document: its sets, its judge, its report, on small things."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from katazome.api import Session
from katazome.collections.folders import classes_in, load_square
from katazome.errors import OptionError, PictureError
from katazome.networks.classifier import classifier_of
from katazome.pictures.write import write
from katazome.studies.judge import Judge
from katazome.studies.materials import WAYS, MaterialStudy, contents_in
from katazome.studies.metrics import foreground_iu, pixel_accuracy
from tests.materials import draw_classes, taught
from tests.tiny import tiny_vgg
from tests.unit.test_classifier import random_tensors


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KATAZOME_HOME", str(tmp_path / "home"))


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """A set of one picture of fabric, in the layout of the Flickr Material Database."""
    for part in ("image", "mask"):
        (tmp_path / "set" / part / "fabric").mkdir(parents=True)
    write(torch.rand(1, 3, 64, 96), tmp_path / "set/image/fabric/coat.png")
    mask = torch.zeros(1, 3, 64, 96)
    mask[..., 16:48, 24:72] = 1
    write(mask, tmp_path / "set/mask/fabric/coat.png")
    return tmp_path / "set"


def test_scores_by_hand() -> None:
    found, true = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    found[..., :2, :] = 1
    true[..., 1:3, :] = 1
    assert pixel_accuracy(found, true) == 0.5
    assert foreground_iu(found, true) == pytest.approx(1 / 3)
    assert foreground_iu(true * 0, true * 0) == 1


def test_sets_and_what_is_wrong_with_them(masked: Path, tmp_path: Path) -> None:
    (content,) = contents_in(masked)
    assert (content.material, content.name) == ("fabric", "fabric-coat")
    Image.new("L", (90, 64)).save(masked / "mask/fabric/coat.png")
    with pytest.raises(PictureError, match="is 90 x 64 px, its picture 96 x 64; they must agree"):
        contents_in(masked)
    (masked / "mask/fabric/coat.png").unlink()
    with pytest.raises(PictureError, match="has no mask in"):
        contents_in(masked)
    with pytest.raises(PictureError, match="it needs the folders image and mask"):
        contents_in(tmp_path)


def test_a_judge_learns(tmp_path: Path) -> None:
    classes = classes_in([str(draw_classes(tmp_path / "looks"))])
    judge = Judge.taught(classifier_of(random_tensors()), classes)
    assert judge.accuracy == 1
    for name, sources in classes.items():
        seen = load_square(sources[1], 224)
        assert judge.tells(seen, torch.ones(1, 1, 224, 224)) == name


def test_the_study_reports_and_goes_on(masked: Path, tmp_path: Path) -> None:
    model = taught(tmp_path / "classes")
    looks = classes_in([str(tmp_path / "classes")])
    study = MaterialStudy(
        session=Session(weights=tiny_vgg(), device="cpu", heap=False),
        model=model,
        classifier=classifier_of(random_tensors()),
        contents=contents_in(masked),
        looks=looks,
        folder=tmp_path / "report",
        styles=1,
        size=96,
        iterations=2,
    )
    report = study.run()
    assert "2 of 2 cases" in report
    assert "| stone | 1 |" in report
    (row, _) = study.manifest.results()
    assert set(row["guided"]) == {"forced", "free", "judge"}
    assert set(WAYS) <= set(row)
    page = (tmp_path / "report/report.html").read_text()
    assert "pictures/fabric-coat-stone-0.png" in page
    assert len((tmp_path / "report/cases.csv").read_text().splitlines()) == 3
    assert study.run() == report
    # another look is another case
    draw_classes(tmp_path / "others", count=3)
    other = dataclasses.replace(study, looks=classes_in([str(tmp_path / "others")]))
    assert len(other.manifest.missing()) == 2


def test_what_a_study_cannot_begin_with(masked: Path, tmp_path: Path) -> None:
    model = taught(tmp_path / "classes")
    given: dict[str, Any] = {
        "session": Session(weights=tiny_vgg(), device="cpu", heap=False),
        "model": model,
        "classifier": classifier_of(random_tensors()),
        "contents": contents_in(masked),
        "looks": classes_in([str(tmp_path / "classes")]),
        "folder": tmp_path / "report",
    }
    with pytest.raises(OptionError, match="the model knows no 'glass'"):
        MaterialStudy(**{**given, "looks": {"glass": ()}})
    write(torch.zeros(1, 3, 64, 96), masked / "mask/fabric/coat.png", overwrite=True)
    with pytest.raises(PictureError, match="is empty; there is nothing in it to change"):
        MaterialStudy(**given)

"""The studies of regions and of filters: their measures by hand, their reports on small sets."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from katazome.api import Session
from katazome.errors import PictureError
from katazome.networks.classifier import classifier_of
from katazome.pictures.write import write
from katazome.studies import regions
from katazome.studies.filters import WAYS, FilterStudy, measures, summary
from katazome.studies.metrics import border_step, mean_iu
from katazome.studies.regions import RegionStudy, read_words, things_in
from tests.tiny import tiny_vgg
from tests.unit.test_classifier import random_tensors


def half(height: int = 64, width: int = 96) -> Tensor:
    mask = torch.zeros(1, 1, height, width)
    mask[..., : width // 2] = 1
    return mask


def test_mean_iu_by_hand() -> None:
    found = torch.zeros(1, 1, 4, 4)
    found[..., :1] = 1
    assert mean_iu(found, half(4, 4)) == pytest.approx((4 / 8 + 8 / 12) / 2)
    band = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    band[..., 1:2] = True
    assert mean_iu(found, half(4, 4), band) == 1
    assert mean_iu(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)) == 1


def test_measures_by_hand() -> None:
    content = torch.linspace(0.2, 0.6, 96).expand(1, 3, 64, 96)
    made = content + 0.2 * half() + 0.01
    found = measures(made, content, half())
    assert found["inside"] == pytest.approx(0.21, rel=1e-4)
    assert found["outside"] == pytest.approx(0.01, rel=1e-3)
    assert found["ratio"] == pytest.approx(0.21 / (0.01 + 0.5 / 255), rel=1e-3)
    assert found["ring over inside"] == pytest.approx(0.01 / 0.21, rel=1e-3)
    assert found["mask reached"] == 1
    # across the border two steps of the ramp, 0.8 / 95, and the fall of 0.2; beside it the ramp alone
    assert found["edge"] == pytest.approx((0.2 - 0.8 / 95) / (0.8 / 95), rel=1e-3)
    assert summary([{"way": "gatys", **found, "Gram inside": 2.0, "before": 0.1}])[0]["cases"] == 1


def test_a_line_along_a_mask_by_hand() -> None:
    ramp = torch.linspace(0, 1, 96).expand(1, 3, 64, 96)
    assert border_step(ramp, half()) == pytest.approx(1, rel=1e-4)
    with pytest.raises(ValueError, match="no border"):
        border_step(ramp, torch.ones(1, 1, 64, 96))


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """A set of two pictures with masks, of which one has a name."""
    for part in ("images", "masks"):
        (tmp_path / "set" / part).mkdir(parents=True)
    for seed, name in enumerate(("dog_1", "thing_1")):
        pixels = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(seed))
        write(pixels, tmp_path / "set/images" / f"{name}.png")
        write(half().expand(-1, 3, -1, -1), tmp_path / "set/masks" / f"{name}.png")
    return tmp_path / "set"


def test_things_of_masks_and_of_polygons(masked: Path, tmp_path: Path) -> None:
    (tmp_path / "words.csv").write_text("dog_*,dog\nthing_*,thingamajig\n")
    (thing,) = things_in(masked, read_words(tmp_path / "words.csv"))
    assert (thing.picture.stem, thing.word) == ("dog_1", "dog")
    assert float(thing.mask()[0].mean()) == 0.5
    (masked / "masks").rename(masked / "hidden")
    (masked / "labels").mkdir()
    (masked / "labels/dog_1.txt").write_text("18 0 0 0.5 0 0.5 1 0 1\n1 0 0 1 0 1 1\n")
    (masked / "config.yaml").write_text("names:\n  1: person\n  18: 'dog'\n")
    (drawn,) = things_in(masked, [])
    assert drawn.word == "dog"
    assert float(drawn.mask()[0].mean()) == pytest.approx(0.5, abs=0.02)
    with pytest.raises(PictureError, match="needs a folder images, and masks or labels"):
        list(things_in(tmp_path, []))


def test_the_study_of_regions_reports(masked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = classifier_of(random_tensors())
    monkeypatch.setattr(regions, "_classifier", lambda: network)
    monkeypatch.setattr(regions, "salient_map", lambda pixels: half())
    study = RegionStudy([masked], [("dog_*", "dog")], tmp_path / "report")
    report = study.run()
    assert "| dog | 1 |" in report
    assert (tmp_path / "report/things.csv").read_text().count("\n") == 2
    assert study.run() == report
    with pytest.raises(PictureError, match="check the table of words"):
        RegionStudy([masked], [], tmp_path / "other").run()


def test_the_study_of_filters_reports_and_is_shared(
    masked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("katazome.regions.region.object_map", lambda *_: half())
    style = tmp_path / "style.png"
    write(torch.rand(1, 3, 80, 80, generator=torch.Generator().manual_seed(9)), style)

    def study(part: tuple[int, int]) -> FilterStudy:
        return FilterStudy(
            session=Session(weights=tiny_vgg(), device="cpu", heap=False),
            filters="relu4_1:1,5 relu5_1:0,2",
            word="dog",
            sets=[masked],
            pictures=["dog*"],
            styles=[style],
            folder=tmp_path / "report",
            size=96,
            iterations=3,
            part=part,
        )

    assert "4 of 8 cases" in study((1, 2)).run()
    report = study((2, 2)).run()
    assert "8 of 8 cases" in report
    assert all(f"| {way} |" in report for way in WAYS)
    rows = {row["way"]: row for row in study((1, 1)).manifest.results()}
    assert rows["guided (true mask)"]["outside"] == rows["cut-out"]["outside"] == 0
    assert rows["gatys"]["outside"] > 0
    assert rows["cut-out"]["inside"] == pytest.approx(rows["gatys"]["inside"], rel=0.05)

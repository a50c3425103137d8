"""Measures against what must hold, and the study of scales on the tiny network, stopped and gone on with."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from katazome.api import Session
from katazome.networks.vgg import Encoder
from katazome.pictures.read import read
from katazome.studies import metrics
from katazome.studies.report import case, markdown, write_csv
from katazome.studies.scales import Study, _halve_twice, _quarter
from tests.tiny import tiny_vgg


def noise(seed: int, size: int = 64, blur: int = 0) -> torch.Tensor:
    picture = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed))
    for _ in range(blur):
        picture = torch.nn.functional.avg_pool2d(picture, 3, 1, 1, count_include_pad=False)
    return picture


def test_sliced_wasserstein_is_zero_on_itself_and_knows_a_shift() -> None:
    points = torch.randn(5, 3000, generator=torch.Generator().manual_seed(0))
    assert metrics.sliced_wasserstein(points, points) == 0
    # a shift by v moves every direction d by d.v: the mean square over directions is |v|^2 / 5
    shifted = points + torch.tensor([2.0, 0, 0, 0, 0]).view(5, 1)
    assert metrics.sliced_wasserstein(points, shifted) == pytest.approx((4 / 5) ** 0.5, rel=0.15)


def test_sliced_wasserstein_ignores_order_and_count() -> None:
    points = torch.randn(4, 20000, generator=torch.Generator().manual_seed(1))
    fewer = points[:, torch.randperm(20000, generator=torch.Generator().manual_seed(2))[:10000]]
    assert metrics.sliced_wasserstein(points, fewer) < 0.05


def test_texture_distance_tells_textures_apart() -> None:
    same = metrics.texture_distance(noise(1), noise(2), 0)
    other = metrics.texture_distance(noise(1, blur=3), noise(2), 0)
    assert same < other / 3


def test_gram_and_content_distances() -> None:
    encoder = Encoder(tiny_vgg())
    picture = noise(3, 96)
    assert metrics.gram_distance(encoder, picture, picture, ["relu1_1", "relu3_1"], 1) == 0
    assert metrics.content_distance(encoder, picture, picture) == 0
    assert metrics.content_distance(encoder, picture, noise(4, 96)) > 0.05


def test_fine_noise_counts_grey_levels() -> None:
    flat = torch.full((1, 3, 64, 64), 0.5)
    assert metrics.fine_noise(flat) < 1e-3
    checkers = flat + 0.1 * ((torch.arange(64).view(-1, 1) + torch.arange(64)) % 2 * 2 - 1)
    assert metrics.fine_noise(checkers) == pytest.approx(25.5, rel=0.02)


def test_seam_of_a_wave_that_closes_and_one_that_does_not() -> None:
    x = torch.arange(64) / 64 * 2 * torch.pi
    closed = (0.5 + 0.4 * torch.sin(3 * x)).expand(1, 3, 64, 64)
    assert metrics.seam(closed, 3) < 1.6
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64)
    assert metrics.seam(ramp, 3) > 50
    ridged = (torch.arange(64) // 4 % 2).float().expand(1, 3, 64, 64)
    assert metrics.seam(ridged, 3, lattice=4) == pytest.approx(1)
    assert metrics.seam(ridged, 3) > 4


def test_quartering_leaves_pixels_without_weight_and_halving_does_not() -> None:
    shares = {}
    for way in (_halve_twice, _quarter):
        picture = torch.rand(1, 1, 256, 256).requires_grad_()
        way(picture).sum().backward()  # type: ignore[no-untyped-call]
        assert picture.grad is not None
        inside = picture.grad[:, :, 16:-16, 16:-16]
        shares[way] = float((inside.abs() < 1e-9).float().mean())
    assert shares[_halve_twice] == 0
    assert shares[_quarter] > 0.5


def test_a_case_is_measured_once(tmp_path: Path) -> None:
    calls = []

    def measure() -> dict[str, int]:
        calls.append(1)
        return {"value": 3}

    assert (
        case(tmp_path / "cases", "one", measure) == case(tmp_path / "cases", "one", measure) == {"value": 3}
    )
    assert len(calls) == 1


def test_tables(tmp_path: Path) -> None:
    rows = [{"a": 1.23456, "b": "x"}, {"a": 2.0, "b": "y"}]
    assert markdown(rows).splitlines()[2] == "| 1.23 | x |"
    write_csv(tmp_path / "t.csv", rows)
    with (tmp_path / "t.csv").open() as file:
        assert [row["b"] for row in csv.DictReader(file)] == ["x", "y"]


def test_study_runs_reports_and_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    study = Study(
        session=Session(weights=tiny_vgg(), heap=False),
        content=read(noise(5, 160)),
        style=read(noise(6, 160, blur=1)),
        textures=[read(noise(7, 96, blur=1))],
        folder=tmp_path,
        size=400,
        texture_size=96,
        iterations=2,
        say=said.append,
    )
    report = study.run()
    assert "two halvings" in report
    assert (tmp_path / "texture.csv").exists()
    assert (tmp_path / "sheet-transfer.png").exists()
    assert len(said) == 6
    study.run()
    assert len(said) == 6  # nothing is measured again
    (tmp_path / "cases" / "transfer-gatys.json").unlink()
    study.run()
    assert said[6:] == ["transfer: gatys at 400 px"]

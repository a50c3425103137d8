"""What study styles measures, against numbers that can be worked out."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from katazome.device import peak_memory
from katazome.networks.classifier import classifier_of
from katazome.networks.vgg import Encoder
from katazome.pictures.write import write
from katazome.studies.eyes import Portrait, random_eye
from katazome.studies.metrics import (
    checkerboard,
    psnr,
    rms_error,
    sliced_wasserstein,
    structure_distance,
    tile_seam,
)
from katazome.studies.style_measures import StyleMeasures, covering, seams
from tests.tiny import tiny_vgg
from tests.unit.test_classifier import random_tensors


def noise(seed: int, size: int = 128, blur: int = 0) -> Tensor:
    picture = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(seed))
    for _ in range(blur):
        picture = torch.nn.functional.avg_pool2d(picture, 3, 1, 1, count_include_pad=False)
    return picture


def test_a_structure_is_itself_whatever_its_gain_and_shift() -> None:
    draw = torch.Generator().manual_seed(0)
    features = torch.rand(1, 5, 12, 10, generator=draw)
    assert structure_distance(features, features) == pytest.approx(0, abs=1e-9)
    gain, shift = 0.5 + torch.rand(1, 5, 1, 1, generator=draw), torch.randn(1, 5, 1, 1, generator=draw)
    assert structure_distance(gain * features + shift, features) == pytest.approx(0, abs=1e-3)
    assert structure_distance(-features, features) == pytest.approx(2, abs=1e-3)
    assert structure_distance(torch.rand(1, 5, 12, 10, generator=draw), features) > 0.85


def test_half_of_the_structure_is_a_half() -> None:
    # channels (a, b) against (a, c), all three at right angles and of deviation 1: one of two agrees
    a = torch.tensor([1.0, 1, -1, -1]).view(1, 1, 2, 2)
    b = torch.tensor([1.0, -1, 1, -1]).view(1, 1, 2, 2)
    mine, theirs = torch.cat([a, b], 1), torch.cat([a, a * b], 1)
    assert structure_distance(mine, theirs) == pytest.approx(0.5, abs=1e-4)


def test_errors_in_grey_levels_and_decibels() -> None:
    picture = torch.full((1, 3, 4, 4), 0.5)
    assert rms_error(picture + 0.1, picture) == pytest.approx(25.5, rel=1e-5)
    assert psnr(picture + 0.1, picture) == pytest.approx(20, rel=1e-4)
    assert psnr(picture, picture) == math.inf


def test_a_pattern_of_the_pixel_grid_is_found_at_its_stride() -> None:
    plain = noise(1)
    cells = torch.arange(128)
    for stride in (2, 4, 8):
        side = stride // 2  # a checkerboard of single pixels, enlarged to the nearest, repeats twice as far
        board = ((cells // side).view(-1, 1) + cells // side) % 2 - 0.5
        found = {s: checkerboard(plain + 0.2 * board, s) for s in (2, 4, 8)}
        without = {s: checkerboard(plain, s) for s in (2, 4, 8)}
        assert all(0.3 < ratio < 2 for ratio in without.values())
        assert found[stride] > 5 * without[stride]
        for other in {2, 4, 8} - {stride}:
            assert found[other] < 2 * without[other]


def test_a_flat_picture_has_no_pattern_and_a_small_one_no_spectrum() -> None:
    assert checkerboard(torch.full((1, 3, 96, 70), 0.5), 4) == pytest.approx(1, abs=1e-3)
    with pytest.raises(ValueError, match="56 x 96 px is too small"):
        checkerboard(noise(1)[..., :96, :60], 4)


def test_a_seam_is_seen_and_a_change_everywhere_is_none() -> None:
    whole = noise(2, 64)
    assert tile_seam(whole, whole, [32], [32]) == pytest.approx(1)
    assert tile_seam(whole + 0.1, whole, [32], [32]) == pytest.approx(1, rel=1e-4)
    broken = whole.clone()
    broken[:, :, 31:33] += 0.1
    # two of four rows near the edge differ, of the rest none: (0.05 + 1/510) / (1/510)
    assert tile_seam(broken, whole, [32], []) == pytest.approx(26.5, rel=1e-3)
    with pytest.raises(ValueError, match="no edge"):
        tile_seam(whole, whole, [], [])


def test_seams_are_looked_for_where_tiles_meet() -> None:
    whole = noise(3, 128)
    broken = whole.clone()
    broken[..., 63:65] += 0.1
    assert seams(broken, whole, 64)["seam"] > 5
    broken = whole.clone()
    broken[..., 20:22] += 0.1
    assert seams(broken, whole, 64)["seam"] < 0.9


def test_covering_cuts_the_middle() -> None:
    ramp = torch.linspace(0, 1, 200).expand(1, 3, 100, 200)
    cut = covering(ramp, (50, 50))
    assert cut.shape == (1, 3, 50, 50)
    assert float(cut.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(cut.min()) == pytest.approx(0.25, abs=0.02)


def test_portraits_by_hand() -> None:
    def eye(picture: Tensor) -> list[Tensor]:
        return [picture, 2 * picture]

    one, twice = (Portrait.of(eye, n * torch.ones(1, 3, 2, 2)) for n in (1, 2))
    assert one.gram_distance(one) == one.sliced_distance(one) == 0
    assert twice.gram_distance(one) == pytest.approx(3)  # 4 G - G over G
    assert twice.sliced_distance(one) == pytest.approx(1)
    assert Portrait.of(eye, torch.zeros(1, 3, 2, 2)).sliced_distance(one) == pytest.approx(1)
    # a set with more positions than are looked at is still itself
    large = noise(4, 200)
    portraits = [Portrait.of(random_eye, large) for _ in range(2)]
    assert portraits[0].sliced_distance(portraits[1]) == 0


def test_sliced_distance_is_the_sliced_wasserstein_distance_over_the_style() -> None:
    a, b = noise(5, 32), noise(6, 32, blur=2)
    found = Portrait.of(lambda x: [x], a).sliced_distance(Portrait.of(lambda x: [x], b))
    expected = sliced_wasserstein(a[0].flatten(1), b[0].flatten(1))
    assert found == pytest.approx(
        expected / sliced_wasserstein(b[0].flatten(1), torch.zeros(3, 1024)), rel=1e-4
    )


@pytest.fixture
def measures(tmp_path: Path) -> StyleMeasures:
    """Three styles: fine noise, smooth noise, and black."""
    pictures = {"fine": noise(7), "smooth": noise(8, blur=5), "black": torch.zeros(1, 3, 128, 128)}
    for name, picture in pictures.items():
        write(picture, tmp_path / f"{name}.png")
    return StyleMeasures(
        Encoder(tiny_vgg()),
        classifier_of(random_tensors()),
        {name: tmp_path / f"{name}.png" for name in pictures},
    )


def test_the_own_style_is_found_where_it_is(measures: StyleMeasures) -> None:
    content = noise(9)
    for name in ("fine", "smooth"):
        alike = noise(10, blur=0 if name == "fine" else 5)
        found = measures.transfer(alike, content, name)
        assert found["own style"] == found["own style, lite0"] == 1
        assert found["style after"] < found["to others"]
        other = "smooth" if name == "fine" else "fine"
        assert measures.transfer(alike, content, other)["own style"] == 0


def test_a_copy_keeps_all_and_its_pattern_is_its_own(measures: StyleMeasures) -> None:
    content = noise(11, blur=2)
    found = measures.transfer(content, content, "fine")
    for name in ("content distance", "content distance, lite0", "relu4_2"):
        assert found[name] == pytest.approx(0, abs=1e-6)
    assert found["pattern 2 px"] == found["pattern 8 px"] == 1
    assert "Gram, VGG-19 1/2" in found
    assert "Gram, VGG-19 1/4" not in found  # 32 px: no further octave
    assert measures.identity(content, content)["PSNR"] == math.inf
    assert measures.kept(noise(12), content)["content distance, lite0"] > 0.3


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's own figure is right")
def test_memory_of_who_started_a_process_is_not_counted() -> None:
    ballast = bytearray(1 << 30)
    ballast[::4096] = b"x" * len(ballast[::4096])
    code = "from katazome.device import peak_memory; print(peak_memory())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1 << 24 < int(child.stdout) < 1 << 30 < peak_memory()

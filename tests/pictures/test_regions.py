"""Regions by name on real pictures, against masks made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from katazome.errors import RegionError
from katazome.pictures.read import read
from katazome.regions.covering import map_of
from katazome.regions.region import Region
from katazome.studies.metrics import mean_iu

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("picture", "words", "least"),
    [
        ("davis/dog_00036", "dog", 0.8),
        ("davis/cows_00036", "ウシ", 0.65),
        ("davis/dog_00057", None, 0.8),
        ("masks-extra/coco_zebra_000000000034", "zebra", 0.7),
        ("masks-extra/coco_bear_000000000502", None, 0.9),
    ],
)
def test_a_thing_is_found_to_its_edge(shared: Path, picture: str, words: str | None, least: float) -> None:
    folder, _, name = picture.partition("/")
    photograph = read(shared / "data" / folder / "images" / f"{name}.jpg")
    mask = read(shared / "data" / folder / "masks" / f"{name}.png").pixels[:, :1]
    region = Region.salient() if words is None else Region.object(words)
    assert mean_iu(map_of(region, photograph), mask) > least


def test_what_is_not_there_is_said_with_what_is(shared: Path) -> None:
    photograph = read(shared / "data/davis/images/dog_00036.jpg")
    with pytest.raises(RegionError, match=r"no teapot was found in 'dog_00036'; strongest: dog 1\.00"):
        map_of(Region.object("teapot"), photograph)


def test_regions_are_the_same_twice(shared: Path) -> None:
    photograph = read(shared / "data/davis/images/dog_00057.jpg")
    for region in (Region.salient(), Region.object("dog")):
        torch.testing.assert_close(region.of(photograph), region.of(photograph), rtol=0, atol=0)

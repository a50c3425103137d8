"""A segmenter learnt from labels alone: it tells, it locates, its file says what it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from katazome.collections.folders import Source
from katazome.errors import GivenWeightsError, OptionError, PictureError, RegionError
from katazome.networks.segmenter import Segmenter, open_segmenter, pooled
from katazome.networks.vgg import Encoder
from katazome.pictures.read import read
from katazome.regions import materials
from katazome.regions.grammar import parse
from katazome.regions.materials import class_called, material_map, partition, sight_of
from katazome.regions.region import Region
from katazome.training.steps.segmenter import SegmenterOptions, split
from tests.materials import coloured
from tests.tiny import tiny_vgg


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KATAZOME_HOME", str(tmp_path / "home"))


@pytest.fixture
def halves() -> Tensor:
    """Red to the left, blue to the right: (1, 3, 96, 128)."""
    noise = np.random.default_rng(7)
    pixels = np.concatenate([coloured(noise, channel, 96, 64) for channel in (0, 2)], 1)
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255


def test_it_tells_pictures_that_it_has_not_seen(segmenter: Segmenter) -> None:
    assert segmenter.facts.accuracy == 1
    assert segmenter.facts.confusion == ((1, 0), (0, 1))


def test_scores_have_places(segmenter: Segmenter, halves: Tensor) -> None:
    scores, (inner,) = segmenter(halves, ["relu3_1"])
    assert scores.shape == (1, 2, 24, 32)
    assert inner.shape == (1, 8, 24, 32)
    left, right = (scores[0, :, :, part].mean((1, 2)) for part in (slice(13), slice(19, None)))
    assert left[0] - left[1] > right[0] - right[1] + 1


def test_the_trunk_is_the_encoders(segmenter: Segmenter, halves: Tensor) -> None:
    _, (own,) = segmenter(halves, ["relu3_2"])
    encoder = Encoder(tiny_vgg()).with_(padding=("zeros", "zeros"))
    torch.testing.assert_close(own, encoder(halves, ["relu3_2"])["relu3_2"], rtol=1e-4, atol=1e-5)


def test_a_soft_maximum_by_hand() -> None:
    scores = torch.tensor([1.0, 1.0, 3.0, 1.0]).view(1, 1, 2, 2)
    expected = torch.log((3 * torch.exp(torch.tensor(4.0)) + torch.exp(torch.tensor(12.0))) / 4) / 4
    torch.testing.assert_close(pooled(scores)[0, 0], expected)


def test_grey_sees_no_colours(segmenter: Segmenter, halves: Tensor) -> None:
    grey = replace(segmenter, facts=replace(segmenter.facts, grey=True))
    red, blue = (grey.scores(halves[..., part]) for part in (slice(0, 64), slice(64, 128)))
    assert float((red - blue).abs().max()) < 0.5 * float(
        (segmenter.scores(halves[..., :64]) - blue).abs().max()
    )


def test_the_file_says_what_it_is(segmenter: Segmenter, tmp_path: Path, halves: Tensor) -> None:
    segmenter.write(tmp_path / "m.safetensors")
    found = open_segmenter(tmp_path / "m.safetensors", tiny_vgg())
    assert found.facts == segmenter.facts
    assert torch.equal(found.scores(halves), segmenter.scores(halves))
    with pytest.raises(GivenWeightsError, match="was trained on the network tiny"):
        open_segmenter(tmp_path / "m.safetensors", tiny_vgg(1))
    with pytest.raises(GivenWeightsError, match="katazome train segmenter"):
        open_segmenter(tmp_path / "none.safetensors", tiny_vgg())
    (tmp_path / "bad.safetensors").write_bytes((tmp_path / "m.safetensors").read_bytes()[:-40])
    with pytest.raises(GivenWeightsError, match="no model of materials"):
        open_segmenter(tmp_path / "bad.safetensors", tiny_vgg())


def test_materials_share_a_picture(segmenter: Segmenter, halves: Tensor) -> None:
    maps = partition(segmenter, halves, torch.ones(2))
    assert sum(maps.values()).max() <= 1 + 1e-6  # type: ignore[union-attr]
    assert sight_of(segmenter).deep == "relu3_1"
    assert sight_of(segmenter).taps == ["pool2", "relu3_1"]


def test_a_material_is_a_region(
    segmenter: Segmenter, halves: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(materials, "refined", lambda pixels, rough: (rough > 0.5).float())
    picture = read(halves)
    region = parse("material:fabric and not:material:stone", segmenter=segmenter)
    assert str(region) == region.anonymous() == "(material:fabric and not:material:stone)"
    assert region.of(picture).shape == (1, 1, 96, 128)
    assert Region.material("Fabric", segmenter).of(picture).shape == (1, 1, 96, 128)


def test_words_are_read_forgivingly(segmenter: Segmenter) -> None:
    words = replace(segmenter, facts=replace(segmenter.facts, classes=("もふもふ", "ごつごつ")))
    assert [class_called(words, w) for w in ("mofumofu", "モフモフ", "Mofumofu")] == [0, 0, 0]
    assert [class_called(words, w) for w in ("gotsugotsu", "gotugotu", "ごつごつ")] == [1, 1, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [("material:fabirc", "did you mean 'fabric'"), ("material:glass", "known: fabric, stone")],
)
def test_materials_that_are_not_known(segmenter: Segmenter, text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        parse(text, segmenter=segmenter)
    with pytest.raises(OptionError, match="needs a model"):
        parse(text).of(read(torch.zeros(1, 3, 64, 64)))


def test_a_material_that_is_not_there(
    segmenter: Segmenter, halves: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        materials, "presence", lambda sight, pixels: torch.tensor([[0.02, 0.06], [0.98, 0.94]])
    )
    with pytest.raises(
        RegionError, match=r"no fabric was found in 'jacket'; strongest: stone 0\.98, fabric 0\.06"
    ):
        material_map(segmenter, halves, "fabric", "jacket")


def test_a_split_is_of_every_class_and_of_names_alone() -> None:
    def sources(count: int) -> list[Source]:
        return [Source(Path("/in"), f"{n}.png") for n in range(count)]

    learn, asked = split({"a": sources(20), "b": sources(2)})
    assert [asked.labels.count(n) for n in (0, 1)] == [4, 1]
    assert [learn.labels.count(n) for n in (0, 1)] == [16, 1]
    assert not set(zip(learn.sources, learn.labels, strict=True)) & set(
        zip(asked.sources, asked.labels, strict=True)
    )
    more, _ = split({"a": sources(21), "b": sources(2)})
    assert len(set(more.sources) - set(learn.sources)) <= 2
    with pytest.raises(PictureError, match="'b' has one picture"):
        split({"a": sources(3), "b": sources(1)})
    with pytest.raises(PictureError, match="one class, 'a'"):
        split({"a": sources(3)})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"layer": "relu2_1"}, "relu3_1 or deeper"),
        ({"layer": "conv4_1"}, "after a ReLU"),
        ({"layer": "relu5_3", "side": 64}, None),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_options_that_cannot_be(given: dict[str, object], said: str | None) -> None:
    if said is None:
        SegmenterOptions(**given)  # type: ignore[arg-type]
        return
    with pytest.raises(OptionError, match=said):
        SegmenterOptions(**given)  # type: ignore[arg-type]

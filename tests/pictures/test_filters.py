"""Filters of the real network on real photographs: deep ones know a dog, shallower ones less."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from katazome.collections.folders import load_square
from katazome.filters.labels import Thing, labels
from katazome.filters.record import Rank
from katazome.filters.select import auc, select, top_hits
from katazome.filters.synthesise import SynthesisOptions, synthesise
from katazome.networks.vgg import Encoder, EncoderSettings
from katazome.weights.flavours import VGGWeights
from tests.filters import rank

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def samples(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every third dog and every twentieth other picture of ImageNet's classes: 40 and 44."""
    folder = tmp_path_factory.mktemp("samples")
    source = shared / "data/imagenet-samples"
    dogs = json.loads((source / "groups.json").read_text())["dogs"]
    others = sorted({f.name for f in source.glob("*.jpg")} - set(dogs))
    for name in (*dogs[::3], *others[::20]):
        (folder / name).symlink_to(source / name)
    return folder


@pytest.fixture(scope="module")
def dog(samples: Path, shared: Path) -> Thing:
    """What a dog is, by the numbers of its classes."""
    groups = json.loads((shared / "data/imagenet-samples/groups.json").read_text())
    return Thing("dog", wnids=frozenset(name.split("_")[0] for name in groups["dogs"]))


@pytest.fixture(scope="module")
def ranked(samples: Path, vgg: VGGWeights, tmp_path_factory: pytest.TempPathFactory) -> Rank:
    folder = tmp_path_factory.mktemp("ranks") / "rank"
    list(rank(vgg, [samples], folder))
    return Rank.open(folder)


def test_deep_filters_know_a_dog(ranked: Rank, dog: Thing) -> None:
    found = labels(ranked, dog)
    assert found is not None
    assert found.count == 40
    best = {layer: float(auc(ranked.maxima(layer), found.shows).max()) for layer in ranked.options.names}
    assert best["relu5_1"] > 0.85
    assert best["relu4_1"] > 0.8
    hits = {layer: top_hits(ranked, found.shows, layer) for layer in ranked.options.names}
    assert int((hits["relu5_1"] == 9).sum()) > int((hits["relu4_1"] == 9).sum())
    chosen = select(ranked, found)
    assert [len(chosen.layers[n]) for n in ranked.options.names] == [6, 16]


def test_the_place_is_where_the_maximum_is(ranked: Rank, vgg: VGGWeights) -> None:
    """In float32 the recorded value and place come back, up to bfloat16's three digits."""
    top, encoder = ranked.top("relu5_1", 1), Encoder(vgg, EncoderSettings(padding=("zeros", "zeros")))
    for number in (3, 100, 400):
        square = load_square(ranked.pictures[int(top.pictures[number, 0])], ranked.options.side)
        with torch.no_grad():
            maps = encoder(square, ["relu5_1"])["relu5_1"][0, number]
        row, column = top.places[number, 0].tolist()
        assert float(maps[row, column]) == pytest.approx(float(top.values[number, 0]), rel=0.03)
        assert float(maps[row, column]) > 0.97 * float(maps.max())


def test_a_grown_picture_excites_more_than_any_photograph(ranked: Rank, vgg: VGGWeights) -> None:
    encoder = Encoder(vgg)
    options = SynthesisOptions(side=96, iterations=30)
    *_, last = synthesise(encoder, "relu4_1", 12, options)
    with torch.no_grad():
        grown = float(encoder(last.picture, ["relu4_1"])["relu4_1"][0, 12].max())
    assert grown > float(ranked.top("relu4_1", 1).values[12, 0])

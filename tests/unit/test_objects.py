"""Regions by name: words, maps on a random network, and the cut to the edge."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from katazome.errors import OptionError, RegionError, require
from katazome.networks.classifier import Classifier, classifier_of
from katazome.regions import objects
from katazome.regions.evidence import distinct, gradient, located, presence, share
from katazome.regions.grammar import parse
from katazome.regions.objects import meaning_of, sight_of, standing_out, strongest
from katazome.regions.refine import refined
from katazome.regions.region import Object, Region
from tests.unit.test_classifier import random_tensors


@pytest.fixture(scope="module")
def network() -> Classifier:
    return classifier_of(random_tensors())


@pytest.fixture
def pixels() -> Tensor:
    return torch.rand(1, 3, 70, 101, generator=torch.Generator().manual_seed(4))


def test_words() -> None:
    assert parse("object:dog") == Object("dog") == Region.object("dog")
    assert str(parse("not object:'golden retriever' and salient")) == (
        '(not:object:"golden retriever" and salient)'
    )
    assert len(meaning_of("犬").classes) == 118


@pytest.mark.parametrize(
    ("text", "said", "column"),
    [
        ("object:dgo", "did you mean 'dog'", 7),
        ("not:object:person", "take salient", 11),
        ("object:'qqqqqqq'", "take a plainer word", 7),
        ("object:golden retriever and salient", "put in quotes: object:'golden retriever'", 7),
    ],
)
def test_an_unknown_word_is_pointed_at(text: str, said: str, column: int) -> None:
    with pytest.raises(OptionError, match=said) as error:
        parse(text, "where")
    assert str(error.value).splitlines()[-1] == " " * (column + 2) + "^"


@pytest.mark.parametrize("make", [located, distinct, gradient])
def test_a_map_has_the_pictures_size_and_its_largest_value_is_one(
    network: Classifier, pixels: Tensor, make: Callable[..., Tensor]
) -> None:
    found = make(sight_of(network), pixels, range(151, 269))
    assert found.shape == (1, 1, 70, 101)
    assert float(found.min()) >= 0
    assert float(found.max()) == pytest.approx(1)
    torch.testing.assert_close(make(sight_of(network), pixels, range(151, 269)), found)


def test_shares_of_places(network: Classifier, pixels: Tensor) -> None:
    seen = presence(sight_of(network), pixels)
    torch.testing.assert_close(seen.sum(0), torch.ones(seen.shape[1]))
    assert float(share(seen, range(1000))) == pytest.approx(1, rel=1e-5)
    assert float(share(seen, [3])) == float(seen[3].max())
    assert strongest(seen).count(",") == 2


def test_what_is_not_there_is_an_error_that_says_what_is(
    monkeypatch: pytest.MonkeyPatch, network: Classifier, pixels: Tensor
) -> None:
    monkeypatch.setattr(objects, "_classifier", lambda: network)
    with pytest.raises(RegionError, match=r"no teapot was found in 'desk'; strongest: .* \d\.\d\d"):
        objects.object_map(pixels, "teapot", "desk")


def test_a_thing_that_stands_out_takes_its_edges_from_what_stands_out() -> None:
    found = torch.tensor([[[[0.0, 0.25, 1.0, 0.25]]]])
    part, elsewhere = torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]]), torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]]])
    assert standing_out(found, part).flatten().tolist() == [0, 0, 1, 0.5]
    assert torch.equal(standing_out(found, elsewhere), found)


def disc() -> tuple[Tensor, Tensor]:
    """A red disc on a green ground, with noise, and where it is."""
    y, x = torch.meshgrid(torch.arange(150.0), torch.arange(200.0), indexing="ij")
    inside = ((y - 70) ** 2 + (x - 110) ** 2 < 45**2).float()[None, None]
    red, green = (torch.tensor(c).view(1, 3, 1, 1) for c in ((0.8, 0.2, 0.2), (0.2, 0.6, 0.3)))
    noise = 0.05 * torch.randn(1, 3, 150, 200, generator=torch.Generator().manual_seed(0))
    return (inside * red + (1 - inside) * green + noise).clamp(0, 1), inside


def test_the_cut_finds_the_edge_from_a_rough_map() -> None:
    picture, inside = disc()
    y, x = torch.meshgrid(torch.arange(150.0), torch.arange(200.0), indexing="ij")
    rough = torch.exp(-((y - 80) ** 2 + (x - 100) ** 2) / (2 * 30**2))[None, None]
    found = refined(picture, rough)
    assert float((found - inside).abs().mean()) < 0.01
    torch.testing.assert_close(refined(picture, 7 * rough), found)


def test_a_map_without_contrast_has_nothing_to_cut() -> None:
    picture, _ = disc()
    assert refined(picture, torch.zeros(1, 1, 150, 200)).eq(0).all()
    assert refined(picture, torch.ones(1, 1, 150, 200)).eq(1).all()


def test_what_is_not_installed_is_a_sentence() -> None:
    with pytest.raises(
        RegionError, match=r"salient needs no_such_thing, .* pip install 'katazome\[regions\]'"
    ):
        require("no_such_thing", "regions", "salient", RegionError)

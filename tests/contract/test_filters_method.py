"""The method filters beyond what every method keeps to: its variants, its files, on the tiny network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from katazome.api import Session
from katazome.errors import OptionError
from katazome.filters.select import Chosen, Selection, chosen_of, words_of
from katazome.filters.settings import Network
from katazome.methods.base import Method, get_method
from katazome.regions.excited import rough_map
from katazome.regions.region import Region
from tests.contract.test_methods import PHOTO, laid_out, result
from tests.tiny import tiny_vgg

EVERY = "relu4_1:0,1,2,3,4,5,6,7 relu5_1:0,1,2,3,4,5,6,7"
SOME = "relu4_1:1,5 relu5_1:0,2,3"


@pytest.fixture
def method() -> Method:
    return get_method("filters")


def selection(**changes: Any) -> Selection:
    layers = {"relu4_1": (Chosen(5, 0.9), Chosen(1)), "relu5_1": (Chosen(3), Chosen(0), Chosen(2))}
    values = {"network": Network.of(tiny_vgg()), "rule": "auc", "object": "dog", "layers": layers}
    return Selection(**{**values, **changes})


def first_loss(session: Session, method: Method, **options: Any) -> float:
    return next(iter(laid_out(session, method, **options).steps())).loss


def test_all_filters_chosen_is_gatys_on_these_layers(session: Session, method: Method) -> None:
    weights = {"content_weight": 1.0, "style_weight": 30.0, "moment_weight": 0.0}
    found = first_loss(session, method, filters=EVERY, **weights)
    layers = ("relu4_1", "relu5_1")
    expected = first_loss(session, get_method("gatys"), style_layers=layers, **weights)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("variant", ["faithful", "energy", "guided"])
def test_each_variant_descends(session: Session, method: Method, variant: str) -> None:
    work = laid_out(session, method, filters=SOME, variant=variant, iterations=12)
    losses = [step.loss for step in work.steps()]
    assert losses[-1] < 0.75 * losses[0]


def test_what_stays_the_contents_has_no_loss_at_the_start(session: Session, method: Method) -> None:
    """From the content only the entries of chosen filters differ: fewer chosen, fewer terms, none zero."""
    one = first_loss(session, method, filters="relu5_1:2")
    assert one > 0
    assert first_loss(session, method, filters="relu5_1:2", reading="printed") != pytest.approx(one)


def test_guided_keeps_what_no_filter_answers_to(session: Session, method: Method) -> None:
    work = laid_out(session, method, filters=SOME, variant="guided")
    placement = work.task.problem.inputs.placements[0]  # type: ignore[attr-defined]
    region: Tensor = placement.region.pixels[:, :1]
    made = result(work)
    outside = region == 0
    assert 0 < float(outside.float().mean()) < 1
    assert torch.equal(made[outside.expand_as(made)], PHOTO[outside.expand_as(PHOTO)])
    assert float((made - PHOTO).abs()[(region > 0.9).expand_as(made)].mean()) > 0.001


def test_what_filters_cover_is_said_feathered_and_limited(session: Session, method: Method) -> None:
    def region(**options: Any) -> Tensor:
        picture = (
            laid_out(session, method, filters=SOME, variant="guided", **options).inputs.placements[0].region
        )
        assert picture is not None
        assert "% of the picture" in picture.notes[0]
        return picture.pixels[:, :1]

    alone, soft = region(), region(feather=4.0)
    assert float(soft.diff().abs().max()) < 0.7 * float(alone.diff().abs().max())
    left = torch.zeros_like(PHOTO[:, :1])
    left[..., : PHOTO.shape[3] // 2] = 1
    limited = region(where=Region.mask(left.expand(-1, 3, -1, -1)))
    assert torch.allclose(limited, alone * left, atol=1e-6)


def test_a_file_becomes_words_in_the_recipe(session: Session, method: Method, tmp_path: Path) -> None:
    selection().write(tmp_path / "dog.json")
    work = laid_out(session, method, filters=str(tmp_path / "dog.json"))
    assert work.recipe.options["filters"] == SOME
    again = laid_out(session, method, filters=work.recipe.options["filters"])
    assert torch.equal(result(work), result(again))


def test_words_are_read_back() -> None:
    assert chosen_of("r51:3,0,2 relu4_1:5,1 RELU5_1:2") == {"relu5_1": (0, 2, 3), "relu4_1": (1, 5)}
    assert words_of(selection().chosen()) == SOME
    assert chosen_of(words_of(selection().chosen())) == selection().chosen()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "choose some with `katazome filters select`"),
        ("nowhere.json", "'nowhere.json' cannot be read"),
        ("relu5_1:8", r"relu5_1 has filters 0\.\.7, the selection names 8"),
    ],
)
def test_filters_that_cannot_be(session: Session, method: Method, given: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        laid_out(session, method, filters=given)


def test_filters_of_another_network(session: Session, method: Method, tmp_path: Path) -> None:
    selection(network=Network.of(tiny_vgg(seed=1))).write(tmp_path / "dog.json")
    with pytest.raises(OptionError, match="mean something else there"):
        laid_out(session, method, filters=str(tmp_path / "dog.json"))


def test_the_region_of_filters_is_written_without_its_file(tmp_path: Path) -> None:
    selection().write(tmp_path / "dog.json")
    region = Region.filters(str(tmp_path / "dog.json"))
    assert region.anonymous() == f'filters:"{SOME}"'
    with pytest.raises(OptionError, match="cannot be read"):
        Region.filters("nowhere.json")


def test_a_rough_map_weighs_filters_alike(session: Session) -> None:
    one, other = (rough_map(session.encoder, PHOTO, {"relu5_1": (n,)}) for n in (2, 3))
    both = rough_map(session.encoder, PHOTO, {"relu5_1": (2, 3)})
    mean = (one + other) / 2
    torch.testing.assert_close(both, mean - mean.min(), rtol=0, atol=0.03)  # clipped as it is enlarged


def test_the_file_is_plain_json(tmp_path: Path) -> None:
    selection().write(tmp_path / "dog.json")
    assert json.loads((tmp_path / "dog.json").read_text())["layers"]["relu5_1"][0] == {
        "filter": 3,
        "score": None,
    }


def test_layers_other_than_the_filters_are_refused_not_ignored(session: Session, method: Method) -> None:
    own: dict[str, Any] = {"style_layers": ("relu4_1", "relu5_1"), "layer_weights": (3.0, 1.0)}
    assert first_loss(session, method, **own) != pytest.approx(first_loss(session, method))
    for options in ({"style_layers": ("relu3_1",)}, {"layer_weights": (1.0, 1.0, 1.0, 1.0, 2.0)}):
        with pytest.raises(OptionError, match=r"or name relu4_1, relu5_1"):
            laid_out(session, method, **options)

"""The look of a recipe on another picture: what is asked for, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from katazome.api import Session, drain
from katazome.errors import OptionError, PictureError
from katazome.jobs.recorded import differing
from katazome.jobs.replay import Replay, replay
from katazome.pictures.write import write
from katazome.recipe import Recipe
from tests.tiny import tiny_vgg

CPU = torch.device("cpu")
QUICK: dict[str, Any] = {"size": "64", "iterations": 2, "precision": "float32"}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A photograph, two styles and two masks."""
    draw = torch.Generator().manual_seed(1)
    found = {}
    for name in ("photo", "one", "two", "left", "top"):
        pixels = torch.rand(1, 3, 64, 80, generator=draw)
        if name in ("left", "top"):
            pixels = torch.zeros(1, 3, 64, 80)
            (pixels[..., :40] if name == "left" else pixels[:, :, :32]).fill_(1)
        found[name] = tmp_path / f"{name}.png"
        write(pixels, found[name])
    return found


def made(session: Session, files: dict[str, Path], *styles: str, **options: Any) -> Recipe:
    given = [files[name] for name in styles]
    return session.prepare(files["photo"], given, method="gatys", **{**QUICK, **options}).recipe


def again(session: Session, replay: Replay, content: Path, **changed: Any) -> Recipe:
    styles, options = replay.arguments(changed, CPU)
    return session.prepare(content, styles, method=replay.method.name, **options).recipe


def test_the_same_inputs_make_the_same_recipe_and_pixels(session: Session, files: dict[str, Path]) -> None:
    recipe = made(session, files, "one", "two", blend=(3.0, 1.0), strength=0.7)
    replay = Replay(recipe, [files["two"], files["one"]])  # known by their hashes
    assert again(session, replay, files["photo"]) == recipe
    styles, options = replay.arguments({}, CPU)
    first = drain(
        session.prepare(
            files["photo"],
            [files["one"], files["two"]],
            method="gatys",
            **QUICK,
            blend=(3.0, 1.0),
            strength=0.7,
        )
    )
    second = drain(session.prepare(files["photo"], styles, method="gatys", **options))
    assert torch.equal(first.tensor, second.tensor)


def test_in_one_call_from_python(session: Session, files: dict[str, Path], tmp_path: Path) -> None:
    first = session.stylize(files["photo"], files["one"], **QUICK)
    first.save(tmp_path / "made.png")
    threads = torch.get_num_threads()
    given: dict[str, Any] = {"styles": [files["one"]], "weights": session.encoder.weights}
    second = replay(tmp_path / "made.png", files["photo"], **given)
    assert second.recipe == first.recipe
    assert torch.equal(second.tensor, first.tensor)
    larger = replay(first.recipe, files["photo"], **given, size=72)
    assert larger.tensor.shape[3] == 72
    assert torch.get_num_threads() == threads
    with pytest.raises(PictureError, match="give its file by --weights or --model, or say --other-weights"):
        replay(first.recipe, files["photo"], styles=[files["one"]], weights=tiny_vgg(seed=1))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"content": None}, r"the recipe restyles a picture \(gatys\); name one after it"),
        ({"preset": "neural-style"}, "preset and recipe both set all options"),
        ({"method": "wct"}, "the recipe's method is gatys, method says wct; leave it out"),
        ({"styles": "one.png"}, "styles and masks are lists of files"),
        ({"style": "one.png"}, "gatys has no option 'style'; did you mean 'styles'"),
        ({"octaves": 3}, "gatys has no option 'octaves'"),
    ],
)
def test_what_cannot_be_asked_of_a_recipe(
    session: Session, files: dict[str, Path], given: dict[str, Any], said: str
) -> None:
    recipe = made(session, files, "one")
    usual: dict[str, Any] = {"content": files["photo"], "styles": [files["one"]], "weights": tiny_vgg()}
    with pytest.raises(OptionError, match=said):
        replay(recipe, **{**usual, **given})
    grown = session.prepare(None, [files["one"]], method="texture", size="64", iterations=2).recipe
    with pytest.raises(OptionError, match=r"restyles no picture \(texture\); leave '.*photo\.png' out"):
        replay(grown, files["photo"], styles=[files["one"]])


def test_masks_take_the_places_of_the_recipe_s(session: Session, files: dict[str, Path]) -> None:
    at = [(f"mask:{files['top']}", files["two"])]
    recipe = made(session, files, "one", where=f"not:mask:{files['left']}", at=at, style_where="everything")
    assert recipe.options["where"] == "not:mask:file"
    masks = [files["left"], files["top"]]
    replay = Replay(recipe, [files["one"], files["two"]], masks)
    assert again(session, replay, files["photo"]) == recipe
    swapped = again(session, replace(replay, masks=masks[::-1]), files["photo"])
    assert {name for row in differing([recipe, swapped]) for name in row} == {"where map", "where map 2"}
    with pytest.raises(OptionError, match=r"the recipe has a mask here; give its file by --mask"):
        again(session, replace(replay, masks=masks[:1]), files["photo"])
    with pytest.raises(OptionError, match=r"no place for the mask '.*photo\.png'"):
        again(session, replace(replay, masks=[*masks, files["photo"]]), files["photo"])
    # what is asked for now needs no mask
    other = again(
        session, replace(replay, masks=masks[1:]), files["photo"], where="everything and everything"
    )
    assert other.options["where"] == "(everything and everything)"


def test_other_styles_only_when_that_is_said(session: Session, files: dict[str, Path]) -> None:
    recipe = made(session, files, "one")
    with pytest.raises(PictureError, match=r"two\.png' is not the recipe's style: .* 80 x 64 px, SHA-256"):
        again(session, Replay(recipe, [files["two"]]), files["photo"])
    with pytest.raises(OptionError, match="a recipe holds no pictures; give its style by --style FILE"):
        again(session, Replay(recipe), files["photo"])
    other = again(session, Replay(recipe, [files["two"]], other_style=True), files["photo"])
    assert differing([recipe, other])[0].keys() == {"style picture"}
    with pytest.raises(OptionError, match="the recipe has 1 styles, 2 are given"):
        again(session, Replay(recipe, [files["two"]] * 2, other_style=True), files["photo"])
    both = made(session, files, "one", "two")
    with pytest.raises(OptionError, match="a style of the recipe is not given"):
        again(session, Replay(both, [files["one"]]), files["photo"])


def test_options_given_now_count_more(session: Session, files: dict[str, Path]) -> None:
    recipe = made(session, files, "one", content_weight=2.0, style_weight=30.0)
    replay = Replay(recipe, [files["one"]])
    changed = again(session, replay, files["photo"], strength=0.2, size="72")
    assert (changed.options["strength"], changed.options["content_weight"]) == (0.2, None)
    assert changed.options["size"] == "72"
    back = Replay(changed, [files["one"]])
    assert again(session, back, files["photo"], style_weight=30.0).options["strength"] is None


def test_another_network_or_start_only_when_that_is_said(session: Session, files: dict[str, Path]) -> None:
    recipe = made(session, files, "one", init=files["two"])
    assert recipe.options["init"] == "file"
    replay = Replay(recipe, [files["one"]])
    with pytest.raises(OptionError, match="began from a picture; give its file by --init"):
        again(session, replay, files["photo"])
    replay.check(again(session, replay, files["photo"], init=files["two"]))
    other = again(session, replay, files["photo"], init=files["photo"])
    with pytest.raises(PictureError, match="the picture to start from is not the recipe's"):
        replay.check(other)
    replace(replay, other_style=True).check(other)
    weights = replace(recipe, weights=(replace(recipe.weights[0], sha256="ab" * 32),))
    with pytest.raises(PictureError, match=r"made with tiny, SHA-256 abab.*--other-weights"):
        replace(replay, recipe=weights).check(recipe)
    replace(replay, recipe=weights, other_weights=True).check(recipe)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"where": "mask:SECRET"}, "a recipe names no file of a mask"),
        ({"where": "filters:SECRET"}, "filters in words"),
        ({"style_where": "not:mask:'SECRET'"}, "a recipe names no file of a mask"),
        ({"init": "SECRET"}, "init is 'SECRET'"),
        ({"sharpness": 3}, "the recipe was made by katazome .*unknown option 'sharpness'"),
        ({"size": True}, "size is True"),
    ],
)
def test_no_path_in_a_recipe_is_followed(
    session: Session,
    files: dict[str, Path],
    options: dict[str, Any],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = made(session, files, "one")
    opened: list[str] = []
    plain_open = Path.open

    def watched(self: Path, *args: Any, **more: Any) -> Any:
        opened.append(self.name)
        return plain_open(self, *args, **more)

    monkeypatch.setattr(Path, "open", watched)
    replay = Replay(replace(recipe, options={**recipe.options, **options}), [files["one"]])
    with pytest.raises(OptionError, match=said):
        replay.arguments({}, CPU)
    assert "SECRET" not in opened


def test_a_method_of_a_later_version(session: Session, files: dict[str, Path]) -> None:
    recipe = replace(made(session, files, "one"), method="gatyss", katazome="9.9")
    with pytest.raises(OptionError, match=r"made by katazome 9\.9, this is .*no method is called 'gatyss'"):
        _ = Replay(recipe).method


def test_automatic_precision_stands_for_what_it_was(
    session: Session, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(made(session, files, "one", precision="auto"), precision="float32")
    for fast, expected in ((True, "float32"), (False, "auto")):
        monkeypatch.setattr("katazome.jobs.replay.supports_bfloat16", lambda _, fast=fast: fast)
        assert Replay(recipe, [files["one"]]).arguments({}, CPU)[1]["precision"] == expected

"""What recipes say, by themselves and beside each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from katazome.errors import OptionError, PictureError
from katazome.jobs.compare import compare, compared_sheet
from katazome.jobs.recorded import chosen, differing, facts, plain, told
from katazome.methods.base import get_method
from katazome.pictures.read import read
from katazome.pictures.write import write
from katazome.recipe import Recipe, make_recipe, open_recipe


def recipe(**options: object) -> Recipe:
    return make_recipe(
        method="gatys",
        options={**get_method("gatys").options().to_json(), "tile": "off", **options},
        seed=0,
        precision="float32",
        device="cpu",
        inputs=[("content", read(torch.full((3, 4, 6), 0.5))), ("style", read(torch.zeros(3, 2, 2)))],
        weights=[("vgg19", "ab" * 32)],
    )


def test_only_what_was_chosen_is_told() -> None:
    made = recipe(strength=0.25, size="300", style_layers=["relu1_1", "relu2_1"])
    assert chosen(made) == {"size": "300", "strength": "0.25", "style_layers": "relu1_1,relu2_1"}
    assert chosen(recipe()) == {"size": "512"}
    lines = dict(told(made))
    assert lines["content"].startswith("6 x 4 px, SHA-256 ")
    assert lines["arithmetic"].startswith("float32 on cpu, ")
    assert "strength" in chosen(replace(made, method="of-a-later-version"))  # all, where nothing is known


def test_what_differs() -> None:
    one, two, three = recipe(strength=0.25), recipe(strength=0.25, color="luma"), recipe()
    assert differing([one, one]) == [{}, {}]
    assert differing([one, two]) == [{"color": "style"}, {"color": "luma"}]
    assert [row["strength"] for row in differing([one, two, three])] == ["0.25", "0.25", "open"]
    other = replace(one, inputs=one.inputs[:1])
    assert differing([one, other])[1] == {"style picture": "none"}
    assert facts(one)["weights vgg19"] == "abababab"


def test_a_stranger_s_words_do_nothing_to_a_terminal() -> None:
    lines = told(recipe(size="\x1b[2J\nkatazome: done" + "x" * 500))
    text = dict(lines)["options"]
    assert "\x1b" not in text
    assert "\n" not in text
    assert len(text) <= 160
    assert plain("型染め") == "型染め"


def test_a_recipe_comes_from_a_picture_or_from_json(tmp_path: Path) -> None:
    made = recipe()
    write(torch.rand(1, 3, 8, 8), tmp_path / "a.png", metadata=made.to_xmp())
    (tmp_path / "a.json").write_text("\n " + made.to_text())
    assert open_recipe(tmp_path / "a.png") == made
    assert open_recipe(tmp_path / "a.json") == made
    (tmp_path / "b.json").write_text('{"format": 2}')
    with pytest.raises(PictureError, match=r"b\.json' cannot be used: the recipe has format 2"):
        open_recipe(tmp_path / "b.json")
    write(torch.rand(1, 3, 8, 8), tmp_path / "c.png")
    with pytest.raises(PictureError, match=r"c\.png' has no recipe in it"):
        open_recipe(tmp_path / "c.png")


def test_a_sheet_of_pictures_with_and_without(tmp_path: Path) -> None:
    for name, metadata in (("a", recipe(strength=0.25).to_xmp()), ("b", recipe().to_xmp()), ("c", None)):
        write(torch.rand(1, 4, 8, 12), tmp_path / f"{name}.png", metadata=metadata)
    found = compare([tmp_path / f"{name}.png" for name in "abc"], 64)
    assert [one.words for one in found] == ["strength 0.25", "strength open", "no recipe in it"]
    assert [one.words for one in compare([tmp_path / "a.png"] * 2, 64)] == ["made as the others"] * 2
    assert compared_sheet(found, 64).shape[3] == 12 + 3 * 76
    with pytest.raises(OptionError, match="1 picture was given"):
        compare([tmp_path / "a.png"], 64)

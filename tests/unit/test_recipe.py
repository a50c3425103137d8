from __future__ import annotations

import json

import pytest
import torch

from katazome.errors import OptionError, PictureError
from katazome.pictures.read import read
from katazome.pictures.write import encode
from katazome.recipe import MAX_BYTES, Recipe, make_recipe, read_recipe

OPTIONS = {
    "size": "2048x1365",
    "strength": 0.5,
    "layers": ["relu4_2"],
    "odd": "<&>\"' 型染め ]]>",
    "none": None,
}


def recipe() -> Recipe:
    picture = read(torch.full((3, 5, 7), 0.25))
    return make_recipe(
        method="gatys",
        options=OPTIONS,
        seed=3,
        precision="float32",
        device="cuda:1",
        inputs=[("content", picture), ("style", picture)],
        weights=[("vgg19", "ab" * 32)],
    )


def test_says_what_it_should():
    r = recipe()
    assert (r.method, r.seed, r.device, r.threads) == ("gatys", 3, "cuda", torch.get_num_threads())
    assert r.torch == torch.__version__
    assert (r.inputs[0].role, r.inputs[0].width, r.inputs[0].height) == ("content", 7, 5)
    assert r.weights[0].name == "vgg19"


def test_text_and_back():
    assert Recipe.from_text(recipe().to_text()) == recipe_like(recipe().to_text())
    assert json.loads(recipe().to_text())["options"] == OPTIONS


def recipe_like(text: str) -> Recipe:
    return Recipe.from_json(json.loads(text))


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff", "avif", "png16", "tiff16"])
def test_into_a_picture_and_back(kind, tmp_path):
    r, depth = recipe(), 16 if kind.endswith("16") else 8
    path = tmp_path / "picture"
    path.write_bytes(
        encode(torch.rand(1, 3, 16, 16), kind.removesuffix("16"), depth=depth, metadata=r.to_xmp())
    )
    assert read_recipe(path) == r
    assert read_recipe(encode(torch.rand(1, 3, 8, 8), kind.removesuffix("16"), depth=depth)) is None


def test_paths_stay_out():
    options = {"init": "/home/ann/a b.png", "weights": "vgg.pth", "more": ["C:\\Users\\ann\\x", "0.5,0.5"]}
    r = make_recipe(
        method="m",
        options=options,
        seed=0,
        precision="float32",
        device="cpu",
        inputs=[],
        weights=[("/home/ann/vgg.pth", "0" * 64)],
    )
    assert r.options == {"init": "FILE", "weights": "FILE", "more": ["FILE", "0.5,0.5"]}
    assert "ann" not in r.to_text()


def test_attribute_spelling_of_other_programs():
    text = (
        recipe()
        .to_text()
        .replace("&", "&amp;")
        .replace("<", "&#60;")
        .replace('"', "&#x22;")
        .replace("'", "&apos;")
    )
    assert read_recipe(f"<rdf:Description katazome:recipe='{text}'/>".encode()) == recipe_like(
        recipe().to_text()
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format 2"),
        ({"format": True}, "format True"),
        ({"surprise": 1}, "unknown key 'surprise'"),
        ({"mehtod": 1}, "did you mean 'method'"),
        ({"seed": "3"}, "seed"),
        ({"threads": True}, "threads"),
        ({"options": []}, "options"),
        ({"inputs": [{"role": "content"}]}, "lacks"),
        ({"inputs": ["content"]}, "input"),
        ({"weights": [{"name": "x", "sha256": "short"}]}, "64 hexadecimal"),
        ({"inputs": [{"role": "/etc", "sha256": "0" * 64, "width": 1, "height": 1}]}, "role"),
    ],
)
def test_strict(change, said):
    with pytest.raises(OptionError, match=said):
        Recipe.from_json(recipe().to_json() | change)


def test_missing_key():
    values = recipe().to_json()
    del values["seed"]
    with pytest.raises(OptionError, match="lacks seed"):
        Recipe.from_json(values)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"format": NaN}', "[" * 100_000, '{"format": 1' + "0" * 5000 + "}"]
)
def test_not_a_recipe(text):
    with pytest.raises(OptionError):
        Recipe.from_text(text)


def test_deep_and_infinite_options():
    nested: object = 1
    for _ in range(30):
        nested = [nested]
    with pytest.raises(OptionError, match="nested"):
        Recipe.from_json(recipe().to_json() | {"options": {"a": nested}})
    with pytest.raises(OptionError, match="finite"):
        Recipe.from_text(recipe().to_text().replace("0.5", "1e999"))


def test_huge_and_hostile_packets():
    with pytest.raises(PictureError, match="longer"):
        read_recipe(b"<katazome:recipe>" + b"a" * (7 * MAX_BYTES))
    with pytest.raises(PictureError, match="at most"):
        read_recipe(b"<katazome:recipe>" + b"a" * (2 * MAX_BYTES) + b"</katazome:recipe>")
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><katazome:recipe>&b;</katazome:recipe>'
    with pytest.raises(PictureError, match="not JSON"):
        read_recipe(bomb)
    with pytest.raises(PictureError, match="UTF-8"):
        read_recipe(b"<katazome:recipe>\xff</katazome:recipe>")


def test_missing_file(tmp_path):
    with pytest.raises(PictureError, match="no file"):
        read_recipe(tmp_path / "none.png")

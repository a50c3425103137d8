"""The command that turns one material into another, on the tiny network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import katazome as package
from katazome.collections.typical import by_typicality
from katazome.errors import OptionError
from katazome.pictures.read import read
from tests.materials import coloured, draw_classes
from tests.tiny import tiny_vgg

Katazome = Callable[..., int]
QUICK = ("--size", "64", "--iterations", "3", "--precision", "float32", "-o", "out.png")


@pytest.fixture
def looks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures of two materials; and a mask of the photograph's left half."""
    monkeypatch.setenv("KATAZOME_HOME", str(folder / "home"))
    mask = np.zeros((96, 120), np.uint8)
    mask[:, :60] = 255
    Image.fromarray(mask).save(folder / "left.png")
    return draw_classes(folder / "looks", ("もふもふ", "stone"))


def test_only_the_region_changes(looks: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("material", "photo.jpg", "--where", "mask:left.png")
    assert katazome(*where, "--to", "mofumofu", "--looks", looks, *QUICK) == 0
    err = capsys.readouterr().err
    assert "looks seen: 8 of 8" in err
    assert "mask:left.png: 50.0% of the picture" in err
    made, before = read("out.png").pixels, read("photo.jpg", longest=None).pixels
    small = torch.nn.functional.interpolate(before, made.shape[2:], mode="bicubic", antialias=True)
    change = (made - small).abs().mean((0, 1, 2))
    assert float(change[40:].mean()) < 0.01 < float(change[:24].mean())
    recipe = package.read_recipe("out.png")
    assert recipe is not None
    assert recipe.method == "material"
    # several looks, and the same from Python
    assert katazome(*where, "--to", "stone", "--looks", looks, "--blended", "3", *QUICK, "--overwrite") == 0
    with package.Session(weights=tiny_vgg(), heap=False) as session:
        options: dict[str, Any] = {"size": 64, "iterations": 3, "precision": "float32"}
        result = session.material(
            "photo.jpg", where="mask:left.png", to="stone", looks=str(looks), blended=3, **options
        )
    assert np.array_equal(np.asarray(result.image), np.asarray(Image.open("out.png")))


def test_a_material_by_its_model(looks: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ("--layer", "relu3_2", "--side", "64", "--steps", "40", "--batch", "8", "--learning-rate", "0.05")
    assert katazome("train", "segmenter", "--images", looks, "-o", "m.safetensors", *quick) == 0
    Image.fromarray(coloured(np.random.default_rng(3), 0, 96, 96)).save("red.png")
    given = ("material", "red.png", "--from", "mofumofu", "--model", "m.safetensors")
    assert katazome(*given, "--look", "painting.jpg", *QUICK) == 0
    assert "material:mofumofu: " in capsys.readouterr().err
    again = ("replay", "out.png", "red.png", "--style", "painting.jpg", "-o", "again.png")
    assert katazome(*again) == 2
    assert "the recipe was made by a model; give its file by --model" in capsys.readouterr().err
    assert katazome(*again, "--model", "m.safetensors") == 0
    assert "all as in the recipe" in capsys.readouterr().err
    assert np.array_equal(np.asarray(Image.open("again.png")), np.asarray(Image.open("out.png")))


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (["--to", "stone", "--looks", "looks"], "give --from MATERIAL, or --where REGION"),
        (["--from", "a", "--where", "everything", "--look", "painting.jpg"], "give one of them"),
        (["--where", "mask:left.png"], "give --to MATERIAL --looks DIR, or --look FILE"),
        (["--where", "mask:left.png", "--to", "stone"], "give --to MATERIAL --looks DIR, or --look FILE"),
        (["--where", "mask:left.png", "--to", "stone", "--looks", "looks", "--look", "x.png"], "both say"),
        (["--where", "mask:left.png", "--to", "stoone", "--looks", "looks"], "did you mean 'stone'"),
        (["--where", "mask:left.png", "--to", "stone", "--looks", "loks"], "did you mean 'looks'"),
        (["--from", "fabric", "--look", "painting.jpg"], "needs a model; give its file by --model"),
    ],
)
def test_what_cannot_be(
    looks: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str], given: list[str], what: str
) -> None:
    assert katazome("material", "photo.jpg", *given, *QUICK) == 2
    assert what in capsys.readouterr().err
    assert not Path("out.png").exists()


def test_a_result_in_the_way_is_said_before_a_look_is_chosen(
    looks: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out.png").write_bytes(b"mine")
    given = ("material", "photo.jpg", "--where", "mask:left.png", "--to", "stone", "--looks", looks, *QUICK)
    assert katazome(*given) == 1
    told = capsys.readouterr().err
    assert "'out.png' is there already" in told
    assert "looks seen" not in told
    assert Path("out.png").read_bytes() == b"mine"


def test_the_most_typical_is_in_the_middle() -> None:
    vectors = torch.tensor([[0.0, 0.0], [1.0, 100.0], [2.0, 210.0], [9.0, 120.0]])
    assert by_typicality(vectors)[0] == 1
    with pytest.raises(OptionError, match="what is to change"):
        package.material("photo.jpg", to="stone")


def test_a_material_once_more(looks: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    """By a recipe: the mask, the look and the model are given beside it."""
    look = "painting.jpg"
    assert katazome("material", "photo.jpg", "--where", "mask:left.png", "--look", look, *QUICK) == 0
    masked = ("replay", "out.png", "photo.jpg", "--style", look, "--mask", "left.png", "-o", "again.png")
    assert katazome(*masked) == 0
    assert "all as in the recipe" in capsys.readouterr().err
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()
    batch = (
        "batch",
        "photo.jpg",
        "--style",
        look,
        "--recipe",
        "out.png",
        "-o",
        "many",
        "--name",
        "again.png",
    )
    assert katazome(*batch, "--mask", "left.png", "--quiet") == 0
    assert Path("many/again.png").read_bytes() == Path("out.png").read_bytes()

    teach = ("--layer", "relu3_2", "--side", "64", "--steps", "40", "--batch", "8", "--learning-rate", "0.05")
    assert katazome("train", "segmenter", "--images", looks, "-o", "m.safetensors", *teach) == 0
    Image.fromarray(coloured(np.random.default_rng(3), 0, 96, 96)).save("cloth.png")
    by_model = ("--from", "mofumofu", "--model", "m.safetensors", "--look", look)
    assert katazome("material", "cloth.png", *by_model, *QUICK, "--overwrite") == 0
    given = ("replay", "out.png", "cloth.png", "--style", look, "-o", "b.png")
    assert katazome(*given) == 2
    assert "the recipe was made by a model; give its file by --model" in capsys.readouterr().err
    assert katazome(*given, "--model", "m.safetensors") == 0
    assert "all as in the recipe" in capsys.readouterr().err
    assert Path("b.png").read_bytes() == Path("out.png").read_bytes()
    batch = ("batch", "cloth.png", "--style", look, "--recipe", "out.png", "-o", "many", "--name", "b.png")
    assert katazome(*batch, "--model", "m.safetensors", "--quiet") == 0
    assert Path("many/b.png").read_bytes() == Path("out.png").read_bytes()
    # another model
    assert (
        katazome("train", "segmenter", "--images", looks, "-o", "n.safetensors", *teach, "--seed", "2") == 0
    )
    assert katazome(*given, "--model", "n.safetensors", "--overwrite") == 2
    assert "the recipe was made with model, SHA-256" in capsys.readouterr().err

"""The same look once more, from the recipe inside a picture: the program as a process, and in this one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from katazome.recipe import open_recipe
from tests.cli.conftest import files, ran

Katazome = Callable[..., int]
QUICK = ("--size", "64", "--iterations", "2")
MADE = ("stylize", "photo.jpg", "painting.jpg", "-o", "out.png", *QUICK)


def test_the_same_inputs_give_the_same_pixels(folder: Path) -> None:
    made = ran(
        *MADE, "--precision", "float32", "--init", "random", "--seed", "5", tiny=True, OMP_NUM_THREADS="2"
    )
    assert made.returncode == 0, made.stderr
    threads = str(open_recipe("out.png").threads)
    done = ran("replay", "out.png", "photo.jpg", "--style", "painting.jpg", "-o", "again.png", tiny=True)
    assert done.returncode == 0, done.stderr
    assert b"all as in the recipe" in done.stderr  # also the threads, of which this process was given one
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()
    assert str(open_recipe("again.png").threads) == threads


@pytest.mark.usefixtures("vgg")
def test_the_real_network_too(folder: Path) -> None:
    assert ran(*MADE, "--precision", "float32").returncode == 0
    done = ran("replay", "out.png", "photo.jpg", "--style", "painting.jpg", "-o", "again.png")
    assert done.returncode == 0, done.stderr
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()


def test_the_look_on_another_photograph(katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    with Image.open("photo.jpg") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).crop((0, 0, 96, 96)).save("other.jpg")
    assert katazome(*MADE, "--strength", "0.8", "--quiet") == 0
    assert (
        katazome("replay", "out.png", "other.jpg", "--style", "painting.jpg", "-o", "o.png", "--size", "80")
        == 0
    )
    told = capsys.readouterr().err
    assert "unlike the recipe: size 80 (was 64), content picture " in told
    recipe = open_recipe("o.png")
    assert recipe.options["strength"] == 0.8
    with Image.open("o.png") as image:
        assert image.size == (80, 80)
    # with no -o, a name as stylize would choose it
    assert katazome("replay", "out.png", "other.jpg", "--style", "painting.jpg", "--quiet") == 0
    assert Path("other.painting.png").exists()


def test_a_recipe_as_json_and_as_an_option(katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    assert katazome(*MADE, "--strength", "0.8", "--quiet") == 0
    assert katazome("info", "out.png", "--json") == 0
    Path("look.json").write_text(capsys.readouterr().out)
    assert katazome("stylize", "photo.jpg", "painting.jpg", "--recipe", "look.json", "-o", "again.png") == 0
    assert "all as in the recipe" in capsys.readouterr().err
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()


def test_threads_are_kept(katazome: Katazome) -> None:
    assert katazome(*MADE, "--quiet") == 0
    assert open_recipe("out.png").threads == 1
    torch.set_num_threads(2)
    assert (
        katazome("replay", "out.png", "photo.jpg", "--style", "painting.jpg", "-o", "b.png", "--quiet") == 0
    )
    assert open_recipe("b.png").threads == 1


def test_a_texture(katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    assert katazome("texture", "painting.jpg", "-o", "out.png", *QUICK, "--seamless", "x", "--quiet") == 0
    assert katazome("replay", "out.png", "--style", "painting.jpg", "-o", "again.png", "--quiet") == 0
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()
    assert katazome("replay", "out.png", "photo.jpg", "--style", "painting.jpg") == 2
    assert "restyles no picture (texture); leave 'photo.jpg' out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("replay", "out.png", "photo.jpg"), "a recipe holds no pictures; give its style by --style FILE"),
        (
            ("replay", "out.png", "photo.jpg", "--style", "photo.jpg"),
            "is not the recipe's style: its SHA-256",
        ),
        (("replay", "out.png", "--style", "painting.jpg"), "the recipe restyles a picture (gatys); name one"),
        (("replay", "photo.jpg", "photo.jpg", "--style", "painting.jpg"), "'photo.jpg' has no recipe in it"),
        (("replay", "none.png", "photo.jpg"), "there is no file 'none.png'"),
        (
            ("stylize", "photo.jpg", "painting.jpg", "--recipe", "out.png", "--preset", "gatys"),
            "preset and recipe",
        ),
        (
            ("stylize", "photo.jpg", "painting.jpg", "--recipe", "out.png", "--method", "multiscale"),
            "method is gatys",
        ),
        (("stylize", "photo.jpg", "painting.jpg", "--mask", "m.png"), "mask stands beside a recipe"),
        (("stylize", "photo.jpg", "--recipe", "out.png"), "no style picture was given"),
    ],
)
def test_bad_input(
    katazome: Katazome, capsys: pytest.CaptureFixture[str], given: tuple[str, ...], said: str
) -> None:
    assert katazome(*MADE, "--quiet") == 0
    before = files()
    assert katazome(*given) == 2
    assert said in capsys.readouterr().err
    assert files() == before

"""``katazome attribute`` as a program, on small things that are not faces and on a collection of one face."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from katazome.recipe import read_recipe

Program = Callable[..., int]
QUICK = ("--iterations", "3", "--size", "64", "--precision", "float32")


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep features out of the user's cache; weights stay where they are."""
    from katazome.weights import store

    home, weights = tmp_path_factory.mktemp("home"), store.home() / "weights"
    weights.mkdir(parents=True, exist_ok=True)  # nothing may have been fetched yet
    (home / "weights").symlink_to(weights)
    monkeypatch.setenv("KATAZOME_HOME", str(home))


@pytest.fixture
def sets(folder: Path) -> Path:
    """Two folders of squares, bright and dark, and a table that knows which is which."""
    draw = random.Random(0)
    rows = ["file,Bright,Rare"]
    for name, level in (("bright", 170), ("dark", 60)):
        (folder / "things" / name).mkdir(parents=True)
        for n in range(6):
            colour = tuple(level + draw.randrange(40) for _ in range(3))
            image = Image.new("RGB", (40, 40), colour)
            image.paste((draw.randrange(255),) * 3, (8, 8, 20 + n, 30))
            image.save(folder / "things" / name / f"{name}{n}.png")
            rows.append(f"{name}{n}.png,{0.9 if name == 'bright' else 0.1},{0.9 if n == 0 else 0.1}")
    (folder / "things" / "attributes.csv").write_text("\n".join(rows))
    return folder


def test_two_folders_are_enough(sets: Path, katazome: Program, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["attribute", "photo.jpg", "--target", "things/bright", "--source", "things/dark", "--no-align"]
    assert katazome(*command, *QUICK, "-o", "out.png", "--sets", "sets.png", "--debug") == 0
    said = capfd.readouterr().err
    assert "6 pictures with the change and 6 without; the nearest by features" in said
    assert "relu4_1: |phi|" in said
    with Image.open("out.png") as made, Image.open("photo.jpg") as photo, Image.open("sets.png") as both:
        assert made.size == photo.size
        assert both.width > 600
    recipe = read_recipe("out.png")
    assert recipe is not None
    assert recipe.method == "attribute"
    assert "bright" not in recipe.to_text()
    assert katazome("replay", "out.png", "photo.jpg", "-o", "again.png") == 2
    assert "sets of pictures, which a recipe cannot name; use `katazome attribute`" in capfd.readouterr().err


def test_a_collection_with_a_table(sets: Path, katazome: Program, capfd: pytest.CaptureFixture[str]) -> None:
    command = ["attribute", "photo.jpg", "--faces", "things", "--no-align", *QUICK]
    assert katazome(*command, "--add", "bright", "--strengths", "0.2,0.4") == 0
    said = capfd.readouterr().err
    assert "attributes.csv (probability)" in said
    with Image.open("photo.bright.png") as sheet:
        assert sheet.width > 3 * 256
    assert katazome(*command, "--remove", "Bright", "--by", "random", "-o", "dark.png") == 0


def test_attributes_are_listed(sets: Path, katazome: Program, capfd: pytest.CaptureFixture[str]) -> None:
    assert katazome("attribute", "--list", "--faces", "things") == 0
    rows = [line.split() for line in capfd.readouterr().out.splitlines()]
    assert ["Bright", "6", "6"] in rows
    assert ["Rare", "2", "10"] in rows


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("photo.jpg --faces things --add Brigt", "did you mean 'Bright'"),
        ("photo.jpg --faces things", "nothing is to change"),
        ("photo.jpg --add Bright", "where the two sets come from was not said"),
        ("photo.jpg --faces things --add Rare --no-align", "only 2 pictures with the change"),
        ("photo.jpg --faces things --add Bright --target things/dark", "both say where"),
        ("photo.jpg --faces things --add Bright --by attributes --no-align", "no row in the table"),
        ("photo.jpg --target things/dark --source things/dark --no-align", "the same folder"),
        ("photo.jpg --target things/dark --source things/grey --no-align", "there is no folder"),
        ("photo.jpg --target things/dark --source things/bright --add X", "attributes are of a collection"),
        ("photo.jpg --faces things --add Bright", "no face was found in 'photo'"),
        ("photo.jpg --faces nowhere --add Bright", "there is no folder 'nowhere'"),
        ("photo.jpg --faces things --attributes no.csv --add Bright", "there is no table"),
        ("photo.jpg --faces things --add Bright --strength 0.4 --strengths 0.1,0.2", "both say how far"),
        ("photo.jpg painting.jpg --faces things --add Bright", "one picture is edited at a time, 2"),
        ("--list", "name it by --faces"),
        ("photo.jpg --faces things --add Bright --style-scale 2", "style-scale"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(
    sets: Path, katazome: Program, capfd: pytest.CaptureFixture[str], arguments: str, told: str
) -> None:
    before = sorted(sets.rglob("*"))
    assert katazome("attribute", *arguments.split(), *QUICK) == 2
    assert told in capfd.readouterr().err
    assert sorted(sets.rglob("*")) == before


def test_the_same_picture_is_not_its_own_neighbour(
    sets: Path, katazome: Program, capfd: pytest.CaptureFixture[str]
) -> None:
    (sets / "things" / "dark" / "dark0.png").replace(sets / "dark0.png")
    (sets / "things" / "dark" / "dark0.png").write_bytes((sets / "dark0.png").read_bytes())
    command = ["attribute", "dark0.png", "--faces", "things", "--no-align", "--add", "Bright", *QUICK]
    assert katazome(*command, "-o", "out.png") == 0
    assert "6 pictures with the change and 5 without" in capfd.readouterr().err

"""Regions on the command line: --where, --at, --style-where, segment."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import katazome as package
from tests.cli.conftest import files

Katazome = Callable[..., int]
QUICK = ("--size", "keep", "--iterations", "3", "--scales", "1", "--precision", "float32")


@pytest.fixture
def mask(folder: Path) -> Path:
    """The left half of the photograph, in a file whose name needs quotes."""
    region = Image.new("L", (60, 48))
    region.paste(255, (0, 0, 30, 48))
    region.save(folder / "left half.png")
    return folder / "left half.png"


def pixels(name: str) -> np.ndarray:
    with Image.open(name) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_one_region(katazome: Katazome, mask: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("stylize", "photo.jpg", "painting.jpg", *QUICK)
    assert katazome(*given, "--where", "mask:'left half.png'", "-o", "out.png") == 0
    assert 'mask:"left half.png": 50.0% of the picture (5760 px)' in capsys.readouterr().err
    change = np.abs(pixels("out.png") - pixels("photo.jpg")).mean((0, 2))
    assert not change[66:].any()
    assert change[:54].mean() > 2
    recipe = package.read_recipe("out.png")
    assert recipe is not None
    assert recipe.options["where"] == "mask:file"
    assert [i.role for i in recipe.inputs] == ["content", "where", "style"]


def test_two_regions_with_their_own_styles(
    katazome: Katazome, mask: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = "mask:'left half.png'"
    given = ("stylize", "photo.jpg", "--at", f"{here}=painting.jpg", "--at", f"not:{here}=photo.jpg", *QUICK)
    assert katazome(*given, "--feather", "2") == 0
    assert files() == ["left half.png", "painting.jpg", "photo.jpg", "photo.painting.photo.png"]
    said = capsys.readouterr().err
    assert said.count("of the picture") == 2
    assert "overlap" not in said


def test_a_part_of_the_style(katazome: Katazome, mask: Path) -> None:
    given = ("stylize", "photo.jpg", "painting.jpg", *QUICK, "-o", "out.png", "--quiet")
    assert katazome(*given, "--style-where", "not:mask:'left half.png'") == 0
    part = pixels("out.png")
    assert katazome(*given, "--overwrite") == 0
    assert np.abs(part - pixels("out.png")).mean() > 0.5


def test_segment(katazome: Katazome, mask: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("segment", "photo.jpg", "--where", "not:mask:'left half.png'")
    assert katazome(*given, "-o", "mask.png", "--overlay", "show.jpg") == 0
    assert "50.0% of the picture" in capsys.readouterr().err
    assert pixels("mask.png")[:, 66:].min() == 255
    assert pixels("mask.png")[:, :54].max() == 0
    assert np.abs(pixels("show.jpg")[:, 70:] - pixels("photo.jpg")[:, 70:]).mean() < 6
    assert np.ptp(pixels("show.jpg")[:, :50], axis=2).max() < 12
    assert katazome(*given, "-o", "mask.png") == 1  # it is there
    assert katazome(*given) == 2


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (["--where", "mask:left half.png"], "where: expected"),
        (["--where", "mask:nothing.png"], "there is no file"),
        (["--where", "everythng"], "did you mean 'everything'?"),
        (["--where", "transparent"], "the region transparent is empty in 'photo'"),
        (["--where", "mask:wide.png"], "is 90 x 20 px, the picture 'photo' 120 x 96"),
        (["--at", "everything"], "at: expected = and a style picture"),
        (["--style-where", "everything,everything"], "2 regions for 1 style"),
    ],
)
def test_what_is_wrong_is_said(
    katazome: Katazome, mask: Path, capsys: pytest.CaptureFixture[str], given: list[str], what: str
) -> None:
    Image.new("L", (90, 20), 255).save("wide.png")
    assert katazome("stylize", "photo.jpg", "painting.jpg", *given, "-o", "out.png", *QUICK) == 2
    said = capsys.readouterr().err
    assert what in said
    assert not Path("out.png").exists()


def test_a_switch_that_is_on_is_turned_off(katazome: Katazome) -> None:
    given = ("stylize", "photo.jpg", "painting.jpg", *QUICK, "--quiet")
    assert katazome(*given, "--no-precondition", "-o", "plain.png") == 0
    assert katazome(*given, "-o", "default.png") == 0
    kept = [package.read_recipe(f"{name}.png") for name in ("plain", "default")]
    assert [recipe.options["precondition"] for recipe in kept if recipe] == [False, True]
    assert np.abs(pixels("plain.png") - pixels("default.png")).mean() > 0.1


def test_segment_in_a_pipe(
    katazome: Katazome, mask: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(Path("photo.jpg").read_bytes())))
    assert katazome("segment", "-", "--where", "mask:'left half.png'", "-o", "-") == 0
    with Image.open(io.BytesIO(capfdbinary.readouterr().out)) as image:
        assert image.size == (120, 96)


def test_a_feather_without_a_region(katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("stylize", "photo.jpg", "painting.jpg", *QUICK, "--feather", "3", "-o", "out.png")
    assert katazome(*given) == 2
    assert "softens the edges of regions, and there is none" in capsys.readouterr().err

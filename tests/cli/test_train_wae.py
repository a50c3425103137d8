"""The command that trains an autoencoder of style and content, on the tiny network; its use."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from katazome.networks.wae_model import SHELF
from katazome.pictures.read import read
from tests.cli.conftest import files
from tests.cli.learning import interrupted, same, scribbles

Katazome = Callable[..., int]
QUICK = ("--resolution", "32", "--batch", "6", "--steps", "24", "--style-size", "6", "--content-size", "4")
SPATIAL = ("--spatial", "--regime", "swap")


@pytest.fixture
def photos(folder: Path) -> Path:
    """Forty pictures below a folder, and one that is none."""
    return scribbles(folder, 40, (60, 50))


def test_an_autoencoder_its_use_and_its_study(
    photos: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("train", "wae", "--images", photos, *QUICK, *SPATIAL, "--terms", "drawn")
    assert katazome(*given, "-o", "w.safetensors") == 0
    told = capsys.readouterr().err
    assert "broken.jpg" in told
    assert "w.safetensors: " in told
    assert "with another's style the look by" in told
    made = SHELF.read(Path("w.safetensors"))
    assert made.facts.terms == "drawn"
    assert made.facts.data == {"in": 40}
    assert made.facts.spatial
    assert made.facts.losses["style before"] > 0
    with Path("w.safetensors.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(float(row["pixels"]) for row in rows[-5:]) < sum(float(row["pixels"]) for row in rows[:5])
    # its use: any size, a part of the picture, a blend, less of it
    stylized = ("stylize", "photo.jpg", "painting.jpg", "--method", "wae", "--size", "64")
    assert katazome(*stylized, "--model", "w.safetensors", "-o", "a.png") == 0
    assert katazome(*stylized, "--model", "w.safetensors", "--strength", "0.5", "-o", "b.png") == 0
    a, b = (read(f"{name}.png").pixels for name in "ab")
    assert a.shape == b.shape
    assert float((a - b).abs().mean()) > 0
    # the study says what is wrong before it measures
    capsys.readouterr()
    study = ("study", "wae", "w.safetensors", "-o", "report")
    assert katazome(*study, "--set", f"all={photos}") == 2
    assert "was trained on the network tiny, in use is vgg19" in capsys.readouterr().err
    assert katazome("study", "wae", "-o", "report", "--set", "in") == 2
    assert "set is 'in'; it must be NAME=FOLDER" in capsys.readouterr().err
    assert katazome("study", "wae", "-o", "report", "--set", "few=pictures") == 2
    assert "there is no folder 'pictures'" in capsys.readouterr().err


def test_a_vector_has_one_size(photos: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    assert katazome("train", "wae", "--images", photos, *QUICK, "-o", "v.safetensors") == 0
    stylized = ("stylize", "photo.jpg", "painting.jpg", "--method", "wae", "--model", "v.safetensors")
    capsys.readouterr()
    assert katazome(*stylized, "--size", "96", "-o", "a.png") == 2
    assert "makes pictures of 32 x 32 px alone; take --size 32x32" in capsys.readouterr().err
    assert katazome(*stylized, "--size", "32x32", "-o", "a.png") == 0
    assert read("a.png").pixels.shape == (1, 3, 32, 32)


def test_it_goes_on_where_it_was(
    photos: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("train", "wae", "--images", photos, *QUICK, *SPATIAL, "--averaging", "0.9")
    assert katazome(*given, "-o", "whole.safetensors") == 0

    interrupted(katazome, given, "w.safetensors", at=9)
    capsys.readouterr()
    assert katazome(*given, "-o", "w.safetensors") == 0
    assert "going on after step 8 of 24" in capsys.readouterr().err
    assert same("whole.safetensors", "w.safetensors")


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        (("-o", "m.safetensors"), 2, "no pictures were named"),
        (("--images", "in", "-o", "m.safetensors", "--resolution", "40"), 2, "must be a multiple of 16"),
        (("--images", "in", "-o", "m.pth"), 2, "a model is a .safetensors file"),
        (("--images", "few", "-o", "m.safetensors", *QUICK), 2, "learns from at least 8"),
        (
            ("--images", "in", "-o", "m.safetensors", "--spatial", "--prior", "kl"),
            2,
            "prior is kl, the baseline of vector codes",
        ),
    ],
)
def test_what_cannot_be(
    given: tuple[str, ...],
    code: int,
    told: str,
    photos: Path,
    katazome: Katazome,
    capsys: pytest.CaptureFixture[str],
) -> None:
    few = photos.parent / "few"
    few.mkdir()
    for number in range(4):
        (few / f"{number}.png").write_bytes((photos / "more" / f"{number}.png").read_bytes())
    assert katazome("train", "wae", *given) == code
    assert told in " ".join(capsys.readouterr().err.split())
    assert not [name for name in files() if name.startswith("m.")]


def test_a_model_of_another_kind(
    photos: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]
) -> None:
    assert katazome("train", "wae", "--images", photos, *QUICK, *SPATIAL, "-o", "w.safetensors") == 0
    capsys.readouterr()
    by_other = ("stylize", "photo.jpg", "--method", "feedforward", "--model", "w.safetensors")
    assert katazome(*by_other, "-o", "o.png") == 2
    assert "w.safetensors is no network for one style: it is a wae" in capsys.readouterr().err
    missing = ("stylize", "photo.jpg", "painting.jpg", "--method", "wae", "--model", "none.safetensors")
    assert katazome(*missing, "-o", "o.png") == 2
    assert "there is no autoencoder of style and content none.safetensors" in capsys.readouterr().err
    strong = ("stylize", "photo.jpg", "painting.jpg", "--method", "wae", "--model", "w.safetensors")
    assert katazome(*strong, "--strength", "1.5", "-o", "o.png") == 2
    assert "strength is 1.5" in capsys.readouterr().err

"""The command that trains a segmenter, on the tiny network: the model, going on, what cannot be."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from katazome.networks.segmenter import open_segmenter
from tests.cli.conftest import files
from tests.cli.learning import interrupted, same
from tests.materials import coloured, draw_classes
from tests.tiny import tiny_vgg

Katazome = Callable[..., int]
QUICK = ("--layer", "relu3_2", "--side", "64", "--steps", "40", "--batch", "8", "--learning-rate", "0.05")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KATAZOME_HOME", str(tmp_path / "home"))


@pytest.fixture
def classes(folder: Path) -> Path:
    """Two classes of pictures, one of which is none."""
    draw_classes(folder / "in")
    (folder / "in/stone/broken.jpg").write_bytes(b"\xff\xd8\xff")
    return folder / "in"


def test_a_model_and_its_regions(
    classes: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("train", "segmenter", "--images", classes, "-o", "m.safetensors", *QUICK, "--terms", "drawn")
    assert katazome(*given) == 0
    told = capsys.readouterr().err
    assert "skipped: " in told
    assert "broken.jpg" in told
    assert "of 2 pictures held out, " in told
    assert "m.safetensors: 2 classes from 14 pictures, after " in told
    model = open_segmenter(Path("m.safetensors"), tiny_vgg())
    assert model.classes == ("fabric", "stone")
    assert model.facts.terms == "drawn"
    assert model.facts.data == {"fabric: fabric": 8, "stone: stone": 8}
    with Path("m.safetensors.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(1, 41))
    assert "m.safetensors.checkpoint" not in files()
    assert katazome(*given) == 1
    assert "is there already" in capsys.readouterr().err
    # and its regions
    Image.fromarray(coloured(np.random.default_rng(3), 0, 96, 96)).save("red.png")
    where = ("segment", "red.png", "--where", "material:Fabric", "--model", "m.safetensors", "-o", "mask.png")
    assert katazome(*where) == 0
    assert "material:Fabric: " in capsys.readouterr().err
    quick = ("--size", "64", "--iterations", "2", "-o", "out.png")
    at = ("--at", "material:fabric=painting.jpg", "--model", "m.safetensors")
    assert katazome("stylize", "red.png", *at, *quick) == 0, capsys.readouterr().err


def test_it_goes_on_where_it_was(
    classes: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("train", "segmenter", "--images", classes, *QUICK)
    assert katazome(*given, "-o", "whole.safetensors") == 0

    interrupted(katazome, given, "m.safetensors", at=17)
    assert "m.safetensors.csv" in files()
    capsys.readouterr()
    assert katazome(*given, "--seed", "4", "-o", "m.safetensors") == 2
    assert "is where other training stands (its options differ)" in capsys.readouterr().err
    assert katazome(*given, "-o", "m.safetensors") == 0
    assert "going on after step 16 of 40" in capsys.readouterr().err
    assert same("whole.safetensors", "m.safetensors")
    assert "m.safetensors.checkpoint" not in files()


@pytest.mark.parametrize(
    ("given", "code", "what"),
    [
        (["-o", "m.safetensors"], 2, "give a folder of class folders by --images DIR"),
        (["--images", "in"], 2, "give one by -o MODEL.safetensors"),
        (["--images", "in", "-o", "m.pth"], 2, "'m.pth' is not called so"),
        (["--images", "in", "-o", "none/m.safetensors"], 1, "there is no folder 'none'"),
        (["--images", "inn", "-o", "m.safetensors"], 2, "did you mean 'in'?"),
        (["--images", "in/stone", "-o", "m.safetensors"], 2, "or NAME='in/stone'"),
        (["--images", "fabric=in/fabric", "-o", "m.safetensors"], 2, "there is one class, 'fabric'"),
        (["--images", "in", "-o", "m.safetensors", "--layer", "relu9_1"], 2, "no layer is called 'relu9_1'"),
        (["--images", "in", "-o", "m.safetensors", "--layer", "pool4"], 2, "after a ReLU, relu3_1 or deeper"),
    ],
)
def test_what_cannot_be_learnt(
    classes: Path,
    katazome: Katazome,
    capsys: pytest.CaptureFixture[str],
    given: list[str],
    code: int,
    what: str,
) -> None:
    assert katazome("train", "segmenter", *given) == code
    err = capsys.readouterr().err
    assert what in err
    assert len(err.splitlines()) == 1


def test_models_that_are_none(classes: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("segment", "photo.jpg", "--where", "material:fabric", "-o", "mask.png")
    assert katazome(*where) == 2
    assert "give its file by --model" in capsys.readouterr().err
    assert katazome(*where, "--model", "none.safetensors") == 2
    assert "there is no model of materials none.safetensors" in capsys.readouterr().err
    Path("bad.safetensors").write_bytes(b"nothing of the kind")
    assert katazome(*where, "--model", "bad.safetensors") == 2
    assert "bad.safetensors is no model of materials" in capsys.readouterr().err


def test_options_are_spelt_as_in_the_other_commands(
    classes: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("train", "segmenter", "--images", classes, "-o", "m.safetensors", *QUICK)
    assert katazome(*given, "--accel", "abacus") == 2
    assert "abacus" in capsys.readouterr().err
    assert katazome(*given, "--weight-decay", "-1") == 2
    assert "--weight-decay is -1" in capsys.readouterr().err
    assert katazome("filters", "rank", "--images", classes, "-o", "rank", "--accel", "abacus") == 2
    assert "abacus" in capsys.readouterr().err

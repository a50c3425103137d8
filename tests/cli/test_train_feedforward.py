"""The commands about networks for one style, on a tiny one: trained, used, exported, refused."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import katazome as package
from katazome.networks import onnx_export
from katazome.networks.feedforward import SHELF
from tests.cli.conftest import files, ran
from tests.cli.learning import interrupted, same, scribbles
from tests.tiny import tiny_decoders, tiny_feedforward

Katazome = Callable[..., int]
QUICK = (
    *("--width", "4", "--side", "48", "--style-size", "96", "--batch", "2", "--steps", "24"),
    *("--style-layers", "relu1_1,relu2_1", "--content-layers", "relu2_2", "--learning-rate"),
)
AT_RATE = ("train", "feedforward", "--style", "painting.jpg", "--images", "in", *QUICK)
TRAIN = (*AT_RATE, "0.01")


@pytest.fixture
def photos(folder: Path) -> Path:
    """Seven pictures, one of them none."""
    return scribbles(folder, 6, (110, 100))


def test_trained_used_and_exported_as_a_process(photos: Path) -> None:
    trained = ran(*TRAIN, "-o", "m.safetensors", "--terms", "drawn", "--style-terms", "free", tiny=True)
    assert trained.returncode == 0, trained.stderr
    told = trained.stderr.decode()
    assert "broken.jpg" in told
    assert "m.safetensors: the style of painting from " in told
    made = SHELF.read(Path("m.safetensors"))
    assert made.facts.terms == "drawn"
    assert made.facts.style["terms"] == "free"
    assert made.facts.data == {"in": 7}
    assert made.facts.trunk["name"] == "tiny"
    assert set(made.facts.losses) == {"content", "style"}
    with Path("m.safetensors.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"content", "style", "smoothness", "gamut"} <= set(rows[0])
    assert "m.safetensors.checkpoint" not in files()
    asked = ("stylize", "photo.jpg", "--method", "feedforward", "--model", "m.safetensors", "--size", "97")
    used = ran(*asked, tiny=True)
    assert used.returncode == 0, used.stderr
    assert used.stderr.decode().splitlines()[0].startswith("97 x 78 px in one pass, ")
    recipe = package.read_recipe("photo.m.png")
    assert recipe is not None
    assert [w.name for w in recipe.weights] == ["tiny", "feedforward"]
    exported = ran("export", "m.safetensors", "-o", "m.onnx")
    assert exported.returncode == 0, exported.stderr
    assert exported.stderr.decode().startswith("m.onnx: from 'picture' to 'restyled'")
    assert exported.stderr.decode().count("e-0") == 3


def test_it_goes_on_where_it_was(
    photos: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]
) -> None:
    assert katazome(*TRAIN, "-o", "whole.safetensors") == 0

    interrupted(katazome, TRAIN, "m.safetensors", at=9)
    sheets = [name for name in files() if name.startswith("m.safetensors.samples-")]
    assert sheets == [f"m.safetensors.samples-{n:06}.png" for n in (2, 4, 6, 8)]
    assert katazome(*TRAIN, "-o", "m.safetensors") == 0
    assert "going on after step 8 of 24" in capsys.readouterr().err
    assert same("whole.safetensors", "m.safetensors")


def test_a_loss_that_is_no_number(
    photos: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]
) -> None:
    assert katazome(*AT_RATE, "1e30", "-o", "m.safetensors") == 1
    assert "training failed at step 2" in capsys.readouterr().err
    assert "m.safetensors" not in files()


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        ((), 2, "no file for the model was named"),
        (("-o", "m.safetensors"), 2, "no style picture was named"),
        (("-o", "m.safetensors", "--style", "painting.jpg"), 2, "no pictures were named"),
        (("-o", "m.safetensors", "--style", "nowhere.jpg", "--images", "in"), 2, "nowhere.jpg"),
        (("-o", "m.safetensors", "--style", "flat.png", "--images", "in"), 2, "'flat' is one flat colour"),
        (("-o", "m.safetensors", "--style", "painting.jpg", "--images", "one"), 2, "there is one picture"),
        (("-o", "m.safetensors", "--style", "thin.png", "--images", "in"), 2, "too small for relu1_1"),
        (("-o", "m.safetensors", "--side", "20"), 2, "side is 20; "),
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
    Image.new("RGB", (90, 90), (9, 90, 200)).save("flat.png")
    Image.open("painting.jpg").resize((96, 4)).save("thin.png")
    Path("one").mkdir()
    Image.open("photo.jpg").save("one/photo.jpg")
    assert katazome("train", "feedforward", *given) == code
    assert told in capsys.readouterr().err


def test_stylize_says_what_is_wrong(
    katazome: Katazome, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tiny_feedforward().write(Path("m.safetensors"))
    tiny_decoders()[0].write(Path("d.safetensors"))
    asked = ("stylize", "photo.jpg", "--method", "feedforward", "-o", "o.png")
    for more, told in (
        (("--model", "nowhere.safetensors"), "there is no network for one style nowhere.safetensors"),
        (("--model", "d.safetensors"), "d.safetensors is no network for one style: it is a decoder"),
        (("--model", "m.safetensors", "--strength", "0.5"), "feedforward has no --strength; it belongs to"),
        (("--model", "m.safetensors", "--at", "face=painting.jpg"), "feedforward has no --at"),
        (("painting.jpg", "--model", "m.safetensors"), "feedforward takes no style picture"),
    ):
        assert katazome(*asked, *more) == 2
        assert told in capsys.readouterr().err
    assert katazome("stylize", "photo.jpg", "-o", "o.png") == 2
    assert "no style picture was given" in capsys.readouterr().err
    assert "o.png" not in files()


def test_a_recipe_is_followed_without_styles(katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_feedforward().write(Path("m.safetensors"))
    tiny_feedforward(seed=1).write(Path("other.safetensors"))
    asked = ("stylize", "photo.jpg", "--method", "feedforward", "--model", "m.safetensors", "--size", "64")
    assert katazome(*asked, "-o", "a.png") == 0
    capsys.readouterr()
    assert katazome("replay", "a.png", "photo.jpg", "-o", "b.png") == 2
    assert "give its file by --model" in capsys.readouterr().err
    assert katazome("replay", "a.png", "photo.jpg", "--model", "other.safetensors", "-o", "b.png") == 2
    assert "the recipe was made with feedforward" in capsys.readouterr().err
    assert katazome("replay", "a.png", "photo.jpg", "--model", "m.safetensors", "-o", "b.png") == 0
    with Image.open("a.png") as one, Image.open("b.png") as other:
        assert one.tobytes() == other.tobytes()


def test_many_pictures(katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_feedforward().write(Path("m.safetensors"))
    Path("in").mkdir()
    for name in ("one", "two"):
        Image.open("photo.jpg").save(f"in/{name}.jpg")
    asked = (
        "batch",
        "in",
        "--method",
        "feedforward",
        "--model",
        "m.safetensors",
        "--size",
        "64",
        "-o",
        "out",
    )
    assert katazome(*asked) == 0
    assert sorted(path.name for path in Path("out").glob("*.jpg")) == ["one.styled.jpg", "two.styled.jpg"]
    assert katazome(*asked, "--style", "painting.jpg") == 2
    assert "feedforward takes no style picture" in capsys.readouterr().err


def test_export_says_what_is_wrong(
    katazome: Katazome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_feedforward().write(Path("m.safetensors"))
    Path("there.onnx").touch()
    for more, code, told in (
        ((), 2, "no file was named"),
        (("-o", "m.pb"), 2, "'m.pb' is not called so; only .onnx is written"),
        (("-o", "nowhere/m.onnx"), 1, "there is no folder 'nowhere'"),
        (("-o", "there.onnx"), 1, "is there already"),
    ):
        assert katazome("export", "m.safetensors", *more) == code
        assert told in capsys.readouterr().err
    assert katazome("export", "nothing.safetensors", "-o", "m.onnx") == 2
    assert "there is no network for one style nothing.safetensors" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(onnx_export, "BOUND", 0.0)
        assert katazome("export", "m.safetensors", "-o", "m.onnx") == 1
    assert "the exported network differs from this program's by " in capsys.readouterr().err
    assert "m.onnx" not in files()
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert katazome("export", "m.safetensors", "-o", "m.onnx") == 1
    assert "pip install 'katazome[export]'" in capsys.readouterr().err

"""The command that trains a decoder, on the tiny network: the file, going on, its use, what cannot be."""

from __future__ import annotations

import csv
import itertools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import katazome as package
from katazome.cli import training
from katazome.networks.decoders import open_decoder
from katazome.training.trainer import TrainingStep, train
from tests.cli.conftest import environment, files, ran, several
from tests.cli.learning import interrupted, same, scribbles

Katazome = Callable[..., int]
QUICK = ("--level", "2", "--side", "32", "--batch", "4", "--steps", "60", "--learning-rate", "0.005")


@pytest.fixture
def photos(folder: Path) -> Path:
    """Eleven pictures, one of them in colours and stripes below a folder, and one that is none."""
    return scribbles(folder, 11, (60, 50))


def test_a_decoder_and_its_use(photos: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    given: tuple[Any, ...] = ("train", "decoder", "--images", photos, "-o", "d.safetensors", *QUICK)
    given = (*given, "--terms", "drawn", "--samples-every", "20")
    assert katazome(*given) == 0
    told = capsys.readouterr().err
    assert "skipped: " in told
    assert "broken.jpg" in told
    assert "d.safetensors: relu2_1 from 11 pictures, after " in told
    made = open_decoder(Path("d.safetensors"))
    assert made.facts.terms == "drawn"
    assert made.facts.data == {"in": 12}
    assert made.facts.trunk["name"] == "tiny"
    assert set(made.facts.losses) == {"pixels", "features"}
    with Path("d.safetensors.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert Path("d.safetensors.svg").read_text().count("stroke-linejoin") == 2
    sheets = [name for name in files() if "samples" in name]
    assert sheets == [f"d.safetensors.samples-0000{step}.png" for step in ("20", "40", "60")]
    with Image.open(sheets[-1]) as image:
        assert image.size == (56, 100)  # one picture held out over what is made of it
    terms = [sum(float(row[term]) for term in ("pixels", "features")) for row in rows]
    assert sum(terms[-5:]) < sum(terms[:5])
    assert "d.safetensors.checkpoint" not in files()
    assert katazome(*given) == 1
    assert "is there already" in capsys.readouterr().err
    # and its use: the tiny network has no other decoder
    stylized = ("stylize", "photo.jpg", "painting.jpg", "--method", "wct", "--size", "64", "-o", "o.png")
    assert katazome(*stylized, "--decoders", "d.safetensors") == 2
    assert "adain-decoder reads the network vgg19, in use is tiny" in capsys.readouterr().err


def test_it_goes_on_where_it_was(
    photos: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("train", "decoder", "--images", photos, *QUICK)
    assert katazome(*given, "-o", "whole.safetensors") == 0

    interrupted(katazome, given, "d.safetensors", at=17)
    capsys.readouterr()
    assert katazome(*given, "-o", "d.safetensors", "--seed", "4") == 2
    assert "is where other training stands (its options differ)" in capsys.readouterr().err
    assert katazome(*given, "-o", "d.safetensors") == 0
    assert "going on after step 16 of 60" in capsys.readouterr().err
    assert same("whole.safetensors", "d.safetensors")


def test_a_loss_that_is_not_finite(
    photos: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program as a process says which term it was; from the checkpoint that is left it goes on."""

    def ended(*arguments: Any) -> Iterator[TrainingStep]:
        for step in train(*arguments):
            yield step
            if step.index == 9:
                raise KeyboardInterrupt

    short = (*QUICK[:-3], "20", *QUICK[-2:])
    given = ("train", "decoder", "--images", photos, *short, "--averaging", "0.9")
    assert katazome(*given, "-o", "whole.safetensors") == 0
    with monkeypatch.context() as patch:
        patch.setattr(training, "train", ended)
        assert katazome(*given, "-o", "d.safetensors", "--save-every", "0") == 130
    kept = Path("d.safetensors.checkpoint").read_bytes()
    broken = (*given, "-o", "d.safetensors", "--feature-weight", "1e39", "--save-every", "0")
    done = ran(*broken, tiny=True)
    assert done.returncode == 2
    assert b"--other-options goes on from there" in done.stderr
    done = ran(*broken, "--other-options", "--quiet", tiny=True)
    assert done.returncode == 1
    assert done.stderr.decode() == (
        "katazome: training failed at step 9 of 20: features is inf; take a smaller --learning-rate, "
        "or --clip. Step 8 is kept in d.safetensors.checkpoint: the same command with another "
        "--learning-rate and --other-options goes on from there\n"
    )
    assert Path("d.safetensors.checkpoint").read_bytes() == kept
    assert katazome(*given, "-o", "d.safetensors") == 0
    assert "going on after step 8 of 20" in capsys.readouterr().err
    whole, parts = (open_decoder(Path(f"{name}.safetensors")) for name in ("whole", "d"))
    for name, pair in whole.convs.items():
        for one, other in zip(pair, parts.convs[name], strict=True):
            assert torch.equal(one, other)


@pytest.mark.slow
def test_two_processes(photos: Path, katazome: Katazome) -> None:
    """Where the second is interrupted both end; gone on with, they make the decoder that one makes."""
    short = (*QUICK[:6], "--steps", "20", "--averaging", "0.9")
    given = ("train", "decoder", "--images", photos, *short)
    assert katazome(*given, "-o", "alone.safetensors") == 0
    before = set(files())

    def run(module: str) -> subprocess.CompletedProcess[str]:
        command = several(module, *given, "-o", "d.safetensors")
        return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=900)

    stopped = run("tests.cli.tiny_stopped")
    assert stopped.returncode != 0
    assert stopped.stderr.count("interrupted at step 7 of 20, which is kept in d.safetensors.checkpoint") == 1
    assert "something went wrong" not in stopped.stderr
    shown = {f"d.safetensors.samples-{step:06}.png" for step in range(2, 21, 2)}
    assert set(files()) - before - shown == {f"d.safetensors.{kind}" for kind in ("checkpoint", "csv", "svg")}
    done = run("tests.cli.tiny_program")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("going on after step 7 of 20") == 1
    assert done.stderr.count("d.safetensors: relu2_1 from 11 pictures") == 1
    assert {"d.safetensors", "d.safetensors.csv", "d.safetensors.svg", *shown} == set(files()) - before
    one, two = (open_decoder(Path(f"{name}.safetensors")).convs for name in ("alone", "d"))
    for name, pair in one.items():
        for a, b in zip(pair, two[name], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_what_diverges_is_not_kept(
    photos: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]
) -> None:
    """A first step of absurd length leaves weights that are finite, and of no use."""
    given = ("train", "decoder", "--images", photos, *QUICK[:-1], "1e30", "--save-every", "0")
    assert katazome(*given, "-o", "d.safetensors") == 1
    told = capsys.readouterr().err
    assert "training failed at step 2 of 60: pixels is" in told
    assert "is kept" not in told
    assert "d.safetensors.checkpoint" not in files()


def test_going_on_with_fewer_steps_than_were_made(
    photos: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*arguments: Any) -> Iterator[TrainingStep]:
        yield from itertools.islice(train(*arguments), 5)
        raise KeyboardInterrupt

    given = ("train", "decoder", "--images", photos, *QUICK[:-4], "-o", "d.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(training, "train", ended)
        assert katazome(*given, "--save-every", "0") == 130
    assert katazome(*given, "--steps", "3", "--other-options") == 2
    assert "stands after step 4; --steps is 3, give more" in capsys.readouterr().err
    assert katazome(*given, "--steps", "5", "--other-options") == 0
    assert open_decoder(Path("d.safetensors")).facts.options["steps"] == 5


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        ((), 2, "no file for the model was named"),
        (("-o", "d.pt"), 2, "a model is a .safetensors file"),
        (("-o", "nowhere/d.safetensors"), 1, "there is no folder 'nowhere'"),
        (("-o", "d.safetensors"), 2, "no pictures were named"),
        (("-o", "d.safetensors", "--images", "nowhere"), 2, "there is no folder 'nowhere'"),
        (("-o", "d.safetensors", "--level", "5"), 2, "level is 5; it must be 1..4"),
    ],
)
def test_what_cannot_be(
    given: tuple[str, ...],
    code: int,
    told: str,
    katazome: Katazome,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert katazome("train", "decoder", *given) == code
    assert told in capsys.readouterr().err


def test_pictures_of_which_none_can_be_read(
    folder: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "in").mkdir()
    (folder / "in/1.jpg").write_bytes(b"\xff\xd8\xff")
    given = ("train", "decoder", "--images", "in", "-o", "d.safetensors", *QUICK)
    assert katazome(*given) == 2
    assert "there is one picture" in capsys.readouterr().err
    (folder / "in/2.jpg").write_bytes(b"\xff\xd8\xff")
    assert katazome(*given) == 2
    assert "no picture of the folders can be read" in capsys.readouterr().err


def test_instant_methods_with_decoders_of_ones_own(
    katazome: Katazome, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from tests.tiny import tiny_decoders

    given: list[str] = []
    for weights in tiny_decoders():
        weights.write(tmp_path / f"{weights.facts.layer}.safetensors")
        given += ["--decoders", str(tmp_path / f"{weights.facts.layer}.safetensors")]
    for method in ("adain", "wct"):
        asked = ("stylize", "photo.jpg", "painting.jpg", "--method", method, "--size", "97", *given)
        assert katazome(*asked, "--tile", "64", "-o", f"{method}.png") == 0
        told = capsys.readouterr().err.splitlines()
        assert told[0].startswith("97 x 78 px in one pass")
        assert told[-1].startswith(f"{method}.png: 97 x 78 px after ")
        recipe = package.read_recipe(f"{method}.png")
        assert recipe is not None
        assert [w.name for w in recipe.weights][:2] == ["tiny", "decoder-relu4_1"]
        assert f"{method}.png.checkpoint" not in files()
        assert katazome(*asked, "--plan") == 0
        assert "in one pass" in capsys.readouterr().out

"""Pictures made by the program in this process, on the tiny network."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import katazome as package
from katazome.cli import drive, stylize
from katazome.cli.settings import Caller, ResumeSettings
from katazome.errors import MethodError, OutputError
from katazome.pictures.write import write
from tests.cli.conftest import files
from tests.tiny import tiny_vgg

Katazome = Callable[..., int]
QUICK = ("--size", "64", "--iterations", "3", "--precision", "float32")


def size_of(path: str | Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_a_picture_with_its_recipe(katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    assert katazome("stylize", "photo.jpg", "painting.jpg", "-o", "out.png", *QUICK, "--strength", ".7") == 0
    out, err = capsys.readouterr()
    assert not out
    first, *rest = err.splitlines()
    assert first.startswith("64 x 51 px by way of 64, 3 iterations, float32")
    assert "GiB and" in first
    assert rest[0].startswith("scale 1/1  64 x 51  iteration 1/3  ")
    assert " s left  style " in rest[0]
    assert rest[-1].startswith("out.png: 64 x 51 px after ")
    assert size_of("out.png") == (64, 51)
    recipe = package.read_recipe("out.png")
    assert recipe is not None
    assert recipe.options["strength"] == 0.7
    assert files() == ["out.png", "painting.jpg", "photo.jpg"]


def test_the_same_as_from_python(katazome: Katazome) -> None:
    assert katazome("stylize", "photo.jpg", "painting.jpg", "-o", "out.png", *QUICK, "--method", "gatys") == 0
    with package.Session(weights=tiny_vgg(), heap=False) as session:
        result = session.stylize(
            "photo.jpg", "painting.jpg", method="gatys", size=64, iterations=3, precision="float32"
        )
    assert np.array_equal(np.asarray(result.image), np.asarray(Image.open("out.png")))
    assert result.recipe == package.read_recipe("out.png")


def test_a_name_is_made_from_both_inputs(katazome: Katazome) -> None:
    assert katazome("stylize", "photo.jpg", "painting.jpg", *QUICK, "--quiet") == 0
    assert size_of("photo.painting.png") == (64, 51)
    grow = ("--size", "64", "--iterations", "2", "--quiet")
    assert katazome("texture", "painting.jpg", *grow) == 0
    assert size_of("painting.texture.png") == (64, 64)


def test_quiet_and_without_a_recipe(katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("stylize", "photo.jpg", "painting.jpg", "-o", "out.webp", *QUICK, "--quiet", "--no-recipe")
    assert katazome(*given) == 0
    assert capsys.readouterr() == ("", "")
    assert package.read_recipe("out.webp") is None


def test_sixteen_bits(katazome: Katazome) -> None:
    assert katazome("stylize", "photo.jpg", "painting.jpg", "-o", "o.png", *QUICK, "--depth", "16") == 0
    assert package.read("o.png").depth == 16


def test_nothing_is_replaced_unasked_and_no_work_is_begun(
    katazome: Katazome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("out.png").write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr(stylize, "Session", None)
        assert katazome("stylize", "photo.jpg", "painting.jpg", "-o", "out.png") == 1
    assert "'out.png' is there already" in capsys.readouterr().err
    assert Path("out.png").read_text() == "mine"
    assert katazome("stylize", "photo.jpg", "painting.jpg", "-o", "out.png", *QUICK, "--overwrite") == 0
    assert size_of("out.png") == (64, 51)


def test_a_checkpoint_of_earlier_work_is_not_replaced_unasked(
    katazome: Katazome, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out.png.checkpoint").write_text("mine")
    assert katazome("stylize", "photo.jpg", "painting.jpg", "-o", "out.png", *QUICK) == 1
    assert "katazome resume out.png.checkpoint" in capsys.readouterr().err
    assert Path("out.png.checkpoint").read_text() == "mine"


def test_plan_says_and_stops(katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    assert katazome("stylize", "photo.jpg", "painting.jpg", "--size", "640x512", "--plan") == 0
    out, _ = capsys.readouterr()
    assert out.startswith("640 x 512 px by way of 160 > 320 > 640, ")
    assert len(out.splitlines()) == 1
    assert files() == ["painting.jpg", "photo.jpg"]


def test_a_plan_beyond_memory_warns(
    katazome: Katazome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stylize, "free_memory", lambda _: 1 << 20)
    assert katazome("stylize", "photo.jpg", "painting.jpg", "-o", "out.png", *QUICK) == 0
    assert "warning: this needs about" in capsys.readouterr().err


def test_a_preview_is_small(katazome: Katazome) -> None:
    given = ("--preview", "--size", "2048", "--iterations", "1", "--scales", "1", "--quiet")
    assert katazome("stylize", "photo.jpg", "painting.jpg", "-o", "out.png", *given) == 0
    assert max(size_of("out.png")) == 256


def test_standard_streams(
    katazome: Katazome, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stdin:
        buffer = BytesIO(Path("painting.jpg").read_bytes())

    monkeypatch.setattr("sys.stdin", Stdin)
    assert katazome("stylize", "photo.jpg", "-", "-o", "-", *QUICK) == 0
    out, err = capfdbinary.readouterr()
    with Image.open(BytesIO(out)) as image:
        assert image.size == (64, 51)
        assert image.format == "PNG"
    assert b"standard output: 64 x 51 px" in err
    assert files() == ["painting.jpg", "photo.jpg"]


def test_starting_from_a_file(katazome: Katazome) -> None:
    Image.new("RGB", (30, 30), "red").save("red.png")
    base = ("stylize", "photo.jpg", "painting.jpg", *QUICK, "--quiet", "--iterations", "1", "--strength", "1")
    given = [a for a in base if a not in ("--iterations", "3")]
    assert katazome(*given[:-3], "--iterations", "1", "--init", "red.png", "-o", "a.png") == 0
    assert np.asarray(Image.open("a.png"))[..., 0].mean() > 250


def test_a_blend_of_two_styles_and_layers_by_short_names(katazome: Katazome) -> None:
    given = ("--blend", "3,1", "--style-layers", "relu1_1,r21", "-o", "out.png", "--quiet")
    assert katazome("stylize", "photo.jpg", "painting.jpg", "photo.jpg", *QUICK, *given) == 0
    recipe = package.read_recipe("out.png")
    assert recipe is not None
    assert recipe.options["blend"] == [3.0, 1.0]
    assert recipe.options["style_layers"] == ["relu1_1", "r21"]


def test_a_seamless_texture(katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("texture", "painting.jpg", "-o", "out.png", "--seamless", "both", "--iterations", "2")
    assert katazome(*given, "--size", "96x64") == 0
    assert size_of("out.png") == (96, 64)
    assert katazome(*given, "--size", "100x64", "--overwrite") == 2
    assert "must be a multiple of 16" in capsys.readouterr().err


def test_saving_on_the_way(katazome: Katazome, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[str] = []
    keep = drive.Sink.keep

    def watched(self: drive.Sink, step: package.Step) -> None:
        keep(self, step)
        kept.append(f"{step.index} {[f for f in files() if f.startswith('out')]}")

    monkeypatch.setattr(drive.Sink, "keep", watched)
    given = ("--size", "64", "--iterations", "8", "--save-every", "3", "-o", "out.png", "--quiet")
    assert katazome("stylize", "photo.jpg", "painting.jpg", *given) == 0
    assert kept == [f"{index} ['out.png', 'out.png.checkpoint']" for index in (3, 6)]
    assert not Path("out.png.checkpoint").exists()


def test_a_full_disk(
    katazome: Katazome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert katazome("stylize", "photo.jpg", "painting.jpg", "-o", "out.png", *QUICK, "--quiet") == 1
    err = capsys.readouterr().err
    assert "the disk is full: 'out.png' needs" in err
    assert len(err.splitlines()) == 1
    assert files() == ["painting.jpg", "photo.jpg"]


def test_a_result_that_cannot_be_written_is_not_lost(
    katazome: Katazome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Someone else's file appears under the name while the work goes on."""
    begin = drive.drive

    def late(sink: drive.Sink, *rest: object, **more: object) -> int:
        Path("out.png").write_text("theirs")
        return begin(sink, *rest, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(stylize, "drive", late)
        assert katazome("stylize", "photo.jpg", "painting.jpg", "-o", "out.png", *QUICK, "--quiet") == 1
    assert "katazome resume out.png.checkpoint -o FILE" in capsys.readouterr().err
    assert Path("out.png").read_text() == "theirs"
    assert katazome("resume", "out.png.checkpoint", "-o", "other.png", "--quiet") == 0
    assert size_of("other.png") == (64, 51)


def test_where_nothing_can_be_written_the_picture_is_kept_elsewhere(
    katazome: Katazome,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The disk fills up while the work goes on: neither a save on the way nor the end loses it."""
    other = tmp_path_factory.mktemp("other")
    monkeypatch.setattr(tempfile, "tempdir", str(other))

    def full(picture: Any, target: Any, **more: Any) -> Any:
        if not str(target).startswith(str(other)):
            raise OutputError(f"the disk is full: '{target}' needs more")
        return write(picture, target, **more)

    monkeypatch.setattr(drive, "write", full)
    monkeypatch.setattr(drive.Sink, "state", lambda *_: full(None, "the state"))
    given = ("--size", "64", "--iterations", "8", "--save-every", "3", "-o", "out.png")
    assert katazome("stylize", "photo.jpg", "painting.jpg", *given) == 1
    err = capsys.readouterr().err
    assert err.count("going on, what was saved before still stands") == 2
    (kept,) = other.iterdir()
    assert f"The work is not lost: the picture is in {kept}" in err
    assert size_of(str(kept)) == (64, 51)
    assert files() == ["painting.jpg", "photo.jpg"]


def interrupted(katazome: Katazome, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave ``out.png`` and its checkpoint behind."""
    with monkeypatch.context() as patch:
        patch.setattr(drive.Interrupt, "asked", property(lambda _: True, lambda *_: None), raising=False)
        assert katazome("stylize", "photo.jpg", "painting.jpg", "-o", "out.png", *QUICK, "--quiet") == 130
    assert files() == ["out.png", "out.png.checkpoint", "painting.jpg", "photo.jpg"]


def test_a_checkpoint_of_another_name_has_no_say_over_what_is_here(
    katazome: Katazome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(katazome, monkeypatch)
    shutil.copy("out.png.checkpoint", "copy.checkpoint")
    before = Path("out.png").read_bytes()
    assert katazome("resume", "copy.checkpoint", "--quiet") == 1
    assert "out.png" in capsys.readouterr().err
    Path("out.png").rename("kept.png")
    assert katazome("resume", "copy.checkpoint", "--quiet") == 1  # its end would remove the other's
    assert "'out.png.checkpoint' of earlier work is there" in capsys.readouterr().err
    Path("kept.png").rename("out.png")
    assert katazome("resume", "copy.checkpoint", "-o", "other.png", "--quiet") == 0
    assert Path("out.png").read_bytes() == before
    assert {"copy.checkpoint", "out.png.checkpoint", "other.png"} <= set(files())


def test_work_begun_anew_leaves_no_checkpoint_of_the_old(
    katazome: Katazome, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(katazome, monkeypatch)
    given = ("-o", "out.png", "--overwrite", *QUICK, "--quiet")
    assert katazome("stylize", "photo.jpg", "painting.jpg", *given) == 0
    assert files() == ["out.png", "painting.jpg", "photo.jpg"]


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_damaged_checkpoint_is_refused(
    katazome: Katazome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, place: float
) -> None:
    interrupted(katazome, monkeypatch)
    path = Path("out.png.checkpoint")
    data = bytearray(path.read_bytes())
    at = int(place * len(data))
    data[at : at + 8] = bytes(b ^ 0xFF for b in data[at : at + 8])
    path.write_bytes(data)
    assert katazome("resume", path, "--quiet") == 2
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    ],
)
def test_no_memory(
    katazome: Katazome,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(stylize, "drive", fail)
    assert katazome("stylize", "photo.jpg", "painting.jpg", "-o", "out.png", *QUICK, "--quiet") == 1
    err = capsys.readouterr().err
    assert "not enough memory" in err
    assert "--tile" in err
    assert "--size" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(("debug", "lines"), [("0", 1), ("1", 5)])
def test_a_traceback_only_for_those_who_ask(
    katazome: Katazome,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    debug: str,
    lines: int,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setenv("KATAZOME_DEBUG", debug)
    monkeypatch.setattr(stylize, "drive", fail)
    assert katazome("stylize", "photo.jpg", "painting.jpg", "-o", "out.png", *QUICK, "--quiet") == 1
    err = capsys.readouterr().err
    assert ("Traceback" in err) == (debug == "1")
    assert len(err.splitlines()) >= lines
    assert err.splitlines()[-1].startswith(
        "katazome: something went wrong that should not (ZeroDivisionError"
    )


def test_work_that_fails(
    katazome: Katazome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MethodError("it cannot be done")

    monkeypatch.setattr(stylize, "drive", fail)
    assert katazome("stylize", "photo.jpg", "painting.jpg", "-o", "out.png", *QUICK, "--quiet") == 1
    assert capsys.readouterr().err == "katazome: it cannot be done\n"


def test_what_is_odd_in_a_picture_is_said(
    katazome: Katazome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.open("photo.jpg").save("odd.jpg", icc_profile=b"nonsense")
    assert katazome("stylize", "odd.jpg", "painting.jpg", *QUICK) == 0
    assert "content 'odd': " in capsys.readouterr().err
    wide = ("--size", "120x60", "--iterations", "3", "--precision", "float32", "-o", "wide.png")
    assert katazome("stylize", "photo.jpg", "painting.jpg", *wide) == 0
    assert "stretched from 120 x 96 to 120 x 60 px" in capsys.readouterr().err


@pytest.mark.parametrize("broken", ["", "not a picture"])
def test_pictures_that_are_none(katazome: Katazome, capsys: pytest.CaptureFixture[str], broken: str) -> None:
    Path("broken.png").write_text(broken)
    assert katazome("stylize", "photo.jpg", "broken.png", *QUICK, "--quiet") == 2
    assert "broken.png" in capsys.readouterr().err


def test_a_style_of_one_flat_colour(katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (90, 90), "navy").save("flat.png")
    assert katazome("stylize", "photo.jpg", "flat.png", *QUICK, "--quiet") == 2
    assert "'flat' is one flat colour" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["nothing", "short", "other"])
def test_checkpoints_that_are_none(
    katazome: Katazome, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    path = Path("out.png.checkpoint")
    if content == "short":
        path.write_bytes(b"\x80\0\0\0\0\0\0\0{")
    elif content == "other":
        from safetensors.torch import save_file

        save_file({}, path, metadata={"katazome": '{"header": {"caller": {"shape": "round"}, "threads": 1}}'})
    assert katazome("resume", path) == 2
    err = capsys.readouterr().err
    assert str(path) in err
    assert len(err.splitlines()) == 1


def test_a_checkpoint_believes_no_folder(katazome: Katazome, folder: Path) -> None:
    settings = ResumeSettings()
    output, _ = stylize._resumed_output(folder / "x.checkpoint", Caller(output="/etc/passwd.png"), settings)
    assert output == str(folder / "passwd.png")

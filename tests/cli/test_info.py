"""info, compare and doctor."""

from __future__ import annotations

import getpass
import json
import platform
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from katazome.errors import WeightsError
from katazome.recipe import open_recipe
from katazome.weights import store
from tests.cli.conftest import ran

Katazome = Callable[..., int]
QUICK = ("--size", "64", "--iterations", "1", "--quiet")


def test_what_made_a_picture(katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    assert katazome("stylize", "photo.jpg", "painting.jpg", "-o", "out.png", *QUICK, "--strength", "0.7") == 0
    assert katazome("info", "out.png") == 0
    told = capsys.readouterr().out
    assert told.startswith(
        "out.png\n  method      gatys\n  options     iterations 1, size 64, strength 0.7\n"
    )
    assert "\n  style       120 x 96 px, SHA-256 " in told
    assert katazome("info", "out.png", "--json") == 0
    Path("look.json").write_text(capsys.readouterr().out)
    assert open_recipe("look.json") == open_recipe("out.png")
    assert katazome("info", "photo.jpg") == 2
    assert "katazome: 'photo.jpg' has no recipe in it" in capsys.readouterr().err
    assert katazome("info") == 2


def test_info_reads_standard_input(folder: Path) -> None:
    done = ran("info", "-", given=Path("photo.jpg").read_bytes())
    assert done.returncode == 2
    assert b"standard input has no recipe in it" in done.stderr


def test_what_differs(katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    for strength in ("0.3", "0.7"):
        given = ("stylize", "photo.jpg", "painting.jpg", "-o", f"{strength}.png", *QUICK)
        assert katazome(*given, "--strength", strength) == 0
    capsys.readouterr()
    assert katazome("compare", "0.3.png", "0.7.png", "photo.jpg", "-o", "sheet.png", "--cell", "64") == 0
    assert capsys.readouterr().out.splitlines() == [
        "0.3.png: strength 0.3",
        "0.7.png: strength 0.7",
        "photo.jpg: no recipe in it",
    ]
    with Image.open("sheet.png") as sheet:
        assert sheet.width == 12 + 3 * 76
    assert katazome("compare", "0.3.png", "0.7.png", "-o", "sheet.png") == 1  # it is there already
    assert katazome("compare", "0.3.png") == 2
    assert katazome("compare", "0.3.png", "0.7.png", "--cell", "9") == 2


def test_the_doctor_tells_nothing_of_the_person(
    katazome: Katazome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KATAZOME_HOME", str(tmp_path / "home"))
    assert katazome("doctor", "--json") == 0
    told = capsys.readouterr().out
    report = json.loads(told)
    assert report["weights"]["vgg19"] == "not here yet: katazome weights fetch vgg19"
    assert report["environment"]["KATAZOME_HOME"] == "set"
    assert report["wrong"] == []
    words = {getpass.getuser(), platform.node()} - {"root", ""}
    assert not [word for word in words if re.search(rf"\b{re.escape(word)}\b", told)]
    assert "/" not in told.replace("pip install 'katazome", "")


def test_the_doctor_finds_damaged_weights(
    katazome: Katazome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.fetch("u2netp")
    kept = {entry.name: record for entry, record in store.listing()}["u2netp"]
    assert kept is not None

    def damaged(name: str) -> store.Kept:
        raise WeightsError(f"{kept.path} is damaged")

    monkeypatch.setattr(store, "verify", damaged)
    monkeypatch.setattr("katazome.cli.doctor._speed", lambda wrong: {})
    assert katazome("doctor") == 1
    told = capsys.readouterr().out
    assert "u2netp" in told
    assert "DAMAGED" in told
    assert str(kept.path.parent) not in told

"""What the tutorials say is done: their commands as a process, their Python in this one.

On their own pictures, but small and short; and on the tiny network, except for the methods of one pass, whose
decoders read the real one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from katazome import api
from katazome.api import DEFAULT_METHOD
from katazome.cli import declare
from katazome.cli.main import app, classes_named, rewritten
from katazome.weights import store
from tests.cli.conftest import environment
from tests.docs.pages import PAGES, ROOT, TUTORIALS, blocks, commands, name_of
from tests.materials import coloured, draw_classes
from tests.tiny import tiny_vgg

REAL = {"instant"}
SHORT = {
    "train segmenter": "--layer relu3_2 --side 64 --steps 40 --batch 8 --learning-rate 0.05",
    "attribute": "--size 64 --iterations 3 --neighbours 5",
    "": "--size 160 --iterations 3",
}
"""What makes a command small and short, by its beginning, where it has these options."""

FACES = "# faces\n#\tperson\timagenum\tSmiling\tEyeglasses\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures of the repository, and what the tutorials ask their reader to have."""
    folder = tmp_path_factory.mktemp("tutorials") / "pictures"
    shutil.copytree(ROOT / "examples/pictures", folder)
    draw_classes(folder / "materials")
    Image.fromarray(coloured(np.random.default_rng(3), 0, 96, 96)).save(folder / "jacket.jpg")
    (folder / "lfw").mkdir()
    rows = [FACES]
    with Image.open(folder / "astronaut.jpg") as face:
        for number in range(12):
            person, has = chr(ord("A") + number), number % 2
            image = face.crop((number, 0, 400 + number, 400)).resize((250, 250))
            ImageEnhance.Brightness(image).enhance(0.8 + 0.03 * number).save(
                folder / f"lfw/{person}_Lee_0001.jpg"
            )
            rows.append(f"{person} Lee\t1\t{0.05 + 0.9 * has}\t{0.95 - 0.9 * has}\n")
    (folder / "lfw/lfw_attributes.txt").write_text("".join(rows))
    return folder


@pytest.fixture
def here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, current; features are kept there, weights are the user's."""
    here = tmp_path / "pictures"
    shutil.copytree(folder, here)
    weights = store.home() / "weights"
    weights.mkdir(parents=True, exist_ok=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home/weights").symlink_to(weights)
    monkeypatch.setenv("KATAZOME_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KATAZOME_HEAP", "0")
    monkeypatch.chdir(here)
    return here


def short(words: Sequence[str]) -> list[str]:
    """Return a command line with options that make it small and short, in place of its own."""
    classes = classes_named(words)
    if classes is None:
        return list(words)
    command = " ".join(words[:2]) if words[0] == "train" else words[0]
    options = SHORT.get(command, SHORT[""]).split()
    out = list(words)
    method = out[out.index("--method") + 1] if "--method" in out else DEFAULT_METHOD
    own = {name: cls for name, cls in classes.items() if method not in classes or name in ("", method)}
    known = {option.flag for option in declare.declared(own).values()}
    for flag, value in zip(options[::2], options[1::2], strict=True):
        if flag in out:
            del out[out.index(flag) : out.index(flag) + 2]
        out += [flag, value] if flag in known else []
    return out


def outputs(words: Sequence[str]) -> list[Path]:
    """Return the files and folders that a command line says it writes."""
    _, bound, _ = app.parse_args(rewritten(words), print_error=False, exit_on_error=False)
    given = (bound.arguments.get(name) for name in ("output", "overlay"))
    return [Path(path) for path in given if path is not None]


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=name_of)
def test_its_commands_work(page: Path, here: Path) -> None:
    lines = [short(command.words) for command in commands(page)]
    assert len(lines) >= 4
    program = [sys.executable, "-m", "tests.docs.tutorial_program"]
    tiny = [] if page.stem in REAL else ["--tiny"]
    done = subprocess.run(
        [*program, *tiny],
        input=json.dumps(lines).encode(),
        capture_output=True,
        timeout=600,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr.decode()
    written = [path for words in lines for path in outputs(words)]
    assert written
    assert [str(path) for path in written if not path.exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=name_of)
def test_its_python_works(page: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if page.stem not in REAL:
        monkeypatch.setattr(api, "open_vgg", lambda *_: tiny_vgg())
    before = set(here.iterdir())
    found = [block for block in blocks(page) if block.language == "python"]
    assert found
    for block in found:
        exec(compile("\n".join(block.lines), f"{page}:{block.line}", "exec"), {})
    assert {path.suffix for path in set(here.iterdir()) - before} == {".png"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_is_python(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            compile("\n".join(block.lines), f"{page}:{block.line}", "exec")

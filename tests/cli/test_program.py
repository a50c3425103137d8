"""The real program as a process, some of it with the real network."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

import katazome
from tests.cli.conftest import environment, files, program, ran

REAL = ("stylize", "photo.jpg", "painting.jpg", "--size", "96", "--precision", "float32", "--quiet")


def test_version_and_help_are_quick() -> None:
    began = time.perf_counter()
    done = ran("--version")
    assert done.stdout.decode().strip() == katazome.__version__
    assert ran("--help").stdout.count(b"katazome") >= 2
    assert ran().stdout.startswith(b"Usage: katazome COMMAND")
    assert time.perf_counter() - began < 10  # about one second on a machine that does nothing else


@pytest.mark.parametrize(
    "arguments",
    ["['--version']", "['--help']", "['weights', 'list']", "['weights', 'verify']", "['wieghts']"],
)
def test_what_needs_no_torch_does_not_wait_for_it(arguments: str) -> None:
    code = f"import sys; from katazome.cli.main import main; main({arguments}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment(), check=True)
    assert done.stdout.splitlines()[-1] == b"False"


def test_the_entry_point_is_installed() -> None:
    beside = Path(sys.executable).with_name("katazome")
    assert subprocess.run([beside, "--version"], capture_output=True, check=True).stdout


@pytest.mark.usefixtures("vgg")
def test_the_real_network_through_pipes(folder: Path) -> None:
    given = Path("painting.jpg").read_bytes()
    done = ran(
        "stylize", "photo.jpg", "-", "-o", "-", "--image-size=96", "--num_iterations", "2", given=given
    )
    assert done.returncode == 0, done.stderr
    with Image.open(io.BytesIO(done.stdout)) as image:
        assert image.size == (96, 77)
    lines = done.stderr.decode().splitlines()
    assert lines[0].startswith("96 x 77 px by way of 96, 2 iterations")
    assert all(len(line) < 200 for line in lines)


@pytest.mark.slow
@pytest.mark.usefixtures("vgg")
def test_the_real_network_resumes_to_the_same_picture(folder: Path) -> None:
    whole = ran(*REAL, "--iterations", "4", "-o", "whole.png")
    assert whole.returncode == 0, whole.stderr
    with subprocess.Popen(
        program(*REAL, "--iterations", "4", "-o", "out.png", "--save-every", "1"),
        stderr=subprocess.DEVNULL,
        env=environment(),
    ) as process:
        until = time.monotonic() + 90
        while not Path("out.png.checkpoint").exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        process.kill()
    if Path("out.png.checkpoint").exists():  # else it was too quick for us
        done = ran("resume", "out.png.checkpoint")
        assert done.returncode == 0, done.stderr
    assert Path("out.png").read_bytes() == Path("whole.png").read_bytes()


def test_a_reader_that_goes_away(folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    given = (
        "stylize",
        "photo.jpg",
        "painting.jpg",
        "-o",
        "-",
        "--size",
        "64",
        "--iterations",
        "1",
        "--quiet",
    )
    with subprocess.Popen(
        program(*given, tiny=True), stdout=writing, stderr=subprocess.PIPE, env=environment()
    ) as process:
        os.close(writing)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert not err


def test_no_room_on_the_disk(folder: Path) -> None:
    given = ("stylize", "photo.jpg", "painting.jpg", "-o", "out.png", "--size", "96", "--iterations", "2")
    done = subprocess.run(
        program(*given, "--quiet", tiny=True),
        capture_output=True,
        timeout=60,
        env=environment(PYTHONDONTWRITEBYTECODE="1"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"katazome: 'out.png' cannot be written: ")
    assert len(done.stderr.splitlines()) == 1
    assert files() == ["painting.jpg", "photo.jpg"]


def test_no_memory(folder: Path) -> None:
    """The process may take two gibibytes, the work needs more."""
    code = (
        "import resource\n"
        "from katazome.cli import stylize\n"
        "from katazome.cli.main import run\n"
        "from tests.tiny import tiny_vgg\n"
        "stylize.open_vgg = lambda *_, **__: tiny_vgg()\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))\n"
        "run()\n"
    )
    given = ("stylize", "photo.jpg", "painting.jpg", "-o", "out.png", "--size", "6000", "--scales", "1")
    done = subprocess.run(
        [sys.executable, "-c", code, *given, "--tile", "off", "--quiet"],
        capture_output=True,
        timeout=100,
        env=environment(),
    )
    assert done.returncode == 1
    assert b"not enough memory" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert files() == ["painting.jpg", "photo.jpg"]


def on_a_terminal(*arguments: str, **env: str) -> tuple[int, str]:
    """Run the program with a terminal as its standard error."""
    import pty

    here, there = pty.openpty()
    with subprocess.Popen(
        program(*arguments, tiny=True),
        stdout=subprocess.DEVNULL,
        stderr=there,
        env=environment(COLUMNS="80", **env),
    ) as process:
        os.close(there)
        told = b""
        while True:
            try:
                piece = os.read(here, 4096)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            told += piece
        process.wait(timeout=60)
    os.close(here)
    return process.returncode, told.decode()


def test_a_bar_on_a_terminal_in_colour_or_not(folder: Path) -> None:
    given = ("stylize", "photo.jpg", "painting.jpg", "--size", "96", "--iterations", "30", "--overwrite")
    code, told = on_a_terminal(*given, "-o", "out.png")
    assert code == 0
    assert "━" in told
    assert "\x1b[2K" in told
    assert "\x1b[9" in told
    assert "iteration 30/30" in told
    code, plain = on_a_terminal(*given, "-o", "out.png", NO_COLOR="1")
    assert code == 0
    assert "━" in plain
    assert "\x1b[9" not in plain
    assert "\r\n" not in told.partition("━")[2].rpartition("out.png")[0]  # it stays in its line
    code, dumb = on_a_terminal(*given, "-o", "out.png", TERM="dumb")
    assert code == 0
    assert "\x1b" not in dumb


def test_a_picture_is_not_poured_into_a_terminal(folder: Path) -> None:
    import pty

    here, there = pty.openpty()
    done = subprocess.run(
        program("stylize", "photo.jpg", "painting.jpg", "-o", "-"),
        stdout=there,
        stderr=subprocess.PIPE,
        env=environment(),
        timeout=60,
    )
    os.close(there)
    os.close(here)
    assert done.returncode == 2
    assert b"standard output is the terminal" in done.stderr

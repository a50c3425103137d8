"""The program in this process and as a process, on small pictures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from PIL import Image

from katazome.cli import settings
from katazome.cli.main import main
from tests.tiny import tiny_vgg

ROOT = Path(__file__).parents[2]

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Let processes hear signals that this one was started deaf to: by nohup, or in the background."""
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGHUP, hangup)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with ``photo.jpg`` and ``painting.jpg`` in it."""
    for source, name in (("coffee.jpg", "photo.jpg"), ("wheat_field.jpg", "painting.jpg")):
        with Image.open(ROOT / "examples/pictures" / source) as image:
            image.resize((120, 96)).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def katazome(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """The program in this process, with the tiny network; returns the exit code."""
    monkeypatch.setattr(settings, "open_vgg", lambda *_, **__: tiny_vgg())
    monkeypatch.setenv("KATAZOME_HEAP", "0")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield lambda *arguments: main([str(a) for a in arguments])
    torch.set_num_threads(threads)


def files() -> list[str]:
    """The names in the current folder."""
    return sorted(path.name for path in Path.cwd().iterdir())


def environment(**more: str) -> dict[str, str]:
    """The variables of a process: one thread, so that a busy machine does not slow it down tenfold."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "100",
        "TERM": "xterm",
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "src"))),
        **more,
    }


def program(*arguments: object, tiny: bool = False) -> list[str]:
    """The command line of the program as a process."""
    start = ["-m", "tests.cli.tiny_program"] if tiny else ["-m", "katazome.cli.main"]
    return [sys.executable, *start, *(str(a) for a in arguments)]


def several(module: str, *arguments: object) -> list[str]:
    """The command line of a module as two processes that train together."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", module]
    return [sys.executable, *start, *(str(a) for a in arguments)]


def ran(
    *arguments: object, tiny: bool = False, given: bytes = b"", **env: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the program as a process to its end."""
    return subprocess.run(
        program(*arguments, tiny=tiny), input=given, capture_output=True, timeout=120, env=environment(**env)
    )


def children(parent: int) -> list[int]:
    """The processes that serve, but for multiprocessing's own helper."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found += (
                    [int(stat.parent.name)] if b"spawn_main" in stat.with_name("cmdline").read_bytes() else []
                )
    return found


@pytest.fixture
def many(folder: Path) -> Path:
    """Three photographs and two looks."""
    for name in ("photos", "looks"):
        Path(name).mkdir()
    with Image.open("photo.jpg") as photo, Image.open("painting.jpg") as painting:
        for turned in range(3):
            photo.rotate(90 * turned, expand=True).save(f"photos/p{turned}.png")
        painting.save("looks/wheat.png")
        painting.rotate(180).save("looks/taehw.png")
    return folder


def wait_until(happened: Callable[[], object], seconds: float = 100) -> None:
    """Look again and again until something has happened; fail where it does not."""
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, f"it has not happened in {seconds} s"
        time.sleep(0.01)

"""Interruptions of the real process: what is kept, and that going on ends with the same picture."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import environment, files, program, ran

WORK = ("stylize", "photo.jpg", "painting.jpg", "--size", "128", "--scales", "2", "--precision", "float32")
LONG = (*WORK, "--iterations", "120")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return {}


@pytest.fixture
def expected(folder: Path, uninterrupted: dict[str, bytes]) -> bytes:
    """The file of the uninterrupted work, made once."""
    if not uninterrupted:
        done = ran(*LONG, "-o", "whole.png", "--quiet", tiny=True)
        assert done.returncode == 0, done.stderr
        uninterrupted["png"] = Path("whole.png").read_bytes()
        Path("whole.png").unlink()
    return uninterrupted["png"]


def begun(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        program(*arguments, tiny=True), stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    )


def wait_for_line(process: subprocess.Popen[bytes], start: bytes) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(start):
            return
    pytest.fail("the process ended too early")


def wait_for_file(process: subprocess.Popen[bytes], path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    assert path.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_keeps_picture_and_checkpoint(expected: bytes, number: signal.Signals) -> None:
    with begun(*LONG, "-o", "out.png") as process:
        wait_for_line(process, b"scale 2/2")
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"To go on: katazome resume out.png.checkpoint" in err
    assert b"Traceback" not in err
    assert files() == ["out.png", "out.png.checkpoint", "painting.jpg", "photo.jpg"]
    assert Path("out.png").read_bytes() != expected
    # nothing else is needed to go on
    Path("photo.jpg").unlink()
    Path("painting.jpg").unlink()
    done = ran("resume", "out.png.checkpoint", tiny=True)
    assert done.returncode == 0, done.stderr
    assert Path("out.png").read_bytes() == expected
    assert files() == ["out.png"]


def test_killed_at_any_moment(expected: bytes) -> None:
    checkpoint = Path("out.png.checkpoint")
    arguments: tuple[str, ...] = (*LONG, "-o", "out.png", "--save-every", "10")
    for pause in (0.0, 0.35):
        with begun(*arguments) as process:
            if arguments[0] == "resume":
                wait_for_line(process, b"scale")
            else:
                wait_for_file(process, checkpoint)
            time.sleep(pause)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        arguments = ("resume", str(checkpoint))
    done = ran(*arguments, tiny=True)
    assert done.returncode == 0, done.stderr
    assert Path("out.png").read_bytes() == expected
    assert not checkpoint.exists()


def test_a_second_interruption_ends_at_once() -> None:
    """In this process, where the moments can be chosen."""
    from katazome.cli.drive import Interrupt

    before = signal.getsignal(signal.SIGINT)
    with Interrupt(quiet=True) as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interruption_before_the_work(folder: Path) -> None:
    os.mkfifo("pipe.png")
    with begun("stylize", "photo.jpg", "pipe.png", "-o", "out.png") as process:
        handle = os.open("pipe.png", os.O_WRONLY)  # returns when the program reads
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        os.close(handle)
    assert process.returncode == 130
    assert err == b"katazome: interrupted\n"
    assert not Path("out.png").exists()

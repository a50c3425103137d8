"""One picture shared by two processes, as a person asks for it: the same picture, one end for all."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import environment, files, program, ran, several
from tests.cli.test_interrupted import wait_for_line

Katazome = Callable[..., int]
WORK = ("stylize", "photo.jpg", "painting.jpg", "--size", "256", "--scales", "2", "--precision", "float32")
SHORT = (*WORK, "--iterations", "8")
LONG = (*WORK, "--iterations", "2000")
TOGETHER = ("--devices", "cpu,cpu")


def pixels(name: str) -> np.ndarray:
    with Image.open(name) as image:
        return np.asarray(image).astype(int)


def begun(*arguments: str) -> subprocess.Popen[bytes]:
    """The program in a group of its own, as a terminal has it."""
    return subprocess.Popen(
        program(*arguments, tiny=True),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
    )


def helper_of(process: subprocess.Popen[bytes]) -> int:
    """The id of the process that it has started to help."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (helper,) = [c for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes()]
    return int(helper)


def gone(number: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{number}/stat").read_text()
    except FileNotFoundError:
        return True


@pytest.mark.slow
def test_two_processes_make_the_picture_of_one(
    folder: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]
) -> None:
    assert katazome(*SHORT, "-o", "one.png") == 0
    done = ran(*SHORT, *TOGETHER, "-o", "two.png", tiny=True)
    assert done.returncode == 0, done.stderr
    assert b"1 threads, 2 processes: about" in done.stderr
    assert np.abs(pixels("one.png") - pixels("two.png")).max() <= 2
    capsys.readouterr()
    assert katazome("info", "two.png") == 0
    assert "2 processes with 1 thread each" in capsys.readouterr().out
    assert katazome("replay", "two.png", "photo.jpg", "--style", "painting.jpg", "-o", "again.png") == 0
    assert "processes 1 (was 2)" in capsys.readouterr().err
    assert files() == ["again.png", "one.png", "painting.jpg", "photo.jpg", "two.png"]


@pytest.mark.slow
def test_torchrun_is_noticed_and_an_interruption_of_one_is_one_of_all(folder: Path) -> None:
    def run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = several(module, *arguments)
        return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300)

    stopped = run("tests.cli.tiny_stopped", *SHORT, "-o", "out.png")
    assert stopped.returncode != 0
    assert stopped.stderr.count("To go on: katazome resume out.png.checkpoint") == 1
    assert "something went wrong" not in stopped.stderr
    assert files() == ["out.png", "out.png.checkpoint", "painting.jpg", "photo.jpg"]
    # gone on with by processes that it starts itself, to what they make without an interruption
    done = ran("resume", "out.png.checkpoint", *TOGETHER, tiny=True)
    assert done.returncode == 0, done.stderr
    whole = ran(*SHORT, *TOGETHER, "-o", "whole.png", "--quiet", tiny=True)
    assert whole.returncode == 0, whole.stderr
    assert Path("out.png").read_bytes() == Path("whole.png").read_bytes()


@pytest.mark.slow
def test_a_helper_that_dies_ends_the_work_with_a_sentence(folder: Path) -> None:
    with begun(*LONG, *TOGETHER, "-o", "out.png") as process:
        wait_for_line(process, b"scale")
        os.kill(helper_of(process), signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"katazome: process 2 of 2 (cpu) has failed, and with it the work: it was killed" in err
    assert b"Traceback" not in err
    assert files() == ["painting.jpg", "photo.jpg"]


@pytest.mark.slow
def test_helpers_end_with_the_leader(folder: Path) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        with begun(*LONG, *TOGETHER, "-o", f"{number}.png") as process:
            wait_for_line(process, b"scale")
            helper = helper_of(process)
            if number == signal.SIGINT:
                os.killpg(process.pid, number)
            else:
                process.kill()
            _, err = process.communicate(timeout=60)
        until = time.monotonic() + 20
        while not gone(helper) and time.monotonic() < until:
            time.sleep(0.05)
        assert gone(helper)
        if number == signal.SIGINT:
            assert process.returncode == 130
            assert f"To go on: katazome resume {number}.png.checkpoint".encode() in err
            assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--devices", "cpu"), "devices names one, cpu"),
        (("--devices", "cpu,auto"), "devices has 'auto' in it"),
        (("--devices", "cpu,card"), "'card'"),
        (("--devices", "cpu,cuda:7"), "'cuda:7' is not on this machine"),
        (("--devices", "cpu,cpu", "--device", "cpu"), "device and devices both say"),
        (("--devices", "cpu,cpu", "--size", "96"), "2 processes cannot share this"),
    ],
)
def test_what_cannot_be_shared_is_refused(
    katazome: Katazome, capsys: pytest.CaptureFixture[str], given: tuple[str, ...], said: str
) -> None:
    assert katazome("stylize", "photo.jpg", "painting.jpg", "-o", "out.png", *given) == 2
    assert said in capsys.readouterr().err
    assert files() == ["painting.jpg", "photo.jpg"]


def test_each_card_once_and_one_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    from katazome.errors import OptionError
    from katazome.jobs.together import check_devices

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [device.index for device in check_devices(["cuda:0", "cuda:1"])] == [0, 1]
    with pytest.raises(OptionError, match="can be named once"):
        check_devices(["cuda", "cuda:0"])
    with pytest.raises(OptionError, match="cpu and cuda"):
        check_devices(["cuda:0", "cpu"])


def test_a_batch_shares_out_pictures(katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    assert katazome("batch", "photo.jpg", "--style", "painting.jpg", "-o", "out", *TOGETHER) == 2
    assert "--workers" in capsys.readouterr().err

"""Runs of a batch as processes: interrupted, killed, side by side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from katazome.jobs.lock import only_run
from katazome.recipe import open_recipe
from tests.cli.batches import LONG, MANY, made
from tests.cli.conftest import children, environment, needs_proc, program, ran, wait_until

Katazome = Callable[..., int]


@pytest.mark.slow
def test_an_interrupted_run_goes_on_in_the_middle_of_a_picture(many: Path) -> None:
    slow = ("batch", "photos", "--style", "looks/wheat.png", "-o", "out", *LONG, "150", "--save-every", "5")
    whole = list(slow)
    whole[whole.index("out")] = "whole"
    assert ran(*whole, tiny=True).returncode == 0
    with subprocess.Popen(program(*slow, tiny=True), stderr=subprocess.PIPE, env=environment()) as process:
        # one is made, and it stands in the middle of another
        wait_until(lambda: made() and list(Path("out/batch/done").glob("*.checkpoint")))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert 1 <= len(made()) < 3
    assert list(Path("out/batch/done").glob("*.checkpoint"))
    done = ran(*slow, tiny=True)
    assert done.returncode == 0, done.stderr
    assert not list(Path("out/batch/done").glob("*.checkpoint"))
    assert made() == {p.name: p.read_bytes() for p in Path("whole").glob("*.png")}


@pytest.mark.slow
@needs_proc
def test_workers_one_of_which_is_killed(many: Path) -> None:
    """Nothing is lost, nothing is done twice, and the pixels are those of one process."""
    given = ["batch", "photos", "--style", "looks", "-o", "out", *LONG, "60", "--threads", "1"]
    alone = list(given)
    alone[alone.index("out")] = "alone"
    assert ran(*alone, tiny=True).returncode == 0
    with subprocess.Popen(
        program(*given, "--workers", "2", tiny=True), stderr=subprocess.PIPE, env=environment()
    ) as process:
        wait_until(made)
        before = {p.name: p.stat().st_mtime_ns for p in Path("out").glob("*.png")}
        os.kill(children(process.pid)[0], signal.SIGKILL)
        _, told = process.communicate(timeout=100)
    assert process.returncode == 0, told
    assert made() == {p.name: p.read_bytes() for p in Path("alone").glob("*.png")}
    assert len(made()) == 6
    assert {name: (Path("out") / name).stat().st_mtime_ns for name in before} == before


def test_threads_are_those_of_the_manifest(
    katazome: Katazome, many: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("batch", "photos", "--style", "looks/wheat.png", "-o", "out", *LONG, "1")
    torch.set_num_threads(2)
    assert katazome(*given, "--part", "1/2") == 0
    torch.set_num_threads(1)
    assert katazome(*given, "--part", "2/2") == 0
    assert {open_recipe(p).threads for p in Path("out").glob("*.png")} == {2}


def test_two_runs_at_the_same_work(
    katazome: Katazome, many: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert katazome(*MANY, "--part", "1/2") == 0
    with only_run(Path("out/batch"), (2, 2)):
        assert katazome(*MANY, "--part", "2/2") == 1
        assert "another run is at work in 'out/batch'; wait for it to end" in capsys.readouterr().err
        assert katazome(*MANY, "--part", "1/2") == 0  # the other part's
        assert katazome(*MANY) == 1  # of which the other part is a part
        assert "another run is at work" in capsys.readouterr().err
        assert katazome(*MANY, "--plan") == 0
    assert katazome(*MANY, "--part", "2/2") == 0
    rows = [len(Path(f"out/batch/table-{n}-of-2.csv").read_text().splitlines()) for n in (1, 2)]
    assert rows == [4, 4]


def test_a_run_that_was_killed_is_in_nobody_s_way(katazome: Katazome, many: Path) -> None:
    hold = (
        "import sys; from pathlib import Path; from katazome.jobs.lock import only_run\n"
        "with only_run(Path('out/batch'), (1, 1)): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == b"held"
        assert katazome(*MANY) == 1
        other.kill()
    assert katazome(*MANY) == 0

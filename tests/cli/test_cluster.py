"""Work on a Ray cluster of two nodes, one of which is killed; runs where Ray is installed and starts."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from katazome.filters.record import Rank
from katazome.jobs.cluster import on_ray, sent_by_ray
from katazome.jobs.local import Painter
from katazome.jobs.manifest import Case, Figures
from tests.cli.conftest import environment, program, ran, wait_until
from tests.filters import equal
from tests.tiny import tiny_vgg

GIVEN = ("batch", "photos", "--style", "painting.jpg", "-o", "out", "--size", "64", "--precision", "float32")
LONG = (*GIVEN, "--iterations", "60", "--threads", "1", "--quiet")
has_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")


@pytest.fixture
def many(folder: Path) -> Path:
    """Eight photographs."""
    Path("photos").mkdir()
    with Image.open("photo.jpg") as photo:
        for number in range(8):
            photo.rotate(45 * number, fillcolor="white").save(f"photos/p{number}.png")
    return folder


def made() -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(Path("out").glob("*.png"))}


@pytest.fixture
def cluster(many: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster of two nodes on this machine, with a processor each."""
    tool = pytest.importorskip("ray.cluster_utils")
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    small = {"num_cpus": 1, "object_store_memory": 200 << 20, "include_dashboard": False}
    try:
        found = tool.Cluster(initialize_head=True, head_node_args=small)
    except Exception as error:  # of Ray's, before anything of ours: a sandbox without ports, say
        if os.environ.get("CI", "").lower() == "true":
            raise
        pytest.skip(f"Ray starts no cluster on this machine: {error}")
    yield found
    found.shutdown()


def test_without_ray_it_says_how_to_get_it(
    many: Path,
    katazome: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    assert katazome(*GIVEN, "--iterations", "1", "--on", "ray", "--quiet") == 1
    assert "--on ray needs ray, which is not here" in capsys.readouterr().err
    assert katazome(*GIVEN, "--on", "kubernetes") == 2
    assert "on is 'kubernetes'; it must be ray or ray:ADDRESS" in capsys.readouterr().err
    assert katazome(*GIVEN, "--on", "ray", "--workers", "2") == 2
    assert "both say who does the work" in capsys.readouterr().err
    assert katazome(*GIVEN, "--send") == 2
    assert "send is for a cluster's machines; add --on ray" in capsys.readouterr().err
    assert katazome(*GIVEN, "--on", "ray", "--send", "--save-every", "10") == 2
    assert "in a folder that all machines reach" in capsys.readouterr().err


@has_ray
@pytest.mark.slow
def test_a_cluster_that_is_not_there(many: Path) -> None:
    done = ran(*LONG, "--on", "ray:127.0.0.1:9", tiny=True)
    assert done.returncode == 1, done.stderr
    assert b"there is no Ray cluster at '127.0.0.1:9'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@has_ray
@pytest.mark.slow
@pytest.mark.parametrize("way", [(), ("--send",)], ids=["shared folders", "sent"])
def test_a_node_is_killed(cluster: Any, way: tuple[str, ...]) -> None:
    """Nothing is lost, nothing is done twice, and the pixels are those of one machine."""
    second = cluster.add_node(num_cpus=1, object_store_memory=200 << 20)
    cluster.wait_for_nodes()
    alone = list(LONG)
    alone[alone.index("out")] = "alone"
    assert ran(*alone, tiny=True).returncode == 0
    records: Counter[str] = Counter()
    seen: dict[str, int] = {}
    with subprocess.Popen(
        program(*LONG, "--on", f"ray:{cluster.address}", *way, tiny=True),
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        killed, until = False, time.monotonic() + 100
        while process.poll() is None and time.monotonic() < until:
            for record in Path("out/batch/done").glob("*.json"):
                when = record.stat().st_mtime_ns
                if seen.get(record.name) != when:
                    seen[record.name] = when
                    records[record.name] += 1
            if len(seen) >= 2 and not killed:
                cluster.remove_node(second, allow_graceful=False)
                killed = True
            time.sleep(0.01)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert killed
    assert len(made()) == 8
    assert made() == {p.name: p.read_bytes() for p in Path("alone").glob("*.png")}
    assert set(records.values()) == {1}


@has_ray
@pytest.mark.slow
def test_a_folder_that_the_cluster_does_not_reach(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getcwd", lambda: "/nowhere/here")
    painter = Painter(Path("out"), tiny_vgg())
    (outcome,) = on_ray(painter, [Case("a", {"threads": 1})], lambda: False, cluster.address)
    assert outcome.failed.startswith("a machine of the cluster does not reach the folder '/nowhere/here'")
    assert not outcome.hopeless


@has_ray
@pytest.mark.slow
def test_more_threads_than_a_machine_has(cluster: Any) -> None:
    done = ran(*LONG[:-3], "--threads", "2", "--on", f"ray:{cluster.address}", "--quiet", tiny=True)
    assert done.returncode == 1
    assert b"2 threads need as many processors, and the largest machine of the cluster has 1;" in done.stderr


@has_ray
@pytest.mark.slow
def test_what_was_sent_is_tidied_up_when_it_is_given_up(cluster: Any, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (tmp_path / "sent").write_bytes(b"of a user")
    case = Case("a", {"threads": 1}, {"there": str(there), "sent": str(tmp_path / "sent")})
    assert list(sent_by_ray(Lasting(), [case], lambda: any(there.glob("*/sent")), cluster.address)) == []
    assert list(there.iterdir()) == []


class Lasting:
    """A courier whose cases never end."""

    def files(self, case: Case) -> list[Path]:
        return [Path(case.places["sent"])]

    def do(self, case: Case, files: Sequence[bytes]) -> tuple[Figures, bytes]:
        with tempfile.TemporaryDirectory(dir=case.places["there"]) as folder:
            Path(folder, "sent").write_bytes(files[0])
            while True:
                time.sleep(0.05)

    def take_in(self, case: Case, figures: Figures, made: bytes) -> Figures:
        raise AssertionError("nothing was made")


@has_ray
@pytest.mark.slow
def test_a_rank_whose_node_is_killed(cluster: Any) -> None:
    """Every picture is ranked, and every bit is that of one process."""
    second = cluster.add_node(num_cpus=1, object_store_memory=200 << 20)
    cluster.wait_for_nodes()
    for number in range(8, 320):
        Path(f"photos/p{number}.png").hardlink_to(f"photos/p{number % 8}.png")
    what = ("--layers", "relu2_1", "--side", "128", "--precision", "float32", "--threads", "1")
    given = ("filters", "rank", "--images", "photos", *what, "-o")
    assert ran(*given, "once", tiny=True).returncode == 0
    with subprocess.Popen(
        program(*given, "rank", "--on", f"ray:{cluster.address}", tiny=True),
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        wait_until(lambda: list(Path("rank").glob("shard-*")))
        assert process.poll() is None
        cluster.remove_node(second, allow_graceful=False)
        _, told = process.communicate(timeout=100)
    assert process.returncode == 0, told
    assert b"rank: 320 pictures, 8 filters of relu2_1" in told
    assert equal(Rank.open("rank"), Rank.open("once"))


@has_ray
@pytest.mark.slow
def test_a_study_on_a_cluster(cluster: Any) -> None:
    asked = f"squares(1, 2, 3, output='report', on='ray:{cluster.address}', threads=1)"
    done = subprocess.run(
        [sys.executable, "-c", f"from tests.studying import squares; {asked}"],
        capture_output=True,
        timeout=120,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"1 4 9\n"
    assert b"cases: 3 of 3" in done.stderr
    assert b"tried here" not in done.stderr

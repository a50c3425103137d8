"""The commands about filters, on the tiny network: rank, show, select; interruptions of the real process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from katazome.cli import filters_rank, filters_select
from katazome.filters.labels import Thing
from katazome.filters.record import Rank
from katazome.filters.select import Selection
from katazome.jobs import ranking
from katazome.jobs.crew import Outcome, attempt
from katazome.jobs.manifest import Case
from katazome.jobs.ranking import Ranker
from tests.cli.conftest import children, environment, needs_proc, program, ran
from tests.filters import draw, equal, rank
from tests.tiny import tiny_vgg

Katazome = Callable[..., int]
QUICK = ("--layers", "relu2_1,relu3_1", "--side", "32", "--precision", "float32")


def size_of(name: str) -> tuple[int, int]:
    with Image.open(name) as image:
        return image.size


@pytest.fixture
def animals(folder: Path) -> Path:
    """Twelve pictures in two folders, and a file that is none."""
    draw(folder / "in", [f"{kind}/{n}.png" for kind in ("dog", "cat") for n in range(6)])
    (folder / "in/cat/broken.jpg").write_bytes(b"\xff\xd8\xff")
    return folder / "in"


@pytest.fixture
def ranked(animals: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> Katazome:
    """The program, after a rank in ``rank`` was made."""
    assert katazome("filters", "rank", "--images", animals, "-o", "rank", *QUICK) == 0
    capsys.readouterr()
    return katazome


def test_a_rank(animals: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    given = (
        "filters",
        "rank",
        "--images",
        animals / "dog",
        "--images",
        animals / "cat",
        "-o",
        "rank",
        *QUICK,
    )
    assert katazome(*given) == 0
    out, err = capsys.readouterr()
    assert not out
    lines = err.splitlines()
    assert lines[0].startswith("pictures: ")
    assert lines[-2].startswith("skipped: ")
    assert "broken.jpg" in lines[-2]
    assert lines[-1].startswith("rank: 12 pictures, 8 filters of relu2_1, 8 filters of relu3_1, after ")
    assert katazome(*given, "--quiet") == 0
    assert capsys.readouterr() == ("", "")
    assert katazome(*given[:-1], "bfloat16") == 2
    assert "precision float32 and bfloat16" in capsys.readouterr().err
    assert len(Rank.open("rank").pictures) == 12


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (["-o", "rank"], "give a folder of them by --images DIR"),
        (["--images", "in"], "give one by -o RANK"),
        (["--images", "inn", "-o", "rank"], "there is no folder 'inn'; did you mean 'in'?"),
        (["--images", "none", "-o", "rank"], "the folder 'none' has no pictures in it"),
        (["--images", "in", "-o", "rank", "--layers", "relu7_1"], "no layer is called 'relu7_1'"),
        (["--images", "in", "-o", "rank", "--side", "8"], "side is 8; it must be 32..2048"),
        (["--images", "in", "-o", "rank", "--masks", "none"], "none' has no pictures in it"),
        (["--images", "broken", "-o", "rank", *QUICK], "none of the 1 pictures could be read"),
    ],
)
def test_what_is_wrong_is_said(
    animals: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str], given: list[str], what: str
) -> None:
    Path("none").mkdir()
    Path("broken").mkdir()
    shutil.copy(animals / "cat/broken.jpg", "broken")
    assert katazome("filters", "rank", *given) == 2
    assert what in capsys.readouterr().err


def test_a_rank_without_a_picture(
    folder: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken").mkdir()
    (folder / "broken/one.jpg").write_bytes(b"\xff\xd8\xff")
    assert katazome("filters", "rank", "--images", "broken", "-o", "empty", *QUICK) == 2
    capsys.readouterr()
    for given in (["select", "empty", "--object", "dog"], ["show", "empty", "--layer", "r31", "-o", "x.png"]):
        assert katazome("filters", *given) == 2
        assert "no picture of empty has been ranked" in capsys.readouterr().err


def test_sheets_and_pages(ranked: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    show = ("filters", "show", "rank")
    assert ranked(*show, "--layer", "relu3_1", "-o", "layer.png") == 0
    assert ranked(*show, "--layer", "r31", "--filter", "2", "-o", "one.jpg") == 0
    assert ranked(*show, "--layer", "r31", "--filter", "2,5", "-o", "two.png") == 0
    sizes = [size_of(name) for name in ("layer.png", "one.jpg", "two.png")]
    assert sizes[0][1] > sizes[2][1]
    assert sizes[1][0] > 9 * 224
    assert ranked(*show, "--html", "pages") == 0
    assert Path("pages/index.html").exists()
    assert "open index.html in a browser" in capsys.readouterr().err
    grow = ("--layer", "relu3_1", "--filter", "2", "--synthesise", "--side", "64", "--iterations", "3")
    assert ranked(*show, *grow, "-o", "grown.png") == 0
    assert size_of("grown.png") == (64, 64)


@pytest.mark.parametrize(
    ("given", "code", "what"),
    [
        (["rank"], 2, "give -o SHEET.png, --html DIR, or both"),
        (["-o", "x.png"], 2, "no rank was named"),
        (["none", "-o", "x.png"], 2, "'none' is no rank"),
        (["rank", "-o", "x.png"], 2, "give --layer, one of: relu2_1, relu3_1"),
        (["rank", "-o", "x.png", "--layer", "relu4_1"], 2, "relu4_1 was not ranked"),
        (["rank", "-o", "x.png", "--layer", "r31", "--filter", "8"], 2, "relu3_1 has the filters 0..7"),
        (["rank", "-o", "x.png", "--layer", "r31", "--filter", "eight"], 2, "filter is ('eight',)"),
        (["rank", "-o", "x.gif", "--layer", "r31"], 2, "cannot tell the format"),
        (["rank", "-o", "photo.jpg", "--layer", "r31"], 1, "is there already"),
        (["rank", "-o", "x.png", "--layer", "r31", "--synthesise"], 2, "name it by --filter N"),
        (["rank", "rank", "-o", "x.png", "--layer", "r31"], 2, "is in two of the ranks"),
    ],
)
def test_what_cannot_be_shown(
    ranked: Katazome, capsys: pytest.CaptureFixture[str], given: list[str], code: int, what: str
) -> None:
    assert ranked("filters", "show", *given) == code
    assert what in capsys.readouterr().err
    assert not Path("x.png").exists()


def test_the_file_shown_is_of_the_network_ranked(
    ranked: Katazome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("katazome.cli.settings.open_vgg", lambda *_, **__: tiny_vgg(1))
    given = ("--layer", "r31", "--filter", "2", "--synthesise", "-o", "x.png")
    assert ranked("filters", "show", "rank", *given) == 2
    assert "the rank is of the network tiny" in capsys.readouterr().err


def test_a_selection(ranked: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("filters", "select", "rank", "--object", "dog")
    assert ranked(*given, "-o", "dog.json", "--count", "2,1") == 0
    assert "by the names of pictures and folders 6 of 12 pictures show it" in capsys.readouterr().err
    chosen = Selection.read("dog.json", tiny_vgg())
    assert (chosen.rule, chosen.object) == ("auc", "dog")
    assert [len(chosen.layers[n]) for n in ("relu2_1", "relu3_1")] == [2, 1]
    assert ranked(*given, "-o", "dog.json") == 1
    assert "is there already" in capsys.readouterr().err
    # standard output; and another way of labelling
    Path("labels.csv").write_text("dog/0.png,dog\ndog/1.png,dog\ncat/1.png,cat\n")
    assert ranked(*given, "--labels", "labels.csv", "--rule", "top9", "--least", "1") == 0
    out, err = capsys.readouterr()
    assert Selection.from_json(json.loads(out)).rule == "top9"
    assert "2 of 12 pictures show it" in err


def test_a_selection_by_the_classifier(
    ranked: Katazome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Seer:
        weight = torch.zeros(1)

        def scores(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.linspace(0, 1, len(pixels))[:, None].expand(-1, 1000)

    monkeypatch.setattr(filters_select, "open_classifier", lambda *_: Seer())
    monkeypatch.setattr(filters_select, "thing_called", lambda word: Thing(word, classes=(7,)))
    assert ranked("filters", "select", "rank", "--object", "bird", "-o", "bird.json") == 0
    assert "by the classifier 6 of 12 pictures show it" in capsys.readouterr().err
    assert Selection.read("bird.json").rule == "agreement"


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (["rank"], "give --object, as --object dog"),
        (["--object", "dog"], "no rank was named"),
        (["rank", "--object", "dog", "--rule", "top9"], "too few for 9 of the 9"),
        (["rank", "--object", "dog", "--rule", "overlap"], "needs masks; rank again with --masks"),
        (["rank", "--object", "dog", "--rule", "best"], "rule is 'best'"),
        (["rank", "--object", "dog", "--count", "1,2,3"], "count has 3 numbers for 2 ranked layers"),
        (["rank", "--object", "dog", "--labels", "names"], "by the pictures' names none of the 12"),
        (["rank", "--object", "dog", "--labels", "none.csv"], "'none.csv' cannot be read"),
        (["rank", "--object", "qqqqq"], "the classifier does not know 'qqqqq'"),
    ],
)
def test_what_cannot_be_selected(
    ranked: Katazome,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    given: list[str],
    what: str,
) -> None:
    class Blind:
        weight = torch.zeros(1)

    monkeypatch.setattr(filters_select, "open_classifier", lambda *_: Blind())
    assert ranked("filters", "select", *given, "-o", "x.json") == 2
    assert what in capsys.readouterr().err
    assert not Path("x.json").exists()


def test_a_word_means_all_its_kinds() -> None:
    dog = filters_select.thing_called("犬")
    assert len(dog.wnids) == len(dog.classes) == 118
    assert all(dog.called(name) for name in ("dogs", "Chihuahua", "n02085620", "犬"))
    assert not any(dog.called(name) for name in ("animals", "cat", "photos"))
    assert filters_select.thing_called("dgo").hint == "; did you mean 'dog'?"


def test_help_has_an_example_each(katazome: Katazome, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("rank", "show", "select"):
        assert katazome("filters", command, "--help") == 0
        assert f"  katazome filters {command} " in capsys.readouterr().out


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven hundred pictures: more than two shards."""
    folder = tmp_path_factory.mktemp("many")
    draw(folder, [f"{n}.jpg" for n in range(7)])
    for n in range(7, 700):
        (folder / f"{n}.jpg").hardlink_to(folder / f"{n % 7}.jpg")
    return folder


def begun(*arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(program(*arguments, tiny=True), stderr=subprocess.PIPE, env=environment())


def shards(rank: Path) -> int:
    return len(list(rank.glob("shard-*.safetensors")))


def wait_for_shards(rank: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while shards(rank) < count and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    assert shards(rank) >= count


def test_killed_and_interrupted_it_goes_on(many: Path, tmp_path: Path) -> None:
    output = tmp_path / "rank"
    settings = ("--layers", "relu2_1", "--precision", "float32", "--side", "128")
    given = ("filters", "rank", "--images", many, "-o", output, *settings)
    with begun(*given) as process:
        wait_for_shards(output, 1, process)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    kept = len(Rank.open(output).pictures)
    assert kept >= 256
    with begun(*given) as process:
        wait_for_shards(output, shards(output) + 1, process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    if process.returncode == 130:  # else it was quicker than the signal
        assert b"To go on: the same command again" in err
        assert b"Traceback" not in err
        assert kept < len(Rank.open(output).pictures) < 700
    done = ran(*given, tiny=True)
    assert done.returncode == 0, done.stderr
    whole = Rank.open(output)
    assert len(whole.pictures) == 700
    list(rank(tiny_vgg(), [many], tmp_path / "once", whole.options))
    once = Rank.open(tmp_path / "once")
    assert whole.pictures == once.pictures
    torch.testing.assert_close(whole.maxima("relu2_1"), once.maxima("relu2_1"), rtol=1e-5, atol=1e-6)


BY_WORKERS = ("--layers", "relu2_1", "--precision", "float32", "--side", "128", "--threads", "1")


@pytest.mark.slow
@needs_proc
def test_workers_one_of_which_is_killed(many: Path, tmp_path: Path) -> None:
    """Nothing is lost, nothing is done twice, and every bit is that of one process."""
    given = ("filters", "rank", "--images", many, *BY_WORKERS)
    assert ran(*given, "-o", tmp_path / "once", tiny=True).returncode == 0
    output = tmp_path / "rank"
    with begun(*given, "-o", output, "--workers", "2") as process:
        wait_for_shards(output, 1, process)
        before = {path: path.stat().st_mtime_ns for path in output.glob("shard-*.safetensors")}
        os.kill(children(process.pid)[0], signal.SIGKILL)
        _, told = process.communicate(timeout=100)
    assert process.returncode == 0, told
    assert b"rank: 700 pictures, 8 filters of relu2_1" in told
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert shards(output) == -(-700 // 64)
    assert equal(Rank.open(output), Rank.open(tmp_path / "once"))


@pytest.mark.slow
def test_workers_are_interrupted_and_gaps_are_filled(many: Path, tmp_path: Path) -> None:
    given = ("filters", "rank", "--images", many, "-o", tmp_path / "rank", *BY_WORKERS)
    with begun(*given, "--workers", "2") as process:
        wait_for_shards(tmp_path / "rank", 2, process)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=100)
    kept = Rank.open(tmp_path / "rank")
    if process.returncode == 130:  # else it was quicker than the signal
        assert b"To go on: the same command again" in told
        assert b"Traceback" not in told
        assert 64 <= len(kept.pictures) < 700
    # a gap in the middle, as a kill leaves it; and one process fills what several have begun
    kept.shards[0].path.unlink()
    assert Rank.open(tmp_path / "rank").waiting
    assert ran(*given, tiny=True).returncode == 0
    again = ("filters", "rank", "--images", many, "-o", tmp_path / "once", *BY_WORKERS)
    assert ran(*again, tiny=True).returncode == 0
    assert equal(Rank.open(tmp_path / "rank"), Rank.open(tmp_path / "once"))


def test_a_range_that_cannot_be_ranked(
    animals: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def clumsy(ranker: Ranker, cases: Sequence[Case], *_: object) -> Iterator[Outcome]:
        assert [case.name for case in cases] == ["0-7", "8-12"]
        yield attempt(cases[1], lambda: ranker.do(cases[1], lambda: False))
        yield Outcome(cases[0], failed="its process died")

    given = ("filters", "rank", "--images", animals, "-o", "rank", *QUICK)
    monkeypatch.setattr(ranking, "RANGE", 8)
    monkeypatch.setattr(filters_rank, "outcomes", clumsy)
    assert katazome(*given, "--workers", "2") == 1
    assert "8 of 13 pictures are still to be ranked: its process died; the same" in capsys.readouterr().err
    full = [Outcome(Case("0-7", {}), failed="the disk is full", hopeless=True)]
    monkeypatch.setattr(filters_rank, "outcomes", lambda *_: iter(full))
    assert katazome(*given, "--workers", "2") == 1
    assert "the disk is full. What was ranked is whole; the same command goes on" in capsys.readouterr().err
    assert katazome(*given) == 0
    assert len(Rank.open("rank").pictures) == 12


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (["--on", "kubernetes"], "on is 'kubernetes'; it must be ray or ray:ADDRESS"),
        (["--on", "ray", "--workers", "2"], "both say who does the work"),
        (["--workers", "0"], "workers is 0"),
    ],
)
def test_who_ranks_is_said_rightly(
    animals: Path, katazome: Katazome, capsys: pytest.CaptureFixture[str], given: list[str], what: str
) -> None:
    assert katazome("filters", "rank", "--images", animals, "-o", "rank", *given) == 2
    assert what in capsys.readouterr().err
    assert not Path("rank").exists()

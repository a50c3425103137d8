"""Many pictures: done once, gone on with, shared, and what one that fails does to the others."""

from __future__ import annotations

import csv
import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from katazome.errors import OutputError, PictureError
from katazome.jobs import local
from katazome.jobs.inputs import hash_of
from katazome.pictures.write import place
from katazome.recipe import open_recipe
from tests.cli.batches import MANY, QUICK, made

Katazome = Callable[..., int]


def table() -> dict[str, dict[str, str]]:
    with Path("out/batch/table.csv").open(newline="") as file:
        return {row["output"]: row for row in csv.DictReader(file)}


def test_each_picture_in_each_look(
    katazome: Katazome, many: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert katazome(*MANY, "--strength", "0.7") == 0
    assert list(made()) == [f"p{n}.{look}.png" for n in range(3) for look in ("taehw", "wheat")]
    assert (
        katazome("stylize", "photos/p1.png", "looks/wheat.png", "-o", "one.png", *QUICK, "--strength", "0.7")
        == 0
    )
    assert made()["p1.wheat.png"] == Path("one.png").read_bytes()
    assert open_recipe("out/p1.wheat.png").options["strength"] == 0.7
    assert {row["state"] for row in table().values()} == {"done"}
    with Image.open("out/batch/sheet.jpg") as sheet:
        assert sheet.width == 12 + 3 * 204
    # again: nothing is done twice
    before = {p: p.stat().st_mtime_ns for p in Path("out").glob("*.png")}
    Path("out/p0.wheat.png").unlink()
    capsys.readouterr()
    assert katazome(*[a for a in MANY if a != "--quiet"], "--strength", "0.7") == 0
    assert "1 picture to make, 5 done already" in capsys.readouterr().err
    after = {p: p.stat().st_mtime_ns for p in Path("out").glob("*.png")}
    assert {p.name for p in before if before[p] != after[p]} == {"p0.wheat.png"}


def test_more_pictures_later(katazome: Katazome, many: Path) -> None:
    assert katazome(*MANY, "--pair") == 2  # three and two
    Path("photos/p2.png").rename("p2.png")
    assert katazome(*MANY, "--pair") == 0
    assert list(made()) == ["p0.taehw.png", "p1.wheat.png"]
    Path("p2.png").rename("photos/p2.png")
    assert katazome("batch", "photos", "--style", "looks/wheat.png", "-o", "out", *QUICK) == 0
    assert list(made()) == ["p0.taehw.png", "p0.wheat.png", "p1.wheat.png", "p2.wheat.png"]


def test_nothing_is_overwritten(katazome: Katazome, many: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert katazome(*MANY) == 0
    before = made()
    assert katazome(*MANY, "--strength", "0.9") == 1
    assert "'out/p0.taehw.png' is there already, and so are 5 more, made otherwise" in capsys.readouterr().err
    assert made() == before
    assert katazome(*MANY, "--strength", "0.9", "--overwrite") == 0
    assert all(made()[name] != before[name] for name in before)


def test_broken_pictures_do_not_stop_the_rest(
    katazome: Katazome, many: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("photos/p1.png").write_bytes(Path("photos/p1.png").read_bytes()[:200])
    Path("photos/p3.png").write_bytes(b"")
    assert katazome(*MANY) == 1
    told = capsys.readouterr().err
    assert "4 pictures could not be made, 4 were; out/batch/table.csv says why" in told
    assert list(made()) == [f"p{n}.{look}.png" for n in (0, 2) for look in ("taehw", "wheat")]
    rows = table()
    assert rows["p1.wheat.png"]["state"] == "failed"
    assert "p1.png" in rows["p1.wheat.png"]["why"]
    assert rows["p3.wheat.png"]["state"] == "failed"
    with Image.open("photo.jpg") as photo:
        photo.save("photos/p1.png")
    Path("photos/p3.png").unlink()
    assert katazome(*MANY) == 0
    assert len(made()) == 6


def test_a_mask_for_each_picture(katazome: Katazome, many: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("masks").mkdir()
    for name in ("p0", "p2"):
        with Image.open(f"photos/{name}.png") as photo:
            mask = Image.new("L", photo.size, 0)
        mask.paste(255, (0, 0, mask.width // 2, mask.height))
        mask.save(f"masks/{name}.png")
    asked = ["batch", "photos", "--style", "looks/wheat.png", "-o", "out", *QUICK]
    asked += ["--where", "mask:masks/{content}.png"]
    loud = [word for word in asked if word != "--quiet"]
    missing = "p1.wheat.png: there is no file 'masks/p1.png'"
    assert katazome(*loud, "--plan") == 0
    told = capsys.readouterr()
    assert missing in told.err
    assert told.out.startswith("2 pictures to make, 1 cannot be made: about ")
    assert katazome(*loud) == 1
    error = capsys.readouterr().err
    assert missing in error
    assert "1 picture could not be made, 2 were; out/batch/table.csv says why" in error
    assert list(made()) == ["p0.wheat.png", "p2.wheat.png"]
    row = table()["p1.wheat.png"]
    assert row["state"] == "failed"
    assert row["why"].startswith("there is no file 'masks/p1.png'")
    assert row["content"] == "../../photos/p1.png"
    one = ("stylize", "photos/p2.png", "looks/wheat.png", "-o", "one.png", *QUICK)
    assert katazome(*one, "--where", "mask:masks/p2.png") == 0
    assert Path("one.png").read_bytes() == made()["p2.wheat.png"]
    # the mask is there: its picture is made, and no other
    before = {p: p.stat().st_mtime_ns for p in Path("out").glob("*.png")}
    with Image.open("photos/p1.png") as photo:
        Image.new("L", photo.size, 255).save("masks/p1.png")
    assert katazome(*asked) == 0
    assert len(made()) == 3
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_picture_that_cannot_be_read_when_the_manifest_is_made(
    katazome: Katazome, many: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path) -> str:
        if path.name == "p1.png":
            raise PictureError("'photos/p1.png' may not be read (no permission); change its rights")
        return hash_of(path)

    monkeypatch.setattr("katazome.jobs.batch.hash_of", denied)
    assert katazome(*MANY) == 1
    assert "2 pictures could not be made, 4 were; out/batch/table.csv says why" in capsys.readouterr().err
    rows = table()
    assert len(rows) == 6
    assert rows["p1.wheat.png"]["state"] == rows["p1.taehw.png"]["state"] == "failed"
    assert rows["p1.wheat.png"]["why"].startswith("'photos/p1.png' may not be read")
    assert rows["p1.wheat.png"]["styles"] == "../../looks/wheat.png"


def test_a_full_disk_ends_the_run_and_loses_nothing(
    katazome: Katazome, many: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[object] = []

    def full(*given: object, **more: object) -> None:
        if len(written) == 2:
            try:
                raise OSError(errno.ENOSPC, "No space left on device")
            except OSError as error:
                raise OutputError("the disk is full: 'out/x.png' needs 1 MB") from error
        written.append(given[1])
        place(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(local, "place", full)
    assert katazome(*MANY) == 1
    told = capsys.readouterr().err
    assert "the disk is full: 'out/x.png' needs 1 MB. 2 pictures made in this run are whole; " in told
    assert "the same command makes the other 4" in told
    assert len(made()) == 2
    monkeypatch.setattr(local, "place", place)
    assert katazome(*MANY) == 0
    assert len(made()) == 6


def test_a_plan_is_looked_at_and_shared_out(
    katazome: Katazome, many: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert katazome(*MANY, "--plan") == 0
    told = capsys.readouterr().out
    assert told.startswith("6 pictures to make: about ")
    assert told.rstrip().endswith("with 1 worker, by 4 of them; out/batch/manifest.jsonl")
    assert not made()
    for part, count in (("2/4", 2), ("1/4", 4), ("3/4", 5), ("4/4", 6)):
        assert katazome("batch", "--manifest", "out/batch/manifest.jsonl", "--part", part, "--quiet") == 0
        assert len(made()) == count
    assert katazome(*MANY, "--part", "7/4") == 2


def test_a_manifest_edited_by_hand(
    katazome: Katazome, many: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert katazome(*MANY, "--plan") == 0
    path = Path("out/batch/manifest.jsonl")
    head, *lines = path.read_text().splitlines()
    case = json.loads(lines[0])
    case["values"]["options"]["strength"] = 0.9
    path.write_text("\n".join([head, json.dumps(case), *lines[1:3], ""]))
    edited = path.read_text()
    assert katazome(*MANY) == 1  # what was edited is not written over
    assert (
        "was edited by hand; run it by --manifest out/batch/manifest.jsonl, or --overwrite"
        in capsys.readouterr().err
    )
    assert path.read_text() == edited
    assert katazome("batch", "--manifest", path, "--quiet") == 0
    assert len(made()) == 3
    assert open_recipe("out/p0.taehw.png").options["strength"] == 0.9
    case["values"]["output"] = "../p0.png"
    path.write_text("\n".join([head, json.dumps(case), ""]))
    assert katazome("batch", "--manifest", path) == 2
    path.write_text("\n".join([head, *lines]).replace('"64"', '"6x"'))
    assert katazome("batch", "--manifest", path, "--quiet") == 1
    Path("photos/p0.png").write_bytes(Path("photos/p1.png").read_bytes())
    path.write_text("\n".join([head, *lines]))
    assert katazome("batch", "--manifest", path, "--quiet", "--overwrite") == 1
    assert "it was changed since, or its place in the manifest was;" in table()["p0.taehw.png"]["why"]


def test_one_look_from_a_recipe(katazome: Katazome, many: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        katazome("stylize", "photos/p1.png", "looks/wheat.png", "-o", "look.png", *QUICK, "--strength", "0.8")
        == 0
    )
    assert (
        katazome(
            "batch", "photos", "--style", "looks/wheat.png", "--recipe", "look.png", "-o", "out", "--quiet"
        )
        == 0
    )
    assert list(made()) == ["p0.wheat.png", "p1.wheat.png", "p2.wheat.png"]
    assert made()["p1.wheat.png"] == Path("look.png").read_bytes()
    given = (
        "batch",
        "photos",
        "--style",
        "looks/taehw.png",
        "--recipe",
        "look.png",
        "-o",
        "other",
        "--quiet",
    )
    assert katazome(*given) == 2
    assert "is not the recipe's style" in capsys.readouterr().err
    assert katazome(*given, "--other-style", "--strength", "0.2") == 0
    assert open_recipe("other/p1.taehw.png").options["strength"] == 0.2
    # a folder that holds the recipe's style
    Path("looks/taehw.png").rename("taehw.png")
    look = ("--recipe", "look.png", "--strength", "0.3")
    assert katazome("batch", "photos", "--style", "looks", *look, "-o", "folder", "--plan") == 0
    assert len(list(Path("folder/batch").glob("*.jsonl"))) == 1


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (("photos", "--style", "looks"), 2, "no folder for the results was given"),
        (("photos", "--style", "looks", "-o", "photo.jpg"), 1, "'photo.jpg' is a file; give -o a folder"),
        (("empty", "--style", "looks", "-o", "out"), 2, "'empty' has no pictures in it"),
        (("photos", "-o", "out"), 2, "no style was given"),
        (("--style", "looks", "-o", "out"), 2, "no picture was given"),
        (
            ("photos", "--style", "looks", "-o", "out", "--name", "x.png"),
            2,
            "would both be written to 'x.png'",
        ),
        (("photos", "--style", "looks", "-o", "out", "--octaves", "2"), 2, "gatys has no --octaves"),
        (("photos", "--style", "looks", "-o", "out", "--combine", "all"), 2, "combine is 'all'"),
        (("photos", "--style", "-", "-o", "out"), 2, "standard input (-) is one picture"),
        (("--manifest", "none.jsonl"), 2, "must lie where it was written"),
        (("photos", "--manifest", "out/batch/manifest.jsonl"), 2, "leave out photos"),
    ],
)
def test_bad_input(
    katazome: Katazome,
    many: Path,
    capsys: pytest.CaptureFixture[str],
    given: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    Path("empty").mkdir()
    assert katazome("batch", *given) == code
    assert said in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize("command", ["batch", "attribute"])
def test_torchrun_starts_what_one_process_does(
    command: str, katazome: Katazome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "some")
    assert katazome(command, "photo.jpg", "-o", "out") == 2
    assert "torchrun started several processes" in capsys.readouterr().err

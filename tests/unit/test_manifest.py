"""Manifests: cases done once, gone on with, shared."""

from __future__ import annotations

from pathlib import Path

import pytest

from katazome.errors import OptionError, OutputError, PictureError
from katazome.jobs.manifest import Case, Figures, Manifest


def manifest(folder: Path, count: int = 5) -> Manifest:
    return Manifest(
        folder / "cases", [Case(f"case-{n}", {"number": n, "way": "plain"}) for n in range(count)]
    )


def test_a_stopped_job_goes_on_where_it_was(tmp_path: Path) -> None:
    asked: list[str] = []

    def measure(case: Case) -> Figures:
        if case.name == "case-3" and len(asked) < 4:
            asked.append("stopped")
            raise KeyboardInterrupt
        asked.append(case.name)
        return {"square": case.values["number"] ** 2}

    with pytest.raises(KeyboardInterrupt):
        manifest(tmp_path).run(measure)
    assert [case.name for case in manifest(tmp_path).missing()] == ["case-3", "case-4"]
    said: list[str] = []
    manifest(tmp_path).run(measure, said.append)
    assert said == ["case-3 (1 of 2)", "case-4 (2 of 2)"]
    assert [row["square"] for row in manifest(tmp_path).results()] == [0, 1, 4, 9, 16]
    assert manifest(tmp_path).results()[2] == {"number": 2, "way": "plain", "square": 4}
    assert not list((tmp_path / "cases").glob(".*"))


def test_other_values_are_another_case(tmp_path: Path) -> None:
    manifest(tmp_path, 1).run(lambda case: {"done": True})
    other = Manifest(tmp_path / "cases", [Case("case-0", {"number": 0, "way": "fancy"})])
    assert other.missing() == list(other.cases)


def test_a_damaged_result_is_measured_again(tmp_path: Path) -> None:
    manifest(tmp_path, 2).run(lambda case: {"done": True})
    (tmp_path / "cases" / "case-1.json").write_text('{"case": {"num')
    assert [case.name for case in manifest(tmp_path, 2).missing()] == ["case-1"]


def test_parts_are_all_cases_once(tmp_path: Path) -> None:
    parts = [manifest(tmp_path).part(n, 3) for n in (1, 2, 3)]
    assert sorted(case.name for part in parts for case in part.cases) == [f"case-{n}" for n in range(5)]
    for wrong in (0, 4):
        with pytest.raises(OptionError, match="must be 1/3 to 3/3"):
            manifest(tmp_path).part(wrong, 3)


def test_names(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="two cases are called 'a'"):
        Manifest(tmp_path, [Case("a", {}), Case("b", {}), Case("a", {})])
    with pytest.raises(OptionError, match=r"'\.\./a'"):
        Manifest(tmp_path, [Case("../a", {})])


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "cases").write_text("a file in the folder's place")
    with pytest.raises(OutputError, match=r"case-0\.json cannot be written"):
        manifest(tmp_path).run(lambda case: {})


def test_a_manifest_in_a_file_and_back(tmp_path: Path) -> None:
    made = Manifest(tmp_path / "done", [Case("a", {"words": "型\u2028染め"}, {"content": "../a.png"})])
    made.write(tmp_path / "m.jsonl")
    assert Manifest.read(tmp_path / "m.jsonl", tmp_path / "done") == (made, False)
    text = (tmp_path / "m.jsonl").read_text(encoding="utf-8")
    (tmp_path / "m.jsonl").write_text(text.replace("型", "形"), encoding="utf-8")
    edited, changed = Manifest.read(tmp_path / "m.jsonl", tmp_path / "done")
    assert changed
    assert edited.cases[0].values["words"] == "形\u2028染め"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"name": "b"', r"line 3 of .*m\.jsonl is not JSON"),
        ("[1]", "line 3 of .* is a JSON list; expected an object"),
        ('{"name": "b", "values": {}}', "line 3 of .* is no case: it has name, values"),
        ('{"name": 3, "values": {}, "places": {}}', "line 3 of .* is no case"),
        ('{"name": "a", "values": {}, "places": {}}', "two cases are called 'a'"),
        ('{"name": "../b", "values": {}, "places": {}}', r"a case is called '\.\./b'"),
    ],
)
def test_a_manifest_edited_wrongly(tmp_path: Path, line: str, said: str) -> None:
    Manifest(tmp_path, [Case("a", {})]).write(tmp_path / "m.jsonl")
    with (tmp_path / "m.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises((PictureError, OptionError), match=said):
        Manifest.read(tmp_path / "m.jsonl", tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "there is no manifest"),
        ("", "is not JSON"),
        ("{}", "is no manifest of format 1"),
        ('{"format": 2}', "is no manifest of format 1"),
        ('{"format": 1}\n', "has no cases"),
        (b"\xff", "cannot be read"),
    ],
)
def test_what_is_no_manifest(tmp_path: Path, text: str | bytes | None, said: str) -> None:
    if text is not None:
        (tmp_path / "m.jsonl").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(PictureError, match=said):
        Manifest.read(tmp_path / "m.jsonl", tmp_path)

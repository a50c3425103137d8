"""Folders of classes, and the cache of features."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from random import Random

import pytest
import torch
from torch import Tensor

from katazome.collections.cache import BATCH, FeatureCache, Features, Progress, drained
from katazome.collections.folders import Source, classes_in, find
from katazome.collections.names import called
from katazome.errors import OutputError, PictureError
from tests.filters import draw


def test_classes_of_several_folders_are_joined_by_name(tmp_path: Path) -> None:
    word = "がざ"
    draw(tmp_path / "one", [f"{unicodedata.normalize('NFD', word)}/{n}.png" for n in range(2)])
    draw(tmp_path / "two", [f"{word}/a.png", "stone/deep/b.png"])
    draw(tmp_path / "hide-grey", ["c.png"])
    found = classes_in([str(tmp_path / "one"), str(tmp_path / "two"), f"leather={tmp_path / 'hide-grey'}"])
    assert {name: len(some) for name, some in found.items()} == {"leather": 1, "stone": 1, word: 3}
    assert list(found) == sorted(found)


def test_folders_without_classes(tmp_path: Path) -> None:
    draw(tmp_path / "flat", ["a.png"])
    with pytest.raises(PictureError, match="a folder for each class, or NAME="):
        classes_in([str(tmp_path / "flat")])
    with pytest.raises(PictureError, match="there is no folder"):
        classes_in([str(tmp_path / "flut")])
    (tmp_path / "flat/empty").mkdir()
    with pytest.raises(PictureError, match="has no pictures in it"):
        classes_in([str(tmp_path / "flat")])


def test_names_that_sound_alike_to_kana_are_not_one() -> None:
    names = ["brass", "glass", "grass", "wood", "ごつごつ", "mofumofu"]
    assert [called(n, names) for n in ("glass", "Brass", "GRASS")] == ["glass", "brass", "grass"]
    assert called("wooz", names) is None
    assert called("gotugotu", names) == called("ゴツゴツ", names) == "ごつごつ"
    assert called("もふもふ", names) == "mofumofu"


def test_classes_of_one_name_and_files_of_one_place(tmp_path: Path) -> None:
    draw(tmp_path / "a=1", ["Stone/1.png", "stone/2.png"])
    assert {name: len(some) for name, some in classes_in([tmp_path / "a=1"]).items()} == {"Stone": 2}
    twice = classes_in([tmp_path / "a=1", f"stone={tmp_path / 'a=1/Stone'}"])
    assert {name: len(some) for name, some in twice.items()} == {"Stone": 2}


class Counted:
    """Means of colours, and how many pictures they were taken of."""

    def __init__(self) -> None:
        self.pictures = 0

    def __call__(self, pixels: Tensor) -> Tensor:
        self.pictures += len(pixels)
        return pixels.mean((2, 3))


def filled(cache: FeatureCache, sources: tuple[Source, ...]) -> tuple[Features, list[Progress]]:
    work, steps = cache.fill(sources, workers=1), []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as end:
            return end.value, steps


@pytest.fixture
def sources(tmp_path: Path) -> tuple[Source, ...]:
    draw(tmp_path / "in", [f"{n}.png" for n in range(BATCH + 3)])
    return find([tmp_path / "in"])


def test_rows_are_computed_once_and_a_changed_file_is_noticed(
    tmp_path: Path, sources: tuple[Source, ...]
) -> None:
    counted = Counted()
    cache = FeatureCache({"layer": "x"}, 32, (3,), counted, tmp_path / "kept")
    first, steps = filled(cache, sources)
    assert [(s.done, s.total) for s in steps] == [(0, 11), (BATCH, 11), (11, 11)]
    assert len(first) == counted.pictures == 11
    again, _ = filled(cache, sources)
    assert counted.pictures == 11
    assert torch.equal(again.rows([3, 0]), first.rows([3, 0]))
    draw(tmp_path / "other", ["3.png"])
    changed = sources[3].path
    changed.write_bytes((tmp_path / "other/3.png").read_bytes())
    os.utime(changed, ns=(1, 1))
    third, _ = filled(cache, sources)
    assert counted.pictures == 12
    assert torch.equal(third.rows([0]), first.rows([0]))
    filled(FeatureCache({"layer": "y"}, 32, (3,), counted, tmp_path / "kept"), sources)
    assert counted.pictures == 23


def test_a_kill_loses_the_rows_at_hand_alone(tmp_path: Path, sources: tuple[Source, ...]) -> None:
    counted = Counted()
    cache = FeatureCache({}, 32, (3,), counted, tmp_path / "kept")
    work = cache.fill(sources, workers=1)
    next(work), next(work)
    work.close()
    with (cache.folder / "rows.bin").open("ab") as file:
        file.write(b"half a row of what was never named")
    with (cache.folder / "index.jsonl").open("a") as file_of_lines:
        file_of_lines.write('[8, "/some/pic')
    found, _ = filled(cache, sources)
    assert counted.pictures == 11
    expected, _ = filled(FeatureCache({}, 32, (3,), Counted(), tmp_path / "anew"), sources)
    assert torch.equal(found.rows(range(11)), expected.rows(range(11)))
    os.truncate(cache.folder / "rows.bin", 6 * 4)
    found, _ = filled(cache, sources)
    assert counted.pictures == 18
    assert torch.equal(found.rows(range(11)), expected.rows(range(11)))


def test_a_place_written_twice_belongs_to_the_last(tmp_path: Path, sources: tuple[Source, ...]) -> None:
    cache = FeatureCache({}, 32, (3,), Counted(), tmp_path / "kept")
    filled(cache, sources[:6])
    os.truncate(cache.folder / "rows.bin", 6 * 4)
    filled(cache, sources[8:])
    found, _ = filled(cache, sources)
    expected, _ = filled(FeatureCache({}, 32, (3,), Counted(), tmp_path / "anew"), sources)
    assert torch.equal(found.rows(range(11)), expected.rows(range(11)))


def test_two_fill_one_cache_without_waiting(tmp_path: Path, sources: tuple[Source, ...]) -> None:
    cache = FeatureCache({}, 32, (3,), Counted(), tmp_path / "kept")
    work = cache.fill(sources, workers=1)
    next(work)
    other, _ = filled(FeatureCache({}, 32, (3,), Counted(), tmp_path / "kept"), sources[::-1])
    found = drained(work)
    expected, _ = filled(FeatureCache({}, 32, (3,), Counted(), tmp_path / "anew"), sources)
    assert torch.equal(found.rows(range(11)), expected.rows(range(11)))
    assert torch.equal(other.rows(range(11)), expected.rows(range(11)[::-1]))


def test_programs_that_fill_one_cache_share_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = iter(range(10**6))
    monkeypatch.setattr("katazome.collections.cache.Random", lambda: Random(next(seeds)))
    draw(tmp_path / "in", [f"{n:03}.png" for n in range(25 * BATCH)])
    sources, counted = find([tmp_path / "in"]), Counted()
    cache = FeatureCache({}, 32, (3,), counted, tmp_path / "kept")
    one, other = cache.fill(sources, workers=1), cache.fill(sources, workers=1)
    # both at once, batch by batch: what is computed twice is what both were at
    last = Progress(0, 200)
    for _ in range(27):
        last = next(one, last)
        next(other, None)
    assert last == Progress(200, 200)
    assert 200 <= counted.pictures <= 200 + 10 * BATCH
    found, steps = filled(cache, sources)
    assert steps == [Progress(200, 200)]
    expected, _ = filled(FeatureCache({}, 32, (3,), Counted(), tmp_path / "anew"), sources)
    assert torch.equal(found.rows(range(200)), expected.rows(range(200)))


def test_pictures_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    draw(tmp_path / "in", ["a.png", "b.png"])
    (tmp_path / "in/broken.jpg").write_bytes(b"\xff\xd8\xff")
    found, steps = filled(FeatureCache({}, 32, (3,), Counted(), tmp_path / "kept"), find([tmp_path / "in"]))
    assert [source.name for source in found.sources] == ["a.png", "b.png"]
    assert [source.name for source in found.skipped] == ["broken.jpg"]
    assert steps[-1] == Progress(3, 3)


def test_a_place_that_cannot_be_written(tmp_path: Path, sources: tuple[Source, ...]) -> None:
    (tmp_path / "kept").write_text("a file")
    with pytest.raises(OutputError, match="name another place by KATAZOME_HOME"):
        filled(FeatureCache({}, 32, (3,), Counted(), tmp_path / "kept"), sources)

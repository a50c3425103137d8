"""Ranks: halves merge to the whole, and neither batches nor shards nor interruptions change anything."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from katazome.filters.record import Rank, merge
from katazome.filters.select import auc
from tests.filters import OPTIONS, draw, equal, rank, recorded
from tests.tiny import tiny_vgg

# Few different values, so that there are many ties.
maxima = st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=2, max_size=24)


@given(maxima, st.data())
@settings(max_examples=40)
def test_halves_merge_to_the_whole(values: list[list[int]], data: st.DataObject) -> None:
    whole = torch.tensor(values)
    cut = data.draw(st.integers(1, len(values) - 1))
    sizes = [data.draw(st.integers(1, 9)) for _ in range(3)]
    k = data.draw(st.integers(1, 12))
    with TemporaryDirectory() as folder:
        place = Path(folder)
        first = recorded(place / "a", whole[:cut], shard=sizes[0])
        second = recorded(place / "b", whole[cut:], shard=sizes[1], first=cut)
        all_of_it = recorded(place / "c", whole, shard=sizes[2])
        assert equal(merge([first, second]), all_of_it, k)
        # the best are those of a plain stable sort
        top = all_of_it.top("relu3_1", k)
        for column in range(whole.shape[1]):
            order = sorted(range(len(values)), key=lambda n: (-values[n][column], n))[:k]
            assert top.pictures[column].tolist() == order
            assert top.values[column].tolist() == [values[n][column] for n in order]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    draw(folder, [f"{n}.png" for n in range(9)])
    (folder / "3.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def plain(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Rank:
    folder = tmp_path_factory.mktemp("plain") / "rank"
    list(rank(tiny_vgg(), [pictures], folder, OPTIONS))
    return Rank.open(folder)


@given(batch=st.integers(1, 10), shard=st.integers(1, 10), stops=st.lists(st.integers(1, 3), max_size=3))
@settings(max_examples=10)
def test_batches_shards_and_interruptions_change_nothing(
    pictures: Path, plain: Rank, batch: int, shard: int, stops: list[int]
) -> None:
    with TemporaryDirectory() as folder:
        for stop in stops:
            work = rank(tiny_vgg(), [pictures], folder, OPTIONS, batch=batch, shard=shard)
            for _ in range(stop):
                next(work, None)
            work.close()
        list(rank(tiny_vgg(), [pictures], folder, OPTIONS, batch=batch, shard=shard))
        found = Rank.open(folder)
        assert found.pictures == plain.pictures
        assert found.skipped == plain.skipped
        for layer in OPTIONS.names:
            torch.testing.assert_close(found.maxima(layer), plain.maxima(layer), rtol=1e-5, atol=1e-6)
            assert torch.equal(found.top(layer).places, plain.top(layer).places)


@given(maxima, st.data())
def test_the_area_is_the_share_of_pairs(values: list[list[int]], data: st.DataObject) -> None:
    shows = data.draw(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=len(values), max_size=len(values)))
    pairs = [
        (p * (1 - q), a, b)
        for i, (p, a) in enumerate(zip(shows, values, strict=True))
        for j, (q, b) in enumerate(zip(shows, values, strict=True))
        if i != j
    ]
    whole = sum(weight for weight, _, _ in pairs)
    if whole < 1e-6:
        return
    areas = auc(torch.tensor(values).float(), torch.tensor(shows))
    for column, area in enumerate(areas.tolist()):
        won = sum(w * ((a[column] > b[column]) + 0.5 * (a[column] == b[column])) for w, a, b in pairs)
        assert area == pytest.approx(won / whole, abs=1e-9)

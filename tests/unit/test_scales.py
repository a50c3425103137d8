"""The walk from coarse to fine."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from katazome.descent.scales import COARSEST, scale_sizes, stages

F32, BF16 = torch.float32, torch.bfloat16


@pytest.mark.parametrize(
    ("size", "scales", "smallest", "expected"),
    [
        ((512, 512), None, 48, [(128, 128), (256, 256), (512, 512)]),
        ((512, 512), 1, 48, [(512, 512)]),
        ((512, 512), 2, 48, [(256, 256), (512, 512)]),
        ((512, 512), 9, 48, [(64, 64), (128, 128), (256, 256), (512, 512)]),
        ((400, 600), None, 48, [(100, 150), (200, 300), (400, 600)]),
        ((64, 64), None, 48, [(64, 64)]),
        ((101, 333), 2, 48, [(50, 166), (101, 333)]),
        ((512, 512), None, 200, [(256, 256), (512, 512)]),
    ],
)
def test_sizes(size, scales, smallest, expected):
    assert scale_sizes(size[0], size[1], scales, smallest=smallest) == expected


def test_sizes_of_periodic_pictures_are_whole_strides():
    sizes = scale_sizes(416, 500, None, smallest=48, multiple=(32, 1))
    assert sizes == [(96, 125), (192, 250), (416, 500)] or all(h % 32 == 0 for h, _ in sizes)
    assert [w for _, w in sizes] == [125, 250, 500]


@given(
    st.integers(1, 5000), st.integers(1, 5000), st.none() | st.integers(1, 12), st.sampled_from([16, 48, 64])
)
def test_sizes_of_any_picture(height, width, scales, smallest):
    sizes = scale_sizes(height, width, scales, smallest=smallest)
    assert sizes[-1] == (height, width)
    assert scales is None or len(sizes) <= scales
    for k, (h, w) in enumerate(reversed(sizes)):
        assert abs(h - height / 2**k) <= 0.5
        assert abs(w - width / 2**k) <= 0.5
        if k:
            assert min(h, w) >= smallest
    if scales is None:
        assert min(sizes[0]) < 2 * COARSEST


def test_a_preview_walks_the_same_path():
    small, large = (scale_sizes(s, s, None, smallest=48) for s in (256, 2048))
    assert large[: len(small)] == small


@given(
    st.integers(1, 6),
    st.integers(1, 2000),
    st.sampled_from([(F32, F32), (BF16, F32)]),
    st.floats(0, 1),
)
def test_stages_cover_their_counts(scales, iterations, dtypes, share):
    sizes = [(64 * 2**k, 48 * 2**k) for k in range(scales)]
    walk = stages(sizes, iterations, dtypes[0], dtypes[1], share)
    for scale, size in enumerate(sizes):
        here = [s for s in walk if s.scale == scale]
        assert {(s.height, s.width, s.scales) for s in here} == {(*size, scales)}
        assert len({s.count for s in here}) == 1
        indices = [i for s in here for i in range(s.first, s.first + s.iterations)]
        assert indices == list(range(here[0].count))
    assert walk == sorted(walk, key=lambda s: (s.scale, s.first))
    counts = [next(s.count for s in walk if s.scale == k) for k in range(scales)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == iterations
    assert all(s.dtype == dtypes[0] for s in walk[:-1])


def test_precision():
    walk = stages([(64, 64), (128, 128)], 100, BF16, F32, 0.3)
    assert [(s.dtype, s.first, s.iterations, s.count) for s in walk] == [
        (BF16, 0, 150, 150),
        (BF16, 0, 70, 100),
        (F32, 70, 30, 100),
    ]
    assert [s.dtype for s in stages([(64, 64)], 10, BF16, F32, 1.0)] == [F32]
    assert len(stages([(64, 64)], 10, F32, F32, 0.3)) == 1

from __future__ import annotations

import pytest
import torch

from katazome.errors import PictureError
from katazome.pictures.sheet import sheet


def test_layout():
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    rows = [[("wide", red.expand(1, 3, 50, 100)), ("high", red.expand(1, 3, 100, 50)[0])], [("", red)]]
    out = sheet(rows, cell=64, gap=8)
    assert out.shape[:2] == (1, 3)
    assert out.shape[3] == 8 + 2 * (64 + 8)
    assert 0 <= float(out.min()) <= float(out.max()) <= 1
    is_red = (out[0, 0] > 0.9) & (out[0, 1] < 0.1)
    assert int(is_red.sum()) == 64 * 32 * 2 + 64 * 64


@pytest.mark.parametrize("background", [0.0, 1.0])
def test_captions_are_seen_and_wrapped(background):
    grey = torch.full((1, 3, 32, 32), background)
    plain = sheet([[("", grey)]], cell=64, background=background)
    short = sheet([[("one", grey)]], cell=64, background=background)
    long = sheet([[("one two three four five six", grey)]], cell=64, background=background)
    assert plain.shape[2] < short.shape[2] < long.shape[2]
    assert float(plain.std()) < 0.01 < float(short.std())


def test_captions_of_other_scripts_do_not_fail():
    assert sheet([[("型染め λ", torch.zeros(1, 3, 8, 8))]], cell=32).isfinite().all()


@pytest.mark.parametrize("rows", [[], [[]], [[("a", torch.zeros(2, 3, 4, 4))]]])
def test_wrong(rows):
    with pytest.raises(PictureError, match="contact sheet"):
        sheet(rows, cell=32)

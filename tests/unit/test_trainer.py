"""The trainer on a line through points: it learns, stops, goes on bit for bit, and says when it fails."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from katazome.errors import MethodError, OptionError, PictureError
from katazome.training.keeping import Log, read_state, write_state
from katazome.training.trainer import TrainingOptions, TrainingState, train


class Line:
    """Learns y = 3 x - 1."""

    def __init__(self, width: int = 1) -> None:
        torch.manual_seed(3)
        self.module: nn.Module = nn.Linear(1, width)

    def terms(self, step: int, draw: torch.Generator) -> Mapping[str, Tensor]:
        x = torch.rand(16, 1, generator=draw)
        return {"error": (self.module(x) - (3 * x - 1)).square().mean()}


OPTIONS = TrainingOptions(steps=40, learning_rate=0.2, seed=5)


def run(lesson: Line, resume: TrainingState | None = None) -> list[Tensor]:
    list(train(lesson, OPTIONS, resume))
    return [p.detach().clone() for p in lesson.module.parameters()]


def test_it_learns_and_its_steps_say_so() -> None:
    steps = list(train(Line(), OPTIONS))
    assert [s.index for s in steps] == list(range(1, 41))
    assert steps[0].rate == 0.2
    assert steps[20].rate == pytest.approx(0.1)
    assert steps[-1].terms["error"] < 0.1 * steps[0].terms["error"]
    assert steps[-1].seconds >= steps[0].seconds > 0


def test_it_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = run(Line())
    first = list(itertools.islice(train(Line(), OPTIONS), 17))[-1]
    write_state(tmp_path / "state", first.state(), {"options": OPTIONS.to_json()})
    state, header = read_state(tmp_path / "state")
    assert header == {"options": OPTIONS.to_json()}
    assert state.done == 17
    for a, b in zip(whole, run(Line(), state), strict=True):
        assert torch.equal(a, b)


def test_a_state_is_not_moved_by_later_steps() -> None:
    work = train(Line(), OPTIONS)
    state = next(work).state()
    kept = {name: tensor.clone() for name, tensor in {**state.module, **state.optimiser}.items()}
    next(work)
    assert all(torch.equal(t, kept[n]) for n, t in {**state.module, **state.optimiser}.items())


def test_another_seed_draws_otherwise() -> None:
    one, other = (next(train(Line(), TrainingOptions(seed=s))).terms["error"] for s in (1, 2))
    assert one != other


def test_a_loss_that_is_no_number_stops_it() -> None:
    lesson = Line()
    work = train(lesson, OPTIONS)
    next(work)
    with torch.no_grad():
        next(lesson.module.parameters()).fill_(torch.nan)
    with pytest.raises(MethodError, match="failed at step 2"):
        next(work)


def test_checkpoints_of_others(tmp_path: Path) -> None:
    write_state(tmp_path / "state", next(train(Line(2), OPTIONS)).state(), {})
    with pytest.raises(OptionError, match="of another network"):
        list(train(Line(), OPTIONS, read_state(tmp_path / "state")[0]))
    (tmp_path / "state").write_bytes((tmp_path / "state").read_bytes()[:-9])
    with pytest.raises(PictureError, match="not a whole checkpoint of training"):
        read_state(tmp_path / "state")


def test_the_log_is_gone_on_with(tmp_path: Path) -> None:
    log, steps = Log(tmp_path / "log.csv", 4), list(train(Line(), OPTIONS))
    for step in steps[:14]:
        log.step(step)
    again = Log(tmp_path / "log.csv", 4, done=10)
    for step in steps[10:]:
        again.step(step)
    rows = (tmp_path / "log.csv").read_text().split()
    assert rows[0] == "step,seconds,rate,error"
    assert [int(row.split(",")[0]) for row in rows[1:]] == list(range(4, 41, 4))

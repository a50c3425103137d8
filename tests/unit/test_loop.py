"""The descent as a stream: stopping, resuming, recovering, settling, and leaking nothing."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from torch import Tensor

from katazome.descent import checkpoint as checkpoint_module
from katazome.descent import loop
from katazome.descent.loop import SETTLED_STEPS, Checkpoint, descend
from katazome.descent.optimisers import LBFGS, Adam, Optimiser
from katazome.descent.scales import Stage, stages
from katazome.errors import MethodError, OutputError
from katazome.losses.content import Content
from katazome.losses.smoothness import Smoothness
from katazome.losses.style import GramStyle, Look, LookStatistics
from katazome.networks.vgg import Encoder, EncoderSettings
from katazome.objective.whole import Evaluation, Objective, Octave, feature_maps, gather
from katazome.pictures.resize import resize, shrink
from katazome.weights import tensorfile
from tests.tiny import tiny_vgg

SIZES = [(32, 40), (64, 80)]
MAKERS: dict[str, Callable[[], Optimiser]] = {"lbfgs": lambda: LBFGS(4), "adam": lambda: Adam(0.02)}
TAPS = ("relu1_1", "relu2_1", "relu3_1")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


class Tiny:
    """A real problem on the tiny network: content, style and smoothness, in bfloat16 or float32."""

    def __init__(self) -> None:
        self.encoder = Encoder(tiny_vgg(1), EncoderSettings())
        self.content, self.style = draw(1, 3, 64, 80, seed=1), draw(1, 3, 64, 64, seed=2).pow(3)

    def start(self, stage: Stage) -> Tensor:
        return resize(self.content, (stage.height, stage.width)).clone()

    def objective(self, stage: Stage) -> Objective:
        encoder = self.encoder.with_(dtype=stage.dtype)
        content = feature_maps(encoder, self.start(stage), ["relu3_1"])
        look = Look.of(gather(encoder, self.style, LookStatistics(TAPS)))
        losses = (
            Content(content, {"relu3_1": 1.0}),
            GramStyle(look.grams, dict.fromkeys(TAPS, 1 / 3), 10.0),
        )
        return Objective(encoder, [Octave(0, losses)], shrink, [Smoothness(0.01)])


class Fake:
    """Half the squared distance to a grey picture; ``trouble`` may change an evaluation by its number."""

    def __init__(self, trouble: Callable[[int, Evaluation], Evaluation] = lambda number, e: e) -> None:
        self.trouble = trouble
        self.calls = 0

    def start(self, stage: Stage) -> Tensor:
        return torch.full((1, 3, stage.height, stage.width), 0.9)

    def objective(self, stage: Stage) -> Any:
        def of(picture: Tensor) -> Evaluation:
            difference = picture - 0.5
            value = 0.5 * difference.square().sum().double()
            terms = {"near": value, "far": torch.zeros((), dtype=torch.float64)}
            self.calls += 1
            return self.trouble(self.calls, Evaluation(value, terms, difference.clone()))

        return of


def walk_of(iterations: int = 6, coarse: torch.dtype = torch.bfloat16) -> list[Stage]:
    return stages(SIZES, iterations, coarse, torch.float32, 0.5)


def one_stage(iterations: int = 20, size: tuple[int, int] = (4, 5)) -> list[Stage]:
    return stages([size], iterations, torch.float32, torch.float32, 0)


def spoilt(evaluation: Evaluation, value: float = math.nan, term: str = "near") -> Evaluation:
    bad = torch.tensor(value, dtype=torch.float64)
    return Evaluation(bad, {**evaluation.terms, term: bad}, evaluation.gradient * math.nan)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_walk_goes_down_and_tells_where_it_is(make):
    walk = walk_of(8)
    steps = list(descend(Tiny(), walk, make))
    assert [(s.scale, s.index) for s in steps] == [(0, k) for k in range(12)] + [(1, k) for k in range(8)]
    assert {(s.scale, s.height, s.width, s.count, s.scales) for s in steps} == {
        (0, 32, 40, 12, 2),
        (1, 64, 80, 8, 2),
    }
    assert [s.last for s in steps] == [False] * 19 + [True]
    assert not any(s.note for s in steps)
    for scale in (0, 1):
        losses = [s.loss for s in steps if s.scale == scale]
        assert losses[-1] < 0.9 * losses[0]
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(steps))
    end = steps[-1]
    assert set(end.terms) == {"content", "style", "smoothness"}
    assert sum(end.terms.values()) == pytest.approx(end.loss)
    assert tuple(end.picture.shape) == (1, 3, 64, 80)
    assert float(end.picture.min()) >= 0
    assert float(end.picture.max()) <= 1
    assert end.image().size == (80, 64)


def test_what_it_shows_is_finished_by_the_caller() -> None:
    (step,) = descend(Fake(), one_stage(1), MAKERS["lbfgs"], finish=lambda picture: picture[:, :1] * 0.5)
    assert step.picture.shape == (1, 1, 4, 5)
    torch.testing.assert_close(step.picture, torch.full((1, 1, 4, 5), 0.45))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_steps_are_frozen_and_their_pictures_stay(make):
    seen = []
    for step in descend(Tiny(), walk_of(3), make):
        seen.append((step, step.picture.clone(), step.loss, step.terms))
        with pytest.raises(dataclasses.FrozenInstanceError):
            step.note = "no"  # type: ignore[misc]
    for step, picture, loss, terms in seen:
        assert torch.equal(step.picture, picture)
        assert (step.loss, step.terms) == (loss, terms)


def test_stops_when_closed() -> None:
    problem = Fake()
    stream = descend(problem, one_stage(), MAKERS["lbfgs"])
    for _ in range(3):
        next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert problem.calls == 3
    with pytest.raises(StopIteration):
        next(stream)


def test_nothing_is_worked_out_before_it_is_asked_for() -> None:
    problem = Fake()
    stream = descend(problem, one_stage(), MAKERS["lbfgs"])
    assert problem.calls == 0
    next(stream)
    assert problem.calls == 1


def frozen(checkpoint: Checkpoint) -> Checkpoint:
    """As a file would keep it."""
    optimiser = {name: value.clone() for name, value in checkpoint.optimiser.items()}
    return dataclasses.replace(checkpoint, picture=checkpoint.picture.clone(), optimiser=optimiser)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_resumes_bit_for_bit_from_any_step(make):
    walk = walk_of(4)
    whole = [(s, s.picture, s.loss, frozen(s.checkpoint())) for s in descend(Tiny(), walk, make)]
    assert len(whole) == 10
    for number, (_, _, _, checkpoint) in enumerate(whole):
        again = list(descend(Tiny(), walk, make, resume=checkpoint))
        assert len(again) == len(whole) - number
        for step, (expected, picture, loss, _) in zip(again, whole[number:], strict=True):
            assert (step.scale, step.index, step.last, step.note) == (
                expected.scale,
                expected.index,
                expected.last,
                expected.note,
            )
            assert step.loss == loss
            assert torch.equal(step.picture, picture)
        assert again[0].seconds >= checkpoint.seconds


def test_resumes_what_was_about_to_settle() -> None:
    make = MAKERS["lbfgs"]
    whole = [(s.note, s.picture, frozen(s.checkpoint())) for s in descend(Fake(), one_stage(60), make)]
    for number, (_, _, checkpoint) in enumerate(whole):
        again = [(s.note, s.picture) for s in descend(Fake(), one_stage(60), make, resume=checkpoint)]
        assert [note for note, _ in again] == [note for note, _, _ in whole[number:]]
        assert torch.equal(again[-1][1], whole[-1][1])


def test_a_checkpoint_asked_for_too_late_is_refused() -> None:
    stream = descend(Fake(), one_stage(), MAKERS["lbfgs"])
    first = next(stream)
    first.checkpoint()
    next(stream)
    with pytest.raises(MethodError, match="before the next step"):
        first.checkpoint()


def test_settles_early_and_says_so() -> None:
    problem = Fake()
    steps = list(descend(problem, one_stage(500), MAKERS["lbfgs"]))
    assert SETTLED_STEPS < len(steps) < 60
    assert steps[-1].note == "the picture no longer changes: done"
    assert steps[-1].last
    assert not any(s.note or s.last for s in steps[:-1])
    torch.testing.assert_close(steps[-1].picture, torch.full((1, 3, 4, 5), 0.5), rtol=0, atol=1e-3)


def test_a_settled_scale_makes_way_for_the_next() -> None:
    walk = stages([(4, 5), (8, 10)], 100, torch.float32, torch.float32, 0)
    steps = list(descend(Fake(), walk, MAKERS["lbfgs"]))
    coarse = [s for s in steps if s.scale == 0]
    assert coarse[-1].note == "the picture no longer changes: going on to the next stage"
    assert not coarse[-1].last
    assert steps[-1].scale == 1
    assert steps[-1].note.endswith("done")


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e6])
def test_goes_back_to_the_last_good_picture(make, value):
    problem = Fake(lambda number, e: spoilt(e, value) if number == 5 else e)
    steps = list(descend(problem, one_stage(12), make))
    assert len(steps) == 12
    what = "the loss exploded" if value == 1e6 else "near is not a number"
    assert steps[4].note == f"{what}; went back to the best picture so far, with smaller steps"
    assert not any(s.note for s in steps[:4] + steps[5:])
    assert all(math.isfinite(s.loss) for s in steps)
    best = min(steps[:4], key=lambda s: s.loss)
    assert steps[4].loss == best.loss
    assert steps[-1].loss < steps[0].loss
    assert problem.calls == 13


def test_a_gradient_that_is_not_a_number_is_noticed_at_the_next_step() -> None:
    def trouble(number: int, e: Evaluation) -> Evaluation:
        return Evaluation(e.total, e.terms, e.gradient * math.nan) if number == 3 else e

    steps = list(descend(Fake(trouble), one_stage(12), MAKERS["lbfgs"]))
    assert "not a number" in steps[3].note
    assert all(math.isfinite(s.loss) and bool(s.picture.isfinite().all()) for s in steps)
    assert steps[-1].loss < steps[0].loss


def test_gives_up_after_too_many_explosions_and_keeps_the_best() -> None:
    def trouble(number: int, e: Evaluation) -> Evaluation:
        return spoilt(e) if number > 4 and float(e.total) < 1 else e

    problem = Fake(trouble)
    steps = list(descend(problem, one_stage(100), MAKERS["lbfgs"]))
    assert steps[-1].last
    assert len(steps) < 40
    assert bool(steps[-1].picture.isfinite().all())


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_start_that_is_not_a_number_names_the_term(value):
    problem = Fake(lambda number, e: spoilt(e, value, "far"))
    with pytest.raises(MethodError, match="cannot be evaluated at the start: far is not a number"):
        next(iter(descend(problem, one_stage(), MAKERS["lbfgs"])))


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_gradient_modes_do_not_leak(mode, make):
    walk = walk_of(3)
    expected = [s.picture for s in descend(Tiny(), walk, make)]
    with mode():
        state = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        found = []
        for step in descend(Tiny(), walk, make):
            assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == state
            found.append(step.picture)
            assert not step.picture.requires_grad
            step.checkpoint()
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == state
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)
    stream = descend(Tiny(), walk, make)
    with mode():
        next(stream)
    next(stream)  # the mode may change under way


def test_resumes_under_inference_mode() -> None:
    walk = walk_of(3)
    make = MAKERS["lbfgs"]
    steps = descend(Tiny(), walk, make)
    for _ in range(3):
        step = next(steps)
    with torch.inference_mode():
        checkpoint = frozen(step.checkpoint())
        resumed = list(descend(Tiny(), walk, make, resume=checkpoint))
    plain = list(descend(Tiny(), walk, make))
    assert torch.equal(resumed[-1].picture, plain[-1].picture)


def test_numbers_are_read_sparingly_where_reading_waits() -> None:
    guard = loop._Guard(None, torch.device("cuda"), 34)
    assert [k for k in range(35) if guard.looks(k)] == [0, 10, 20, 30, 34]  # the result always
    assert all(loop._Guard(None, torch.device("cpu"), 34).looks(k) for k in range(35))


def test_a_checkpoint_on_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(tensorfile, "save_file", full)
    where = Checkpoint(0, 0, 0.0, 0, 1.0, torch.zeros(1, 3, 4, 4), {})
    with pytest.raises(
        OutputError, match=r"out\.png\.checkpoint cannot be written: the disk is full; make room"
    ):
        checkpoint_module.write_checkpoint(tmp_path / "out.png.checkpoint", where, {}, {})
    assert not list(tmp_path.iterdir())

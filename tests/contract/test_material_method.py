"""The method material beyond what every method keeps to: what the model sees, and going on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from katazome.api import Session, Work
from katazome.descent.checkpoint import checkpoint_path
from katazome.errors import OptionError
from katazome.losses.base import Window
from katazome.losses.recognised import Recognised
from katazome.networks.segmenter import Segmenter
from tests.contract.test_methods import PAINTING, PHOTO
from tests.tiny import tiny_vgg


@pytest.fixture
def session() -> Session:
    return Session(weights=tiny_vgg(), device="cpu", heap=False)


def left() -> Tensor:
    mask = torch.zeros_like(PHOTO)
    mask[..., : PHOTO.shape[3] // 2] = 1
    return mask


def laid_out(session: Session, segmenter: Segmenter, **options: Any) -> Work:
    from katazome.regions.region import Region

    given: dict[str, Any] = {
        "where": Region.mask(left()),
        "model": segmenter,
        "to": "stone",
        "size": "96x64",
        "scales": 1,
    }
    given |= {"precision": "float32", "iterations": 8, **options}
    return session.prepare(PHOTO, [PAINTING], method="material", **given)


def test_the_loss_by_hand() -> None:
    scores = torch.tensor([[2.0, 0.0, 1.0], [0.0, 0.0, 3.0]]).T.view(1, 3, 1, 2)
    guides = {"relu1_1": torch.tensor([[[[1.0, 0.25]]]])}
    loss = Recognised(lambda _: scores, "relu1_1", 0, 1.0, guides)
    p = scores.softmax(1)[0, 0, 0]
    expected = -(p[0].log() + 0.25 * p[1].log() + 0.75 * (1 - p[1]).log()) / 2
    sums = loss.partial({"relu1_1": torch.zeros(1, 3, 1, 2)}, Window(0, 1, 0, 2))
    torch.testing.assert_close(loss.value(sums), expected)


def test_jointly_the_model_comes_to_see_it(session: Session, segmenter: Segmenter) -> None:
    seen = {}
    for joint in (False, True):
        work = laid_out(session, segmenter, joint=joint, recognition_weight=100.0, iterations=20)
        steps = list(work.steps())
        assert ("recognised" in steps[-1].terms) == joint
        made = steps[-1].picture
        scores, _ = segmenter(made)
        seen[joint] = float(scores.softmax(1)[0, 1, :, : scores.shape[3] // 2].mean())
    assert seen[True] > seen[False] + 0.1


def test_what_joint_needs(session: Session, segmenter: Segmenter) -> None:
    with pytest.raises(OptionError, match="give its file by --model"):
        laid_out(session, segmenter, model="", joint=True)
    with pytest.raises(OptionError, match="the model knows no 'ston'; did you mean 'stone'"):
        laid_out(session, segmenter, to="ston", joint=True)


def test_a_checkpoint_has_the_model_in_it(session: Session, segmenter: Segmenter, tmp_path: Path) -> None:
    work = laid_out(session, segmenter, joint=True)
    whole = list(work.steps())[-1].picture
    path = checkpoint_path(tmp_path / "out.png")
    for step in work.steps():
        if step.index == 3:
            work.save(path, step.checkpoint(), {})
            break
    again, state, _ = session.resume(path)
    assert again.inputs.segmenter is not None
    assert again.inputs.segmenter.facts == segmenter.facts
    assert torch.equal(list(again.steps(state))[-1].picture, whole)

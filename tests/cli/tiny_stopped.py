"""The tiny program, of several processes: the second is interrupted after the seventh step of its work."""

import os
import signal
from collections.abc import Iterator
from typing import Any

from katazome.cli import settings, training
from katazome.cli.main import run
from katazome.descent.loop import Step
from katazome.processes import rank
from katazome.training.trainer import TrainingStep, train
from katazome.work import Work
from tests.tiny import tiny_vgg


def stopped(*arguments: Any) -> Iterator[TrainingStep]:
    for step in train(*arguments):
        if step.index == 7 and rank() == 1:
            os.kill(os.getpid(), signal.SIGINT)
        yield step


def painted(work: Work, resume: Any = None) -> Iterator[Step]:
    for number, step in enumerate(work.task.steps(resume), 1):
        if number == 7 and rank() == 1:
            os.kill(os.getpid(), signal.SIGINT)
        yield step


if __name__ == "__main__":
    replaced: Any = settings
    replaced.open_vgg = lambda *_, **__: tiny_vgg()
    replaced_too: Any = training
    replaced_too.train = stopped
    painting: Any = Work
    painting.steps = painted
    run()

"""Who makes a picture: this process alone, with helpers that it starts, or with others of torchrun's."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from katazome.api import Session
from katazome.cli.drive import INTERRUPTED, Interrupt
from katazome.descent.loop import Checkpoint
from katazome.device import describe
from katazome.errors import OptionError
from katazome.jobs.together import check_devices, follow, helped
from katazome.objective.sharing import ALONE, Partners
from katazome.processes import join, launched, rank, same_in_all, size
from katazome.weights.flavours import VGGWeights
from katazome.work import Work


@dataclass(frozen=True)
class Team:
    """The processes of one picture; ``started`` are the devices of those that this one leads and starts."""

    device: str
    partners: Partners = ALONE
    started: tuple[torch.device, ...] = ()

    @staticmethod
    def of(device: str, devices: Sequence[str], inputs: Sequence[str] = ()) -> Team:
        """Return the team that was asked for, or that torchrun has made.

        Helpers on the processor share its threads with this process. Raises :class:`OptionError` for what
        cannot be shared out.
        """
        if launched():
            if devices:
                raise OptionError("torchrun has started the processes; leave devices out")
            if "-" in inputs:
                raise OptionError("of several processes one alone could read standard input; give a file")
            own = join(device)
            alike = f"{describe(own)}, torch {torch.__version__}"
            if not same_in_all(alike):
                raise OptionError(
                    f"the processes do not compute alike (this one: {alike}); take machines of one kind, "
                    "with as many threads each"
                )
            return Team(str(own), Partners(rank(), size()))
        if not devices:
            return Team(device)
        if device not in ("", "auto"):
            raise OptionError("device and devices both say where to compute; give one of them")
        found = check_devices(devices)
        if found[0].type == "cpu":
            torch.set_num_threads(max(1, torch.get_num_threads() // len(found)))
        return Team(str(found[0]), Partners(0, len(found)), tuple(found))

    def check(self, work: Work) -> None:
        """Raise :class:`OptionError` where there is less work than processes."""
        if work.plan.processes < self.partners.size:
            leg = work.plan.legs[-1]
            raise OptionError(
                f"{self.partners.size} processes cannot share this: {work.method.name} makes a picture of "
                f"{leg.width} x {leg.height} px in one piece; take fewer devices, or a larger --size"
            )

    def session(self, weights: VGGWeights, decoders: Sequence[str]) -> Session:
        """Return this process's session."""
        return Session(device=self.device, weights=weights, decoders=decoders, partners=self.partners)

    def helped(self, work: Work, session: Session, resume: Checkpoint | None) -> AbstractContextManager[None]:
        """Have the helpers there as long as it lasts."""
        return helped(work, session, self.started, resume) if self.started else nullcontext()


NOBODY_ELSE = Team("")


def followed(work: Work, resume: Checkpoint | None) -> int:
    """Do work as a process that does not lead, and return the exit code."""
    with Interrupt(quiet=True) as interrupt:
        return 0 if follow(work, resume, lambda: interrupt.asked) else INTERRUPTED

"""One picture made by several processes of this machine: this one leads, helpers take a part of the tiles.

A helper is sent what the leader has laid out, with pictures read and tiles decided, and follows its descent
(:mod:`katazome.objective.sharing`). It writes nothing and says nothing. A Ctrl-C is the leader's to hear; a
helper ends when the leader does, however that came about.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import torch

from katazome.api import Session
from katazome.descent.loop import Checkpoint
from katazome.device import resolve_device
from katazome.errors import MethodError, OptionError, sentence
from katazome.methods.base import Inputs, get_method
from katazome.networks.decoders import DecoderWeights
from katazome.objective.sharing import Partners
from katazome.processes import in_any, meet, part_ways
from katazome.weights.flavours import VGGWeights
from katazome.work import Work, decided, on_device

_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name))
_PATIENCE = 20.0
"""Seconds that a helper has to end by itself."""


def check_devices(names: Sequence[str]) -> list[torch.device]:
    """Return the devices of several processes, one each.

    Raises :class:`OptionError` where one is not there or is named for two, or where they are not of one kind.
    """
    if len(names) < 2:
        raise OptionError(f"devices names one, {names[0]}; name several, as cpu,cpu, or one by --device")
    found = []
    for name in names:
        if name == "auto":
            raise OptionError("devices has 'auto' in it; name each, as cuda:0,cuda:1 or cpu,cpu")
        device = resolve_device(name)
        found.append(torch.device("cuda", device.index or 0) if device.type == "cuda" else device)
    kinds = sorted({device.type for device in found})
    if len(kinds) > 1:
        raise OptionError(
            f"devices are of several kinds, {' and '.join(kinds)}; all processes must round alike, so name "
            "one kind"
        )
    if kinds == ["mps"]:
        raise OptionError("devices names mps several times; there is one, take --device mps")
    if kinds == ["cuda"] and len(set(found)) < len(found):
        raise OptionError(f"devices are {','.join(names)}; each cuda device can be named once")
    return found


def follow(work: Work, resume: Checkpoint | None, stopped: Callable[[], bool] = lambda: False) -> bool:
    """Do work as one that does not lead; False when it was interrupted in any process."""
    for step in work.steps(resume):
        stop = in_any(stopped())
        if step.last:
            return True
        if stop:
            return False
    raise AssertionError("the stream ended without a last step")


@dataclass(frozen=True)
class _Order:
    """All that a helper needs. Tensors go as they are: through a pipe, not by shared memory."""

    method: str
    options: dict[str, Any]
    inputs: Inputs
    resume: Checkpoint | None
    weights: VGGWeights
    decoders: Sequence[Path | DecoderWeights]
    threads: int


@contextmanager
def helped(
    work: Work,
    session: Session,
    devices: Sequence[torch.device],
    resume: Checkpoint | None = None,
) -> Iterator[None]:
    """Have helpers for ``work`` on all ``devices`` but the first, which is this process's.

    ``session`` has as many partners.

    Raises :class:`MethodError` when a helper fails or dies.
    """
    order = _Order(
        work.method.name,
        decided(work.options, work.plan),
        replace(work.inputs, seen=None),
        None if resume is None else on_device(resume, torch.device("cpu")),
        session.encoder.weights,
        session.given_decoders,
        torch.get_num_threads(),
    )
    sent = pickle.dumps(order)
    crew: list[_Helper] = []
    with tempfile.TemporaryDirectory(prefix="katazome-") as folder:
        place = Path(folder) / "meeting"
        try:
            with _deaf():  # what is started now hears no Ctrl-C from its first moment on
                for number in range(1, len(devices)):
                    crew.append(_Helper.started(sent, devices, place, number))
            for helper in crew:
                helper.wait()
            meet(session.device, place, 0, len(devices))
            yield
            for helper in crew:
                helper.process.join(_PATIENCE)
        except RuntimeError as error:
            ended = [helper.failure() for helper in crew if helper.ended()]
            if ended:
                raise ended[0] from error
            raise
        finally:
            for helper in crew:
                helper.process.terminate()
                helper.process.join()
            part_ways()


@dataclass(frozen=True)
class _Helper:
    process: SpawnProcess
    wire: Connection
    name: str

    @staticmethod
    def started(sent: bytes, devices: Sequence[torch.device], place: Path, number: int) -> _Helper:
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe(duplex=False)
        arguments = (sent, str(devices[number]), place, number, len(devices), there)
        process = context.Process(target=_help, args=arguments, daemon=True)
        process.start()
        there.close()
        return _Helper(process, here, f"process {number + 1} of {len(devices)} ({devices[number]})")

    def wait(self) -> None:
        """Return when it is ready."""
        try:
            told = self.wire.recv()
        except EOFError:
            told = None
        if told != "":
            self.process.join(_PATIENCE)
            raise self.failure(told)

    def ended(self) -> bool:
        """Whether it is no longer there, or about to go."""
        self.process.join(1.0)
        return self.process.exitcode is not None

    def failure(self, told: str | None = None) -> MethodError:
        """Return what to say of its end."""
        if told is None:
            with suppress(EOFError, OSError):
                told = self.wire.recv() if self.wire.poll() else None
        code = self.process.exitcode
        if told is None and code == -signal.SIGKILL:
            told = "it was killed; there may be too little memory for so many"
        elif told is None:
            told = f"it ended with exit code {code}"
        return MethodError(
            f"{self.name} has failed, and with it the work: {told}. What was saved before still stands"
        )


@contextmanager
def _deaf() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _help(sent: bytes, device: str, place: Path, number: int, count: int, wire: Connection) -> None:
    """Be a helper."""
    for one in _SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    threading.Thread(target=_end_with_leader, daemon=True).start()
    try:
        order: _Order = pickle.loads(sent)
        torch.set_num_threads(order.threads)
        session = Session(
            device=device, weights=order.weights, decoders=order.decoders, partners=Partners(number, count)
        )
        method = get_method(order.method)
        work = session.lay_out(method, method.options.from_json(order.options), order.inputs)
        wire.send("")
        meet(session.device, place, number, count)
        follow(work, None if order.resume is None else on_device(order.resume, session.device))
        part_ways()
    except Exception as error:
        with suppress(OSError):
            wire.send(sentence(error))
        raise SystemExit(1) from None


def _end_with_leader() -> None:
    leader = multiprocessing.parent_process()
    if leader is not None:
        leader.join()
        os._exit(1)

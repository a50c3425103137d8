"""A picture made in a process of its own: what it takes is then its own too.

Memory that another picture took before, or that the network takes that measures, does not count; nor does one
method find warm what another paid for.
"""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from katazome.api import Session, drain
from katazome.device import peak_memory
from katazome.errors import MethodError, sentence
from katazome.jobs.manifest import Figures
from katazome.pictures.write import write


@dataclass(frozen=True)
class Order:
    """A picture to be made: all that another process needs."""

    content: Path
    styles: tuple[Path, ...]
    method: str
    options: Mapping[str, Any]
    target: Path
    """Where it is written."""
    session: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of :class:`katazome.api.Session`."""


def made_here(order: Order) -> Figures:
    """Make the picture in this process; return what it took.

    ``seconds`` from all networks opened and pictures read to the picture finished, ``opening`` for what was
    before (without Python's own start and imports), ``peak MB`` of main memory, and of the card where there
    is one.
    """
    began = time.perf_counter()
    session = Session(**order.session)
    work = session.prepare(order.content, order.styles, method=order.method, **order.options)
    opened = time.perf_counter()
    result = drain(work).tensor[:, :3]
    done = time.perf_counter()
    write(result, order.target, overwrite=True)
    figures: Figures = {
        "seconds": round(done - opened, 2),
        "opening": round(opened - began, 2),
        "peak MB": peak_memory() >> 20,
        "threads": torch.get_num_threads(),
        "precision": work.recipe.precision,
    }
    if session.device.type == "cuda":
        figures["card MB"] = torch.cuda.max_memory_reserved(session.device) >> 20
    return figures


def made_apart(order: Order) -> Figures:
    """Make the picture in a fresh process; return what it took, as :func:`made_here`.

    Raises :class:`MethodError` with the sentence of what went wrong there, or of how the process ended.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    # Pickled here: sent as they are, tensors would go through shared memory, of which a container has little.
    process = context.Process(target=_serve, args=(there, pickle.dumps(order)), daemon=True)
    process.start()
    there.close()
    answer: tuple[Figures | None, str] = (None, "")
    try:
        with suppress(EOFError):  # it died
            answer = here.recv()
        process.join()
    finally:
        process.terminate()
        process.join()
    figures, failed = answer
    if figures is None:
        killed = process.exitcode == -signal.SIGKILL
        raise MethodError(
            failed
            or "the process that made it "
            + (
                "was killed: there may be too little memory; take a smaller --size"
                if killed
                else f"ended with the code {process.exitcode}"
            )
        )
    return figures


def _serve(wire: Connection, order: bytes) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the parent's to hear
    try:
        wire.send((made_here(pickle.loads(order)), ""))
    except Exception as error:
        wire.send((None, sentence(error)))

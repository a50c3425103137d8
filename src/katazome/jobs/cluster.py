"""Cases done by a Ray cluster: Ray as it is, which schedules them and tries them again when a worker dies.

All machines see the results' folder, and the inputs, under the same path, and have this package. Each worker
writes its results as :mod:`katazome.jobs.crew` has it, whole or not at all. A case tried again that finds its
own result there takes it, or writes the same once more.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from katazome.errors import MethodError, require
from katazome.jobs.crew import Outcome, Worker, attempt
from katazome.jobs.manifest import Case

RAY = "ray"
_TRIES = 3
"""So often is a case tried again whose worker, or machine, died."""
_AHEAD = 2
"""Cases handed to Ray for each that can run at once: the others wait here, of however many there are."""
_LOOK = 0.2
"""Seconds between looks at whether the user has interrupted."""
_PATIENCE = 10.0
"""Seconds in which a cluster's machine must answer."""

_workers: dict[str, Worker] = {}
"""In a process of Ray's: the worker of the run it serves, with its network."""


def on_ray(
    worker: Worker, cases: Sequence[Case], stopped: Callable[[], bool], address: str = ""
) -> Iterator[Outcome]:
    """Do cases on a cluster and yield what came of each, as they are done.

    Args:
        worker: sent to each process once.
        cases: what is to be done; each takes as many processors as it has ``threads`` among its values.
        stopped: asked now and then; when true, what is in hand is given up.
        address: of the cluster, ``HOST:PORT`` or ``auto``; empty starts one on this machine.

    Raises :class:`MethodError` without Ray, or where there is no cluster at the address.
    """
    ray = require("ray", RAY, "--on ray", MethodError)
    try:
        _knock(address)
        ray.init(address=address or None, log_to_driver=False, configure_logging=False)
    except (OSError, ValueError, RuntimeError) as error:
        where = f"at '{address}'" if address else "to be started here"
        raise MethodError(
            f"there is no Ray cluster {where}: {str(error).splitlines()[0]}; start one by `ray start --head`"
        ) from error
    try:
        key = uuid.uuid4().hex
        there = ray.put(worker)
        serve = ray.remote(_serve)
        waiting = list(cases)[::-1]
        running: dict[Any, Case] = {}
        while (waiting or running) and not stopped():
            while waiting and len(running) < _AHEAD * _places(ray, waiting[-1]):
                case = waiting.pop()
                task = serve.options(num_cpus=case.values["threads"], max_retries=_TRIES)
                running[task.remote(key, [there], os.getcwd(), case)] = case  # noqa: PTH109
            done, _ = ray.wait(list(running), timeout=_LOOK)
            for reference in done:
                yield _outcome(ray, reference, running.pop(reference))
        for reference in running:
            ray.cancel(reference, force=True)
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise :class:`OSError` at once where nothing listens; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()


def _places(ray: Any, case: Case) -> int:
    """How many cases can run at once, as far as is known now: machines come and go."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)) // int(case.values["threads"]))


def _outcome(ray: Any, reference: Any, case: Case) -> Outcome:
    try:
        outcome: Outcome = ray.get(reference)
    except ray.exceptions.RayError as error:
        return Outcome(case, failed=f"its worker died {_TRIES + 1} times: {str(error).splitlines()[0]}")
    return outcome


def _serve(key: str, held: list[Any], folder: str, case: Case) -> Outcome:
    """Be a process of the cluster: do one case. ``held`` refers to the worker, which is fetched once."""
    if key not in _workers:
        ray = require("ray", RAY, "--on ray", MethodError)
        os.chdir(folder)  # from where files that options name are looked for
        _workers.clear()
        _workers[key] = ray.get(held[0])
    return attempt(_workers[key], case, _never)


def _never() -> bool:
    return False

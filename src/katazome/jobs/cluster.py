"""Cases done by a Ray cluster: Ray as it is, which schedules them and tries them again when a worker dies.

All machines have this package. They see the results' folder, and the inputs, under the same path: each worker
then writes its results as :mod:`katazome.jobs.crew` has it, whole or not at all, and a case tried again that
finds its own result there takes it, or writes the same once more. Or they see none of them: then a courier
sends the inputs with each case, and keeps what comes back.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from katazome.errors import KatazomeError, MethodError, require, sentence
from katazome.jobs.crew import Courier, Outcome, Worker, attempt
from katazome.jobs.manifest import Case, Figures
from katazome.pictures.read import file_bytes

RAY = "ray"
_TRIES = 3
"""So often is a case tried again whose worker, or machine, died."""
_AHEAD = 2
"""Cases handed to Ray for each that can run at once: the others wait here, of however many there are."""
_LOOK = 0.2
"""Seconds between looks at whether the user has interrupted."""
_PATIENCE = 10.0
"""Seconds in which a cluster's machine must answer, and in which what is given up can tidy up."""

_served: dict[str, Any] = {}
"""In a process of Ray's: the worker, or courier, of the run it serves, with its network."""


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
    with _cluster(address) as ray:
        serve = _task(ray, _serve, worker)

        def begin(case: Case) -> Any:
            return serve(case, os.getcwd())  # noqa: PTH109

        for outcome, _ in _scheduled(ray, cases, stopped, begin):
            yield outcome


def sent_by_ray(
    courier: Courier, cases: Sequence[Case], stopped: Callable[[], bool], address: str = ""
) -> Iterator[Outcome]:
    """Do cases on machines that see none of our folders; otherwise as :func:`on_ray`."""
    with _cluster(address) as ray:
        serve = _task(ray, _serve_apart, courier)

        shelf = _Shelf(ray, Counter(file for case in cases for file in courier.files(case)))

        def begin(case: Case) -> Any:
            return serve(case, [shelf.take(file) for file in courier.files(case)])

        for outcome, made in _scheduled(ray, cases, stopped, begin):
            if outcome.figures is None:
                # a disk that is full there is full for that case alone
                yield replace(outcome, hopeless=False)
            else:
                yield attempt(outcome.case, partial(courier.take_in, outcome.case, outcome.figures, made))


@dataclass
class _Shelf:
    """Files that Ray holds, each until the last case that needs it has begun: then the task keeps it."""

    ray: Any
    needed: Counter[Path]
    """How many more times."""
    _held: dict[Path, Any] = field(default_factory=dict)

    def take(self, file: Path) -> Any:
        """Return Ray's reference to a file's bytes; :class:`PictureError` when it cannot be read."""
        self.needed[file] -= 1
        if file not in self._held:
            self._held[file] = self.ray.put(file_bytes(file)[0])
        return self._held[file] if self.needed[file] else self._held.pop(file)


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    """Have Ray, and a cluster."""
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
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise :class:`OSError` at once where nothing listens; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()


def _task(ray: Any, serve: Callable[..., tuple[Outcome, bytes]], served: Any) -> Callable[[Case, Any], Any]:
    """Return what has a case served by the cluster, with something more, and returns Ray's reference."""
    key, there, remote = uuid.uuid4().hex, ray.put(served), ray.remote(serve)

    def begin(case: Case, more: Any) -> Any:
        options = {"num_cpus": case.values["threads"], "max_retries": _TRIES}
        return remote.options(**options).remote(key, [there], case, more)

    return begin


def _scheduled(
    ray: Any, cases: Sequence[Case], stopped: Callable[[], bool], begin: Callable[[Case], Any]
) -> Iterator[tuple[Outcome, bytes]]:
    """Hand cases to Ray, not too many ahead, and yield what comes back."""
    waiting = list(cases)[::-1]
    running: dict[Any, Case] = {}
    while (waiting or running) and not stopped():
        while waiting and not stopped() and len(running) < _AHEAD * _places(ray, waiting[-1]):
            case = waiting.pop()
            try:
                running[begin(case)] = case
            except KatazomeError as error:  # a file of its own is gone
                yield Outcome(case, failed=str(error)), b""
        done, _ = ray.wait(list(running), timeout=_LOOK) if running else ([], [])
        for reference in done:
            yield _come_back(ray, reference, running.pop(reference))
    for reference in running:
        ray.cancel(reference)  # as by a Ctrl-C there, so that no file of ours is left
    if running:
        ray.wait(list(running), num_returns=len(running), timeout=_PATIENCE)


def _places(ray: Any, case: Case) -> int:
    """How many cases can run at once, as far as is known now: machines come and go.

    Raises :class:`MethodError` where no machine has as many processors as a case has threads: Ray would wait.
    """
    threads = int(case.values["threads"])
    cores = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    most = max(cores, default=0)
    if 0 < most < threads:  # a cluster may also begin with none
        raise MethodError(
            f"{threads} threads need as many processors, and the largest machine of the cluster has {most}; "
            "give fewer --threads"
        )
    return max(1, sum(cores) // threads)


def _come_back(ray: Any, reference: Any, case: Case) -> tuple[Outcome, bytes]:
    try:
        outcome, made = ray.get(reference)
    except ray.exceptions.RayTaskError as error:  # not of the case's work, which tells of itself
        return Outcome(case, failed=sentence(error.cause)), b""
    except ray.exceptions.RayError as error:
        return Outcome(case, failed=f"its worker died {_TRIES + 1} times: {str(error).splitlines()[0]}"), b""
    return outcome, made


def _serve(key: str, held: list[Any], case: Case, folder: str) -> tuple[Outcome, bytes]:
    """Be a process of the cluster: do one case in the folders that all see."""

    def work() -> Figures | None:
        worker: Worker = _fetched(key, held)
        try:
            os.chdir(folder)  # from where files that options name are looked for
        except OSError as error:
            raise MethodError(
                f"a machine of the cluster does not reach the folder '{folder}': {error.strerror}; all must, "
                "under the same path"
            ) from error
        return worker.do(case, _never)

    return attempt(case, work), b""


def _serve_apart(key: str, held: list[Any], case: Case, files: list[Any]) -> tuple[Outcome, bytes]:
    """Be a process of the cluster: do one case with the files that were sent."""
    back: list[bytes] = []

    def work() -> Figures:
        courier: Courier = _fetched(key, held)
        figures, made = courier.do(case, _fetch(files))
        back.append(made)
        return figures

    outcome = attempt(case, work)
    return outcome, back[0] if back else b""


def _fetched(key: str, held: list[Any]) -> Any:
    """Return the worker, or courier, that ``held`` refers to; it is fetched once."""
    if key not in _served:
        _served.clear()
        (_served[key],) = _fetch(held)
    return _served[key]


def _fetch(references: list[Any]) -> list[Any]:
    found: list[Any] = require("ray", RAY, "--on ray", MethodError).get(references)
    return found


def _never() -> bool:
    return False

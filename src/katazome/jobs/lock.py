"""One run at a time: who is at work on a folder of results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from katazome.errors import OutputError


@contextmanager
def only_run(books: Path, part: tuple[int, int]) -> Iterator[None]:
    """Be the only run of a part of a folder's cases, or of all of them.

    Runs of other parts of as many go on beside this one. The system frees the locks of a process that was
    killed.

    Raises :class:`OutputError` where another run is at it, or at parts of another number, which overlap with
    this one; or where the folder cannot be written.
    """
    number, parts = part
    own = FileLock(books / f".run-{number}-of-{parts}.lock")
    try:
        books.mkdir(parents=True, exist_ok=True)
        with FileLock(books / ".run.lock"):  # of two that begin at the same moment, one sees the other
            own.acquire(timeout=0)
            try:
                for file in books.glob(".run-*-of-*.lock"):
                    if not file.name.endswith(f"-of-{parts}.lock"):
                        with FileLock(file).acquire(timeout=0):
                            pass
            except Timeout:
                own.release()
                raise
    except Timeout:
        raise OutputError(
            f"another run is at work in '{books}'; wait for it to end; to share the work begin it as "
            "--part 1/2 and --part 2/2, or by --workers 2"
        ) from None
    except OSError as error:
        raise OutputError(f"the folder '{books}' cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        own.release()

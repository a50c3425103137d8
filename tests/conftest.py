"""What all tests share: the shared pictures, the real network, and the time of each folder."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from katazome.api import Session
from katazome.networks.segmenter import Segmenter
from katazome.weights.flavours import VGGWeights, open_vgg
from tests.materials import taught
from tests.tiny import tiny_decoders, tiny_vgg

# The machine may be busy with other things: how long one example takes says nothing.
hypothesis.settings.register_profile("katazome", deadline=None, print_blob=True)
hypothesis.settings.load_profile("katazome")

_SECONDS: dict[str, float] = defaultdict(float)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared pictures and known values; in CI it must be there."""
    beside = Path(__file__).parents[2] / "shared"
    folder = Path(os.environ.get("KATAZOME_TEST_DATA") or beside).expanduser()
    if not (folder / "data").is_dir():
        missing = f"there is no folder {folder}/data; KATAZOME_TEST_DATA says where the shared pictures are"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return folder


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """A session of the tiny random network on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with Session(weights=tiny_vgg(), decoders=tiny_decoders(), device="cpu", heap=False) as made:
        yield made
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def vgg() -> VGGWeights:
    """The real network of the catalogue, fetched at the first use."""
    return open_vgg()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up the time of each folder, setting up and tearing down included."""
    _SECONDS[report.nodeid.partition("::")[0].rpartition("/")[0] or "tests"] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print it."""
    if _SECONDS:
        terminalreporter.section("time of each folder")
        for folder, seconds in sorted(_SECONDS.items()):
            terminalreporter.line(f"{folder:<24} {seconds:7.1f} s")


@pytest.fixture(scope="session")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """A segmenter of two classes, fabric and stone, taught on the tiny network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KATAZOME_HOME", str(tmp_path_factory.mktemp("home")))
        return taught(tmp_path_factory.mktemp("classes"))

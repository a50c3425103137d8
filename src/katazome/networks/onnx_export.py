"""A network for one style as ONNX, for programs that run without torch.

What is written takes a picture (1, 3, H, W), float32, sRGB in [0, 1], of any height and width, and gives the
same restyled. It is run at several sizes before it is kept, and compared with this program's own float32.
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from katazome.errors import MethodError, OutputError, require
from katazome.networks.feedforward import (
    EPSILON,
    SMALLEST,
    FeedForward,
    FeedForwardWeights,
    chained,
    layers,
    prepared,
)

OPSET = 18
SIZES = ((64, 96), (97, 131), (240, 176))
"""Heights and widths at which both are compared: whole strides, odd sides, other than the one traced."""

BOUND = 1e-3
"""A difference (of 0..1) above this is an error: a quarter of a grey level of 8 bits."""

_TRACED = (72, 56)


class Plain(nn.Module):
    """The network in plain operations, as it is exported."""

    def __init__(self, weights: FeedForwardWeights) -> None:
        super().__init__()
        self.layers = {layer.name: layer for layer in layers(weights.facts.width)}
        for name, tensor in weights.tensors.items():
            self.register_buffer(name.replace(".", "_"), tensor.clone())

    def forward(self, picture: Tensor) -> Tensor:
        """Return a picture (1, 3, H, W) restyled, in [0, 1]."""
        return chained(picture, self._act).clamp(0, 1)

    def _act(self, x: Tensor, name: str, relu: bool) -> Tensor:
        layer = self.layers[name]
        own = {kind: getattr(self, f"{name}_{kind}") for kind in ("weight", *layer.kinds)}
        made = F.conv2d(prepared(x, layer), own["weight"], own.get("bias"), layer.stride)
        if not layer.normalised:
            return made
        made = F.instance_norm(made, weight=own["scale"], bias=own["shift"], eps=EPSILON)
        return made.relu() if relu else made


def export_onnx(weights: FeedForwardWeights, path: Path) -> dict[tuple[int, int], float]:
    """Write a network as ONNX, and return the largest difference from this program's, by size.

    Raises :class:`MethodError` when a library is missing, or the two differ by more than :data:`BOUND` (the
    file is then not written), :class:`OutputError` when it cannot be.
    """
    for module in ("onnx", "onnxscript"):
        require(module, "export", "writing ONNX", MethodError)
    runtime = require("onnxruntime", "export", "checking ONNX", MethodError)
    with tempfile.TemporaryDirectory() as folder:
        beside = Path(folder) / "network.onnx"
        _written(weights, beside)
        content = beside.read_bytes()
    found = compared(weights, runtime.InferenceSession(content, providers=["CPUExecutionProvider"]))
    worst = max(found, key=lambda size: found[size])
    if not found[worst] <= BOUND:
        raise MethodError(
            f"the exported network differs from this program's by {found[worst]:.2g} at {worst[1]} x "
            f"{worst[0]} px, more than {BOUND:g}; it was not written. Another version of torch or onnxscript "
            "may do"
        )
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        whole.write_bytes(content)
        whole.replace(path)
    except OSError as error:
        raise OutputError(f"'{path}' cannot be written: {error.strerror}") from error
    finally:
        whole.unlink(missing_ok=True)
    return found


def compared(
    weights: FeedForwardWeights, session: Any, sizes: Sequence[tuple[int, int]] = SIZES
) -> dict[tuple[int, int], float]:
    """Return the largest difference between a running ONNX network and this program's float32, by size."""
    own = FeedForward(weights)
    found: dict[tuple[int, int], float] = {}
    for height, width in sizes:
        picture = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height))
        (made,) = session.run(None, {"picture": picture.numpy()})
        expected = own(picture)
        if made.shape != tuple(expected.shape):
            raise MethodError(
                f"the exported network makes {made.shape} of a picture of {width} x {height} px, not "
                f"{tuple(expected.shape)}; it was not written. Another version of torch or onnxscript may do"
            )
        found[height, width] = float((torch.from_numpy(made) - expected).abs().max())
    return found


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep the exporter from telling of libraries that nobody needs here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _written(weights: FeedForwardWeights, path: Path) -> None:
    sides = {2: torch.export.Dim("height", min=SMALLEST), 3: torch.export.Dim("width", min=SMALLEST)}
    with warnings.catch_warnings(), _unlogged(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        torch.onnx.export(
            Plain(weights).eval(),
            (torch.rand(1, 3, *_TRACED),),
            str(path),
            input_names=["picture"],
            output_names=["restyled"],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=(sides,),
            external_data=False,
            verbose=False,
        )

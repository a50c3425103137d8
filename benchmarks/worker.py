"""A process that makes one kind of evaluation whenever a line comes in, and answers with its seconds.

Two of these, asked in turn, give ratios that hold while the machine's speed drifts, and each has a
heap of its own: the bare network runs as any program would, ours with the settings that the
command line makes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.api import Session, drain
from katazome.descent.optimisers import LBFGS
from katazome.descent.preconditioner import Preconditioner
from katazome.device import keep_heap, peak_memory
from katazome.losses.content import Content
from katazome.losses.gamut import Gamut
from katazome.losses.smoothness import Smoothness
from katazome.losses.style import GramStyle, Look, LookStatistics
from katazome.methods.options import CONTENT_LAYERS, STYLE_LAYERS
from katazome.networks.decoders import enlarges, mirrored, published
from katazome.networks.vgg import BLOCKS, Encoder, EncoderSettings
from katazome.objective.whole import Objective, Octave, feature_maps, gather
from katazome.weights.flavours import VGGWeights, open_vgg


def bare(weights: VGGWeights, size: int) -> Callable[[], object]:
    """VGG-19 to relu5_1 as anyone would write it: float32, autograd, sum of mean squares."""
    picture = torch.rand(1, 3, size, size)
    matrix, bias = weights.colour
    kernel = matrix.view(3, 3, 1, 1)

    def run() -> object:
        x = picture.clone().requires_grad_()
        h, loss = F.conv2d(x, kernel, bias), torch.zeros(())
        for block, count in enumerate(BLOCKS, 1):
            for index in range(1, count + 1):
                h = F.relu(F.conv2d(h, *weights.convs[f"conv{block}_{index}"], padding=1))
                if index == 1 or (block, index) == (4, 2):
                    loss = loss + h.square().mean()
                if (block, index) == (5, 1):
                    loss.backward()  # type: ignore[no-untyped-call]
                    return x.grad
            h = F.max_pool2d(h, 2)
        return None

    return run


def whole(weights: VGGWeights, size: int, dtype: torch.dtype, pooling: str = "max") -> Callable[[], object]:
    """One iteration of our whole objective, optimiser included: Gram, content, smoothness, L-BFGS."""
    keep_heap()
    encoder = Encoder(weights, EncoderSettings(dtype=dtype, pooling=pooling))  # type: ignore[arg-type]
    torch.manual_seed(0)
    content, style = (F.interpolate(torch.rand(1, 3, 32, 32), size=(size, size)) for _ in range(2))
    look = Look.of(gather(encoder, style, LookStatistics(STYLE_LAYERS)))
    losses = (
        GramStyle(look.grams, dict.fromkeys(STYLE_LAYERS, 0.2), 1000.0),
        Content(feature_maps(encoder, content, CONTENT_LAYERS), dict.fromkeys(CONTENT_LAYERS, 1.0)),
    )
    objective = Objective(encoder, [Octave(0, losses)], lambda x: x, [Smoothness(1e-3), Gamut()])
    optimiser = LBFGS(10, precondition=Preconditioner())
    state: list[Tensor] = [content]

    def run() -> object:
        evaluation = objective(state[0])
        state[0] = optimiser.step(state[0], evaluation.gradient)
        return float(evaluation.total)

    return run


def bare_adain(weights: VGGWeights, size: int) -> Callable[[], object]:
    """AdaIN as anyone would write it: two encodings, the decoder; float32, borders of zeros."""
    decoder, (matrix, bias) = published(), weights.colour
    content, style = (torch.rand(1, 3, size, size) for _ in range(2))

    def encode(picture: Tensor) -> Tensor:
        h = F.conv2d(picture, matrix.view(3, 3, 1, 1), bias)
        for name in reversed(mirrored("relu4_1")):
            h = F.relu(F.conv2d(h, *weights.convs[name], padding=1))
            h = F.max_pool2d(h, 2) if enlarges(name) else h
        return h

    def run() -> object:
        with torch.no_grad():
            f, s = encode(content), encode(style)
            (mean, deviation), (target, wanted) = (
                (x.mean((2, 3), keepdim=True), x.std((2, 3), keepdim=True)) for x in (f, s)
            )
            h = (f - mean) / deviation * wanted + target
            for name, pair in decoder.convs.items():
                h = F.interpolate(h, scale_factor=2) if enlarges(name) else h
                h = F.conv2d(h, *pair, padding=1)
                h = h if name == "conv1_1" else F.relu(h)
            return h

    return run


def whole_adain(weights: VGGWeights, size: int, precision: str) -> Callable[[], object]:
    """Our method from pictures in memory to the finished picture."""
    session = Session(weights=weights)
    content, style = (torch.rand(1, 3, size, size) for _ in range(2))

    def run() -> object:
        work = session.prepare(content, [style], method="adain", size=size, precision=precision, tile="off")
        return drain(work)

    return run


KINDS: dict[str, Callable[[VGGWeights, int], Callable[[], object]]] = {
    "bare float32": bare,
    "katazome float32": lambda w, s: whole(w, s, torch.float32),
    "katazome bfloat16": lambda w, s: whole(w, s, torch.bfloat16),
    "bare adain float32": bare_adain,
    "katazome adain float32": lambda w, s: whole_adain(w, s, "float32"),
    "katazome adain bfloat16": lambda w, s: whole_adain(w, s, "bfloat16"),
}


def main() -> None:
    """Serve: arguments are the kind and the size."""
    run = KINDS[sys.argv[1]](open_vgg(), int(sys.argv[2]))
    run()
    print("ready", flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        run()
        print(time.perf_counter() - began, peak_memory(), flush=True)


if __name__ == "__main__":
    main()

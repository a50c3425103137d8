"""A VGG-19 of a few channels with random weights: the whole house can be tested on it in moments."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from katazome.networks.decoders import LAYERS as DECODED
from katazome.networks.decoders import DecoderWeights, Facts, mirrored
from katazome.networks.feedforward import Facts as NetworkFacts
from katazome.networks.feedforward import FeedForwardWeights, parameters
from katazome.networks.wae_model import Facts as AutoencoderFacts
from katazome.networks.wae_model import WAEWeights
from katazome.weights.flavours import LAYERS, VGGWeights


def tiny_vgg(seed: int = 0, widths: Sequence[int] = (4, 8, 8, 8, 8)) -> VGGWeights:
    """Return random weights with ``widths`` channels in the five blocks.

    He's scale keeps the activations of every layer near 1, as the normalised network's are, so that
    losses and tolerances have their usual sizes. The colour map is an arbitrary invertible one.
    """
    draw = torch.Generator().manual_seed(seed)
    convs = {}
    inputs = 3
    for layer in LAYERS:
        width = widths[int(layer[4]) - 1]
        weight = torch.randn(width, inputs, 3, 3, generator=draw) * (2 / (9 * inputs)) ** 0.5
        convs[layer] = (weight, 0.1 * torch.randn(width, generator=draw))
        inputs = width
    matrix = 4 * torch.eye(3).flip(0) + 0.2 * torch.randn(3, 3, generator=draw)
    colour = (matrix, torch.full((3,), -2.0))
    return VGGWeights(name="tiny", flavour="normalised", sha256=f"{seed:064x}", colour=colour, convs=convs)


def tiny_decoders(seed: int = 0) -> list[DecoderWeights]:
    """Return random decoders for :func:`tiny_vgg` of the same seed; their pictures are about grey."""
    vgg, draw = tiny_vgg(seed), torch.Generator().manual_seed(seed)
    found = []
    for layer in DECODED:
        convs = {}
        for name in mirrored(layer):
            outputs, inputs = vgg.convs[name][0].shape[1], vgg.convs[name][0].shape[0]
            last = name == "conv1_1"
            weight = torch.randn(outputs, inputs, 3, 3, generator=draw) * (2 / (9 * inputs)) ** 0.5
            convs[name] = (weight * (0.1 if last else 1), torch.full((outputs,), 0.5 if last else 0.05))
        facts = Facts(layer=layer, trunk={"name": vgg.name, "sha256": vgg.sha256})
        found.append(DecoderWeights(name=f"tiny-{layer}", sha256=f"{seed:064x}", facts=facts, convs=convs))
    return found


def tiny_feedforward(seed: int = 0, width: int = 4) -> FeedForwardWeights:
    """Return a random network for one style; its pictures have the photograph's forms, in odd colours."""
    draw = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, shape in parameters(width).items():
        kind = name.rpartition(".")[2]
        if kind == "weight":
            tensors[name] = torch.randn(shape, generator=draw) * (2 / math.prod(shape[1:])) ** 0.5
        else:
            tensors[name] = (kind == "scale") + 0.1 * torch.randn(shape, generator=draw)
    facts = NetworkFacts(
        width=width, style={"name": "tiny"}, trunk={"name": "tiny", "sha256": f"{seed:064x}"}
    )
    return FeedForwardWeights(name="feedforward", sha256=f"{seed + 1:064x}", facts=facts, tensors=tensors)


def tiny_wae(seed: int = 0) -> WAEWeights:
    """Return a random spatial autoencoder for :func:`tiny_vgg` of the same seed.

    Its random style codes move the decoder about as much as learnt ones do.
    """
    vgg = tiny_vgg(seed)
    channels = tuple(vgg.convs[f"conv{block}_1"][0].shape[0] for block in range(1, 5))
    trunk = {"name": vgg.name, "sha256": vgg.sha256}
    facts = AutoencoderFacts(
        spatial=True, content_size=3, style_size=4, side=32, channels=channels, trunk=trunk
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = facts.net()
        for module in (*net.decoder.get_submodule("styles").children(), net.decoder.get_submodule("out")):
            torch.nn.init.normal_(module.get_parameter("weight"), std=0.1)
        width = net.describer.width
        net.style.standardise(torch.full((width,), 1.5), torch.full((width,), 1.5))
    tensors = {name: tensor.detach() for name, tensor in net.state_dict().items()}
    return WAEWeights(name="wae", sha256=f"{seed + 2:064x}", facts=facts, tensors=tensors)

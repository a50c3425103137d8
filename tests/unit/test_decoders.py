"""Decoders: the chain in plain operations, files in half precision, what is refused."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.errors import GivenWeightsError, MethodError, OptionError
from katazome.networks.decoders import (
    LAYERS,
    Decoder,
    Decoders,
    DecoderWeights,
    enlarges,
    mirrored,
    open_decoder,
    own,
)
from katazome.networks.kernels import Doubling
from katazome.networks.vgg import tap
from katazome.weights import catalogue
from katazome.weights.own import card
from katazome.weights.tensorfile import write_tensors
from tests.tiny import tiny_decoders, tiny_vgg


def plain(weights: DecoderWeights, features: Tensor) -> Tensor:
    """The decoder once more, as anyone would write it."""
    x = features
    for name in mirrored(weights.facts.layer):
        weight, bias = (t.to(x) for t in weights.convs[name])
        x = F.interpolate(x, scale_factor=2, mode="nearest") if enlarges(name) else x
        x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), weight, bias)
        x = x if name == "conv1_1" else x.relu()
    return x


def test_a_decoder_mirrors_the_encoder() -> None:
    assert mirrored("relu1_1") == ("conv1_1",)
    assert mirrored("relu3_1") == ("conv3_1", "conv2_2", "conv2_1", "conv1_2", "conv1_1")
    assert len(mirrored("relu4_1")) == 9
    assert [n for n in mirrored("relu4_1") if enlarges(n)] == ["conv3_4", "conv2_2", "conv1_2"]


@pytest.mark.parametrize("size", [(2, 2), (3, 5), (7, 4)])
def test_enlarging_and_convolving_at_once(size: tuple[int, int]) -> None:
    draw = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(s, generator=draw).double() for s in ((2, 5, *size), (6, 5, 3, 3), (6,)))
    larger = F.interpolate(x, scale_factor=2, mode="nearest")
    expected = F.conv2d(F.pad(larger, (1, 1, 1, 1), mode="reflect"), weight, bias).relu()
    made = Doubling("conv1_2", weight, bias).forward(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(made, expected)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.02)]
)
def test_it_is_the_plain_chain(layer: str, dtype: torch.dtype, tolerance: float) -> None:
    weights = next(w for w in tiny_decoders() if w.facts.layer == layer)
    draw = torch.Generator().manual_seed(1)
    channels = weights.convs[mirrored(layer)[0]][0].shape[1]
    features = torch.randn(1, channels, 5, 7, generator=draw).double().relu()
    made = Decoder(weights)(features.to(dtype))
    assert made.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert made.shape == (1, 3, 5 * tap(layer).stride, 7 * tap(layer).stride)
    torch.testing.assert_close(made.double(), plain(weights, features), atol=tolerance, rtol=0)


def test_wide_layers_run_fast_and_alike() -> None:
    """Of 256 channels, so that Winograd's convolution is used."""
    draw = torch.Generator().manual_seed(2)
    convs = {"conv1_1": (torch.randn(3, 256, 3, 3, generator=draw) / 48, torch.zeros(3))}
    convs = {"conv2_1": (torch.randn(256, 256, 3, 3, generator=draw) / 34, torch.zeros(256)), **convs}
    convs |= {"conv1_2": (torch.randn(256, 256, 3, 3, generator=draw) / 34, torch.zeros(256))}
    base = tiny_decoders()[1]
    weights = replace(base, convs=convs)
    features = torch.randn(1, 256, 6, 9, generator=draw).relu()
    torch.testing.assert_close(Decoder(weights)(features), plain(weights, features), atol=1e-4, rtol=1e-4)


def test_a_file_in_half_precision(tmp_path: Path) -> None:
    weights = tiny_decoders()[2]
    weights.write(tmp_path / "d.safetensors")
    back = open_decoder(tmp_path / "d.safetensors")
    assert back.facts == weights.facts
    assert back.name == "decoder-relu3_1"
    for name, pair in weights.convs.items():
        for got, wanted in zip(back.convs[name], pair, strict=True):
            assert got.dtype == torch.float32
            assert torch.equal(got, wanted.half().float())
    said = card((tmp_path / "d.safetensors").read_bytes())
    assert said == {"kind": "decoder", "format": 1, **asdict(weights.facts)}


def test_what_is_no_decoder(tmp_path: Path) -> None:
    path = tmp_path / "d.safetensors"
    with pytest.raises(GivenWeightsError, match="there is no decoder"):
        open_decoder(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(GivenWeightsError, match="is no decoder"):
        open_decoder(path)
    write_tensors(path, {"a": torch.zeros(1)}, {"kind": "segmenter"}, what="x")
    with pytest.raises(GivenWeightsError, match="it is a segmenter"):
        open_decoder(path)
    facts = {"kind": "decoder", "format": 1, **asdict(tiny_decoders()[0].facts)}
    write_tensors(path, {"a": torch.zeros(1)}, {**facts, "format": 9}, what="x")
    with pytest.raises(GivenWeightsError, match="format is 9"):
        open_decoder(path)
    wrong = {"conv1_1.weight": torch.zeros(4, 4, 3, 3), "conv1_1.bias": torch.zeros(4)}
    write_tensors(path, wrong, facts, what="x")
    with pytest.raises(GivenWeightsError, match="ends in 4 channels"):
        open_decoder(path)
    write_tensors(path, {"conv1_1.weight": torch.zeros(3, 4, 5, 5)}, facts, what="x")
    with pytest.raises(GivenWeightsError, match=r"conv1_1\.bias"):
        open_decoder(path)


def test_features_that_do_not_fit() -> None:
    decoder = Decoder(tiny_decoders()[3])
    with pytest.raises(MethodError, match=r"takes features \(B, 8, h, w\)"):
        decoder(torch.zeros(1, 3, 4, 4))
    with pytest.raises(OptionError, match="too small"):
        decoder(torch.zeros(1, 8, 1, 4))


def test_decoders_of_a_network(tmp_path: Path) -> None:
    ours = tiny_decoders()
    ours[1].write(tmp_path / "d.safetensors")
    decoders = Decoders(tiny_vgg(), given=(ours[3], tmp_path / "d.safetensors"))
    assert decoders("r41").weights is ours[3]
    assert decoders("relu2_1") is decoders("relu2_1")
    with pytest.raises(OptionError, match="no decoder of relu5_1"):
        decoders("relu5_1")
    with pytest.raises(GivenWeightsError, match="reads the network vgg19, in use is tiny"):
        decoders("relu3_1")


@pytest.mark.parametrize("layer", LAYERS[:3])
def test_the_programs_own_decoders(layer: str) -> None:
    weights = own(layer)
    assert weights.facts.layer == layer
    assert weights.facts.trunk["sha256"] == catalogue.entry("vgg19").sha256
    assert weights.facts.terms
    assert weights.facts.limits
    assert weights.facts.losses["pixels"] < 0.1

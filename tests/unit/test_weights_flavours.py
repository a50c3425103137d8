"""Three flavours of one network, made by rescaling, give the same features; anything else is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from katazome.errors import WeightsError
from katazome.weights import catalogue, flavours, store
from katazome.weights.flavours import LAYERS, VGGWeights, open_vgg
from tests.tiny import tiny_vgg

Tensors = dict[str, Tensor]

INDICES = (2, 5, 9, 12, 16, 19, 22, 25, 29, 32, 35, 38, 42, 45, 48, 51)
FEATURES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
WIDTHS = {"1": 64, "2": 128, "3": 256, "4": 512, "5": 512}
MEAN, DEVIATION = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
CAFFE_MEAN = torch.tensor([103.939, 116.779, 123.68])


@pytest.fixture(scope="module")
def normalised() -> Tensors:
    """Random weights of the real shapes; the first filters' strongest taps are the known network's."""
    draw = torch.Generator().manual_seed(3)
    matrix = 255 * torch.eye(3).flip(0)
    made = {"0.weight": matrix[:, :, None, None], "0.bias": -CAFFE_MEAN}
    inputs = 3
    for layer, index in zip(LAYERS, INDICES, strict=True):
        width = WIDTHS[layer[4]]
        if layer < "conv3":
            weight = 0.02 * torch.rand(width, inputs, 3, 3, generator=draw) - 0.01
        else:  # only their shapes matter here
            weight = torch.zeros(width, inputs, 3, 3)
        made |= {f"{index}.weight": weight, f"{index}.bias": torch.rand(width, generator=draw)}
        inputs = width
    for filter_, tap in zip(made["2.weight"].flatten(1), flavours._FINGERPRINT, strict=True):
        filter_[abs(tap) - 1] = 0.03 if tap > 0 else -0.03
    return made


def caffe(tensors: Tensors, names: tuple[str, ...], factor: float = 1.0) -> Tensors:
    """Give the convolutions other names; the input is Caffe's already. ``factor`` as if never normalised."""
    made: Tensors = {}
    for name, index in zip(names, INDICES, strict=True):
        made |= {f"{name}.{part}": tensors[f"{index}.{part}"].clone() for part in ("weight", "bias")}
    made[f"{names[0]}.weight"] *= factor
    made[f"{names[0]}.bias"] *= factor
    made[f"{names[1]}.weight"] /= factor
    return made


def torchvision(tensors: Tensors) -> Tensors:
    """Fold torchvision's input into the first layer: BGR 0..255 less mean is a scaling of it and a shift."""
    made = caffe(tensors, tuple(f"features.{n}" for n in FEATURES))
    weight = tensors["2.weight"]
    made["features.0.weight"] = weight.flip(1) * 255 * DEVIATION[None, :, None, None]
    made["features.0.bias"] += weight.sum((2, 3)) @ (255 * MEAN.flip(0) - CAFFE_MEAN)
    return made


NAMED = LAYERS
NUMBERED = tuple(f"features.{n}" for n in FEATURES)
MAKERS: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "normalised": (dict, "normalised"),
    "torchvision": (torchvision, "torchvision"),
    "torchvision, features alone": (
        lambda t: {k.removeprefix("features."): v for k, v in torchvision(t).items()},
        "torchvision",
    ),
    "caffe, by names": (lambda t: caffe(t, NAMED), "caffe"),
    "caffe, by numbers": (lambda t: caffe(t, NUMBERED), "caffe"),
    "caffe, published size": (lambda t: caffe(t, NUMBERED, 30.0), "caffe"),
    "wrapped": (lambda t: {f"module.{k}": v for k, v in torchvision(t).items()}, "torchvision"),
    "with a classifier": (
        lambda t: (
            torchvision(t)
            | {"classifier.0.weight": torch.ones(2, 2), "pre_logits.fc1.weight": torch.ones(2, 512, 7, 7)}
        ),
        "torchvision",
    ),
}


def features(vgg: VGGWeights, picture: Tensor) -> Tensor:
    """conv2_1 of the network, written out plainly; (1, 3, H, W) in [0,1] to (1, 128, H/2, W/2)."""
    matrix, bias = vgg.colour

    def conv(x: Tensor, layer: str) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), *vgg.convs[layer])

    x = torch.einsum("ij,njhw->nihw", matrix, picture) + bias[:, None, None]
    x = conv(x, "conv1_1").relu()
    return conv(F.max_pool2d(conv(x, "conv1_2").relu(), 2), "conv2_1")


@pytest.mark.parametrize(
    ("case", "suffix"), [(case, (".pth", ".safetensors")[i % 2]) for i, case in enumerate(MAKERS)]
)
def test_flavours_made_by_rescaling_give_the_same_features(
    normalised: Tensors, tmp_path: Path, case: str, suffix: str
) -> None:
    make, flavour = MAKERS[case]
    path = tmp_path / "net.weights"  # the name tells nothing
    if suffix == ".pth":
        torch.save(make(normalised), path)
    else:
        safetensors.torch.save_file({k: v.contiguous() for k, v in make(normalised).items()}, path)
    vgg = open_vgg(path)
    path.unlink()
    assert (vgg.flavour, vgg.name, tuple(vgg.convs)) == (flavour, "net.weights", LAYERS)
    assert len(vgg.sha256) == 64
    assert all(t.dtype == torch.float32 for pair in (*vgg.convs.values(), vgg.colour) for t in pair)
    picture = torch.rand(1, 3, 16, 18, generator=torch.Generator().manual_seed(1))
    expected = features(flavours._recognise(normalised, "", ""), picture)
    torch.testing.assert_close(features(vgg, picture), expected, rtol=1e-4, atol=1e-4)


def test_the_colour_maps_by_hand(normalised: Tensors) -> None:
    grey, red = torch.full((3,), 0.5), torch.tensor([1.0, 0.0, 0.0])
    for make, seen_grey, seen_red in (
        (lambda t: caffe(t, NAMED), 127.5 - CAFFE_MEAN, torch.tensor([0, 0, 255.0]) - CAFFE_MEAN),
        (torchvision, (0.5 - MEAN) / DEVIATION, (red - MEAN) / DEVIATION),
    ):
        matrix, bias = flavours._recognise(make(normalised), "", "").colour
        torch.testing.assert_close(matrix @ grey + bias, seen_grey)
        torch.testing.assert_close(matrix @ red + bias, seen_red)


def test_an_unknown_training_is_told_by_the_size_of_its_filters(normalised: Tensors) -> None:
    other = torchvision(normalised)
    other["features.0.weight"] = torch.randn(64, 3, 3, 3, generator=torch.Generator().manual_seed(0)) / 5
    assert flavours._recognise(other, "", "").flavour == "torchvision"
    other["features.0.weight"] /= 57
    assert flavours._recognise(other, "", "").flavour == "caffe"


def test_half_precision_files_become_float32(normalised: Tensors) -> None:
    vgg = flavours._recognise({k: v.half() for k, v in torchvision(normalised).items()}, "", "")
    assert vgg.flavour == "torchvision"
    assert vgg.convs["conv5_4"][0].dtype == torch.float32


def chain(channels: tuple[int, ...], start: int = 0) -> Tensors:
    made = {}
    for at, (inputs, outputs) in enumerate(itertools.pairwise(channels)):
        made[f"features.{2 * at + start}.weight"] = torch.zeros(outputs, inputs, 3, 3)
        made[f"features.{2 * at + start}.bias"] = torch.zeros(outputs)
    return made


VGG16 = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        (lambda t: chain(VGG16), "13 3x3 convolutions from 3 to 512 channels, like VGG-16"),
        (lambda t: chain(VGG16) | {"features.1.running_mean": torch.ones(1)}, "with batch normalisation"),
        (lambda t: chain((512, 256, 256, 256, 256, 128, 128, 64, 64, 3)), "like a decoder of AdaIN"),
        (lambda t: {"x": torch.ones(2)}, "1 tensors and no 3x3 convolution"),
        (lambda t: {k: v for k, v in t.items() if k != "51.weight"}, "15 3x3 convolutions"),
        (lambda t: t | {"54.weight": torch.ones(512, 512, 3, 3)}, "17 3x3 convolutions"),
        (lambda t: {k: v for k, v in t.items() if k != "0.bias"}, r"lacks 0\.bias \(the colour map\)"),
        (lambda t: {k: v for k, v in t.items() if k != "5.bias"}, r"lacks 5\.bias \(conv1_2\)"),
        (lambda t: t | {"9.weight": torch.ones(32, 64, 3, 3)}, r"conv2_1\) has the shape \(32, 64, 3, 3\)"),
        (lambda t: t | {"9.bias": torch.ones(128).int()}, r"type int32, expected was \(128,\) in floating"),
        (lambda t: t | {"9.bias": torch.full((128,), torch.nan)}, r"9\.bias \(conv2_1\) holds values"),
    ],
)
def test_anything_else_is_refused_and_described(
    normalised: Tensors, tensors: Callable[[Tensors], Tensors], told: str
) -> None:
    with pytest.raises(WeightsError, match=told):
        flavours._recognise(tensors(normalised), "net.pth", "")


class Harmful:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (Path("harm-was-done"),)  # type: ignore[return-value]


def test_a_pickle_of_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"0.weight": Harmful()}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match=r"more than tensors.*nothing in it was run"):
        open_vgg(tmp_path / "net.pth")
    assert not (tmp_path / "harm-was-done").exists()


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    file = tmp_path / "net.pth"
    with pytest.raises(WeightsError, match=r"there is no weights file .*net\.pth"):
        open_vgg(file)
    with pytest.raises(WeightsError, match="cannot be read"):
        open_vgg(tmp_path)
    torch.save({"a": torch.ones(1000)}, file)
    whole = file.read_bytes()
    for content in (b"", b"hello", whole[:50], whole[:-200], b"\x08" + bytes(7) + b'{"a":  }', bytes(100)):
        file.write_bytes(content)
        with pytest.raises(WeightsError, match=r"net\.pth"):
            open_vgg(str(file))
    torch.save([torch.ones(2)], file)
    with pytest.raises(WeightsError, match="holds a list, not tensors by name"):
        open_vgg(file)


def test_a_wrapped_state_dict(normalised: Tensors, tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": torchvision(normalised)}, tmp_path / "net.pth")
    assert open_vgg(tmp_path / "net.pth").flavour == "torchvision"


def test_the_tiny_network() -> None:
    vgg = tiny_vgg(1, widths=(2, 3, 4, 5, 6))
    assert [vgg.convs[f"conv{block}_1"][0].shape[0] for block in range(1, 6)] == [2, 3, 4, 5, 6]
    assert vgg.convs["conv5_1"][0].shape == (6, 5, 3, 3)
    assert torch.equal(vgg.convs["conv1_1"][0], tiny_vgg(1, widths=(2, 3, 4, 5, 6)).convs["conv1_1"][0])
    assert not torch.equal(tiny_vgg(1).convs["conv1_1"][0], tiny_vgg(2).convs["conv1_1"][0])


def test_sent_to_another_process_it_goes_whole_and_not_through_shared_memory() -> None:
    weights = tiny_vgg()
    sent = ForkingPickler.dumps(weights)  # as multiprocessing does
    assert len(sent) > sum(tensor.nbytes for pair in weights.convs.values() for tensor in pair)
    there = ForkingPickler.loads(sent)
    assert (there.name, there.flavour, there.sha256) == (weights.name, weights.flavour, weights.sha256)
    assert list(there.convs) == list(weights.convs)
    pairs = zip((weights.colour, *weights.convs.values()), (there.colour, *there.convs.values()), strict=True)
    assert all(torch.equal(one, other) for pair in pairs for one, other in zip(*pair, strict=True))


def test_the_real_network(vgg: VGGWeights) -> None:
    """With the file itself, fetched at the first use."""
    published = store.load("vgg19")
    assert (vgg.flavour, vgg.name, vgg.sha256) == ("normalised", "vgg19", catalogue.entry("vgg19").sha256)
    assert open_vgg(store.path("vgg19")).flavour == "normalised"
    matrix, bias = vgg.colour
    torch.testing.assert_close(matrix, 255 * torch.eye(3).flip(0))
    torch.testing.assert_close(bias, -CAFFE_MEAN)
    picture = torch.rand(1, 3, 20, 20, generator=torch.Generator().manual_seed(1))
    expected = features(vgg, picture)
    for make, flavour in (
        (torchvision, "torchvision"),
        (lambda t: caffe(t, NUMBERED), "caffe"),
        (lambda t: caffe(t, NUMBERED, 20.0), "caffe"),
    ):
        other = flavours._recognise(make(published), "", "")
        assert other.flavour == flavour
        torch.testing.assert_close(features(other, picture), expected, rtol=1e-3, atol=1e-3)
    assert flavours._likeness(vgg.convs["conv1_1"][0]) == 64

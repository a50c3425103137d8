"""A Wasserstein autoencoder with two codes: one of the style, one of the content; one decoder for both.

The style code comes from what VGG-19 says of a picture's look, its Gram matrices; the content code from an
ordinary convolutional encoder. The decoder makes a picture of any content code and any style code.

Source: Nakada & Asoh (the fourth source document); Tolstikhin et al., "Wasserstein auto-encoders", ICLR 2018,
for the networks of the vector form. What the slides leave open is chosen here:

- Gram matrices of relu1_1 to relu4_1 of the normalised network, per position, each seen through 32 fixed
  orthonormal directions (P'GP: :class:`Describer`), upper triangles, signed root, standardised: 2112 numbers.
  Their distances follow those of the whole matrices (rank correlation .98), and no layer needs a matrix of
  millions of weights.
- ``vector``: the content is a vector, as on the slides, and pictures have one size. Five convolutions, batch
  normalisation, both codes side by side into a linear layer and nearest enlargements.
- ``spatial`` goes beyond them: the content is a small map with stride 8, each channel brought to mean 0 and
  deviation 1 over the picture, so that colour and contrast have to come from the style; the style code scales
  and shifts the channels of the decoder, which are brought to one level at each position before [Karras et
  al., "Progressive growing of GANs", ICLR 2018, section 4.2]. Its enlargements are bilinear: nearest ones
  leave the lines of the code's grid in smooth places. Nothing in the decoder depends on the rest of
  the picture, so any size works and tiles have no seam.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from katazome.device import generator

STYLE_TAPS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")

COLUMNS = 32
"""Directions that each layer's Gram matrix is seen through."""

STRIDE = 8
"""Pixels from one position of a spatial content code to the next."""

HALO = 48
"""How far (px) a position of the decoded picture, or of the content code, sees at most; see the tests."""

_SEED = 20181101
_HIDDEN = 256
_VECTOR_WIDTHS = (32, 64, 128, 256)
_VECTOR_STRIDE = 2 ** len(_VECTOR_WIDTHS)
_ENCODER_WIDTHS = (24, 48, 96, 128)
_DECODER_WIDTHS = (128, 128, 128, 96, 64, 32, 32)
_ENLARGED = (3, 4, 5)
"""Which of the decoder's convolutions come after an enlargement."""

_EPSILON = 1e-5
_SMALL = 0.02


class Describer(nn.Module):
    """What Gram matrices say in fixed directions: :data:`STYLE_TAPS`' features to one vector of numbers."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        for number, (name, count) in enumerate(zip(STYLE_TAPS, channels, strict=True)):
            drawn = torch.randn(count, min(COLUMNS, count), generator=generator(_SEED + number))
            self.register_buffer(name, torch.linalg.qr(drawn.double())[0].float())

    @property
    def width(self) -> int:
        """How many numbers describe a picture."""
        return sum(n * (n + 1) // 2 for n in self.columns)

    @property
    def columns(self) -> list[int]:
        """Directions of each layer."""
        return [self.get_buffer(name).shape[1] for name in STYLE_TAPS]

    def projected(self, features: Mapping[str, Tensor]) -> list[Tensor]:
        """Return P'GP per position (B, K, K) of the features (B, C, h, w) there are; differentiable."""
        found = []
        for name in (n for n in STYLE_TAPS if n in features):
            f = features[name].float().permute(0, 2, 3, 1).flatten(1, 2) @ self.get_buffer(name)
            found.append(f.transpose(1, 2) @ f / f.shape[1])
        return found

    def of_grams(self, grams: Mapping[str, Tensor]) -> Tensor:
        """Return the description (1, width) of Gram matrices (C, C) per position, by tap."""
        sides = [self.get_buffer(name) for name in STYLE_TAPS]
        return described(
            [(p.t() @ grams[name].to(p) @ p)[None] for name, p in zip(STYLE_TAPS, sides, strict=True)]
        )

    def forward(self, features: Mapping[str, Tensor]) -> Tensor:
        """Return the description (B, width) of features (B, C, h, w) by tap."""
        return described(self.projected(features))


def described(projected: Sequence[Tensor]) -> Tensor:
    """Return the signed roots of upper triangles of matrices (B, K, K), side by side."""
    flat = [m[:, *torch.triu_indices(m.shape[1], m.shape[1])] for m in projected]
    numbers = torch.cat(flat, 1)
    return numbers.sign() * numbers.abs().sqrt()


def matrices(description: Tensor, columns: Sequence[int]) -> list[Tensor]:
    """The inverse of :func:`described`: matrices (B, K, K) of a description (B, width)."""
    squares = description * description.abs()
    found = []
    parts = torch.split(squares, [n * (n + 1) // 2 for n in columns], 1)
    for part, size in zip(parts, columns, strict=True):
        rows, cols = torch.triu_indices(size, size)
        matrix = part.new_zeros(len(part), size, size)
        matrix[:, rows, cols] = part
        matrix[:, cols, rows] = part
        found.append(matrix)
    return found


class StyleEncoder(nn.Module):
    """From descriptions (B, width) to style codes (B, size); they are standardised first."""

    shift: Tensor
    scale: Tensor

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.inner = nn.Linear(width, _HIDDEN)
        self.outer = nn.Linear(_HIDDEN, size)

    def standardise(self, mean: Tensor, deviation: Tensor) -> None:
        """Set what the numbers (width,) are brought to 0 and 1 by."""
        self.shift.copy_(mean)
        self.scale.copy_(deviation.clamp_min(1e-3 * float(deviation.mean())))

    def forward(self, description: Tensor) -> Tensor:
        """See :class:`StyleEncoder`."""
        # Far outside what was learnt from, a number says no more than that it is far.
        standard = ((description - self.shift) / self.scale).clamp(-5, 5)
        code: Tensor = self.outer(self.inner(standard).relu())
        return code


class VectorContent(nn.Module):
    """From pictures (B, 3, side, side) to content codes (B, size)."""

    def __init__(self, side: int, size: int) -> None:
        super().__init__()
        widths = (3, *_VECTOR_WIDTHS)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1, bias=False) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in _VECTOR_WIDTHS)
        self.out = nn.Linear(_VECTOR_WIDTHS[-1] * (side // _VECTOR_STRIDE) ** 2, size)

    def forward(self, pixels: Tensor) -> Tensor:
        """See :class:`VectorContent`."""
        x = 2 * pixels - 1
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(conv(x)).relu()
        code: Tensor = self.out(x.flatten(1))
        return code


class VectorDecoder(nn.Module):
    """From content codes (B, size) and style codes to pictures (B, 3, side, side), not clipped."""

    def __init__(self, side: int, size: int, style_size: int) -> None:
        super().__init__()
        self.least = side // _VECTOR_STRIDE
        widths = (*reversed(_VECTOR_WIDTHS), _VECTOR_WIDTHS[0])
        self.into = nn.Linear(size + style_size, widths[0] * self.least**2)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in widths[1:])
        self.out = nn.Conv2d(widths[-1], 3, 3, padding=1)
        nn.init.constant_(self.out.bias, 0.5)  # type: ignore[arg-type]

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """See :class:`VectorDecoder`."""
        x = self.into(torch.cat([content, style], 1)).relu()
        x = x.unflatten(1, (-1, self.least, self.least))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = norm(conv(F.interpolate(x, scale_factor=2, mode="nearest"))).relu()
        picture: Tensor = self.out(x)
        return picture


class SpatialContent(nn.Module):
    """From pictures (B, 3, H, W), sides multiples of 8, to maps (B, size, H/8, W/8) of any mean and scale."""

    def __init__(self, size: int) -> None:
        super().__init__()
        widths = (3, *_ENCODER_WIDTHS)
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, 1 if n == 0 else 2) for n, (a, b) in enumerate(pairwise(widths))
        )
        self.out = nn.Conv2d(widths[-1], size, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        """See :class:`SpatialContent`."""
        x = 2 * pixels - 1
        for conv in self.convs:
            x = conv(_reflected(x)).relu()
        code: Tensor = self.out(_reflected(x))
        return code


def normalised(code: Tensor) -> Tensor:
    """Return a map (B, C, h, w) with each channel at mean 0 and deviation 1 over its positions."""
    code = code.float()
    mean, variance = code.mean((2, 3), keepdim=True), code.var((2, 3), keepdim=True, unbiased=False)
    return (code - mean) / (variance + _EPSILON).sqrt()


class SpatialDecoder(nn.Module):
    """From normalised content maps (B, size, h, w) and style codes (B, n) to pictures (B, 3, 8h, 8w)."""

    def __init__(self, size: int, style_size: int) -> None:
        super().__init__()
        widths = (size, *_DECODER_WIDTHS)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3) for a, b in pairwise(widths))
        self.styles = nn.ModuleList(nn.Linear(style_size, 2 * b) for b in _DECODER_WIDTHS)
        self.out = nn.Conv2d(widths[-1], 3, 3)
        # It begins as a grey picture that no style changes: nothing is large enough to run away.
        for conv in self.convs:
            nn.init.kaiming_normal_(conv.weight)  # type: ignore[arg-type]
        for modulation in self.styles:
            nn.init.normal_(modulation.weight, std=_SMALL)  # type: ignore[arg-type]
            nn.init.zeros_(modulation.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.out.weight, std=_SMALL)
        nn.init.constant_(self.out.bias, 0.5)  # type: ignore[arg-type]

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """See :class:`SpatialDecoder`; not clipped."""
        x = content
        for number, (conv, modulation) in enumerate(zip(self.convs, self.styles, strict=True)):
            if number in _ENLARGED:
                x = F.interpolate(x, scale_factor=2, mode="bilinear")
            scale, shift = modulation(style)[:, :, None, None].chunk(2, 1)
            made = (_levelled(conv(_reflected(x))) * (1 + scale) + shift).relu()
            x = x + made if number in (1, 2) else made
        picture: Tensor = self.out(_reflected(x))
        return picture


def _levelled(x: Tensor) -> Tensor:
    """Bring each position's channels to a mean square of 1, so that nothing runs away."""
    return x * (x.float().square().mean(1, keepdim=True) + _EPSILON).rsqrt().to(x.dtype)


def _reflected(x: Tensor) -> Tensor:
    return F.pad(x, (1, 1, 1, 1), mode="reflect")


class WAE(nn.Module):
    """The whole network.

    ``channels`` are the trunk's at :data:`STYLE_TAPS`; ``content_size`` numbers of a vector, or channels of a
    spatial code; ``side`` (px) the pictures' of the vector form, a multiple of 16. With ``variational`` each
    number of a code is a normal distribution's mean, and the encoders also say its log variance: the baseline
    [Kingma & Welling, "Auto-encoding variational Bayes", ICLR 2014] that the source's authors came from.
    """

    def __init__(
        self,
        channels: Sequence[int],
        content_size: int,
        style_size: int,
        side: int,
        *,
        spatial: bool,
        variational: bool = False,
    ) -> None:
        super().__init__()
        self.spatial, self.side, self.variational = spatial, side, variational
        self.sizes = (content_size, style_size)
        numbers = 2 if variational else 1
        self.describer = Describer(channels)
        self.style = StyleEncoder(self.describer.width, style_size * numbers)
        self.content: nn.Module
        self.decoder: nn.Module
        if spatial:
            self.content = SpatialContent(content_size * numbers)
            self.decoder = SpatialDecoder(content_size, style_size)
        else:
            self.content = VectorContent(side, content_size * numbers)
            self.decoder = VectorDecoder(side, content_size, style_size)

    def content_code(self, pixels: Tensor) -> Tensor:
        """Return content codes of pictures (B, 3, H, W): (B, size), or (B, size, H/8, W/8), normalised."""
        code: Tensor = self.content(pixels)[:, : self.sizes[0]]
        return normalised(code) if self.spatial else code

    def style_code(self, description: Tensor) -> Tensor:
        """Return style codes (B, n) of descriptions (B, width)."""
        code: Tensor = self.style(description)
        return code[:, : self.sizes[1]]

    def decode(self, content: Tensor, style: Tensor) -> Tensor:
        """Return pictures (B, 3, H, W) of codes, not clipped."""
        picture: Tensor = self.decoder(content, style)
        return picture

    def parameter_count(self) -> int:
        """Return how many numbers are learnt."""
        return sum(p.numel() for p in self.parameters())


class Coder:
    """An autoencoder made ready for one device and data type, float32 or bfloat16; no gradient passes."""

    bytes_per_pixel = 900
    """Of what is decoded at once, in float32: the last enlargement, its border, and what is made of it."""

    def __init__(self, net: WAE, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self.device, self.dtype = device, dtype
        self._net = net.to(device).eval()

    def __call__(self, picture: Tensor) -> Tensor:
        """Return what a style code of zeros makes of a picture (1, 3, H, W): to know how long it takes."""
        side = self._net.side
        content = self.content(picture if self._net.spatial else picture[:, :, :side, :side])
        style = content.new_zeros(1, self._net.sizes[1])
        return self.decode(self.normalised(content) if self._net.spatial else content, style)

    def content(self, picture: Tensor) -> Tensor:
        """Return the content code of a picture (1, 3, H, W), float32; a map is not normalised yet."""
        with torch.no_grad(), self._fast():
            found: Tensor = self._net.content(picture)[:, : self._net.sizes[0]]
        return found.float()

    def unwritten(self, height: int, width: int) -> Tensor:
        """Return memory for a whole content map (1, C, height, width), to be written."""
        return torch.empty(1, self._net.sizes[0], height, width, device=self.device)

    @staticmethod
    def normalised(code: Tensor) -> Tensor:
        """Return a whole content map with each channel at mean 0 and deviation 1."""
        return normalised(code)

    def style(self, grams: Mapping[str, Tensor]) -> Tensor:
        """Return the style code (1, n) of Gram matrices (C, C) per position, by tap."""
        with torch.no_grad():
            return self._net.style_code(self._net.describer.of_grams(grams))

    def decode(self, content: Tensor, style: Tensor) -> Tensor:
        """Return the picture (1, 3, H, W) of two codes, float32, in [0, 1]."""
        with torch.no_grad(), self._fast():
            made = self._net.decode(content, style)
        return made.float().clamp(0, 1)

    def _fast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype == torch.bfloat16)

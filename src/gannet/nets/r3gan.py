"""The nets of R3GAN (Huang et al. 2024, arXiv 2501.05441), from its description: for a GPU, and to measure our own against.

A stage is a bottleneck without normalisation, 1×1, grouped 3×3 and 1×1 convolutions (section 4 of the paper), between
resamplings by a binomial filter. At the published sizes unverified: they need many GPUs.

Shapes: N examples, Z noise, C channels, H height = W width, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from gannet.errors import Wrong
from gannet.nets.images import framed
from gannet.nets.residual import RECTIFIED, activate, convolution

NOISE = 64
BASE = 4  # pixels of the smallest stage


@dataclass(frozen=True)
class Preset:
    """What the authors trained with. All schedules are half a cosine from the first value to the last over `decay` pictures.

    Attributes:
        pixels: side of the pictures
        widths: channels of each stage, from 4 pixels up
        blocks: bottlenecks in each stage
        groups: of each stage's 3×3 convolutions
        batch: over all processes
        gamma: weight of R1 + R2 at first and at last
        half_life: of the generator's average, in pictures, at last; published from 0 on, here from a hundredth of it
        augmented: probability of augmentation at last; 0 at first
        decay: pictures
    """

    pixels: int
    widths: tuple[int, ...]
    blocks: int
    groups: tuple[int, ...]
    batch: int
    gamma: tuple[float, float]
    half_life: float
    augmented: float
    decay: int


PRESETS = {
    "cifar-10": Preset(32, (768,) * 4, 2, (96,) * 4, 512, (0.05, 0.005), 5e6, 0.55, 20_000_000),
    "ffhq-64": Preset(64, (768,) * 4 + (384,), 2, (96,) * 4 + (48,), 256, (2, 0.2), 5e5, 0.3, 20_000_000),
    "imagenet-32": Preset(32, (1536,) * 4, 2, (96,) * 4, 4096, (0.5, 0.05), 5e7, 0.5, 200_000_000),
}


class Bottleneck(nn.Module):
    """x + F(x), F = 1×1 to twice the width, 3×3 in groups, 1×1 back at zero; biases belong to the activations.

    Args:
        width: channels
        groups: of the 3×3 convolution
        depth: blocks in the whole net, L; weights begin smaller by L^(-1/4) (Fixup, arXiv 1901.09321, with three layers)
    """

    def __init__(self, width: int, groups: int, depth: int):
        super().__init__()
        gain = RECTIFIED * depth**-0.25
        self.widen = convolution(2, width, 2 * width, 1, gain=gain)
        self.mix = convolution(2, 2 * width, 2 * width, 3, groups=groups, gain=gain)
        self.narrow = convolution(2, 2 * width, width, 1, bias=False, gain=0)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return x_NCHW + self.narrow(activate(self.mix(activate(self.widen(x_NCHW)))))


class Filtered(nn.Module):
    """Twice or half the size by the binomial filter [1, 2, 1] either way, and a 1×1 convolution where the width changes."""

    def __init__(self, width: int, out: int, up: bool):
        super().__init__()
        self.up = up
        self.mix = convolution(2, width, out, 1, bias=False, gain=1) if width != out else nn.Identity()

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        if not self.up:
            return self.mix(halved(halved(x_NCHW, 2), 3))
        return doubled(doubled(self.mix(x_NCHW), 2), 3)


def halved(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Every second place of a dimension, a quarter of either neighbour mixed in; nothing lies outside.

    The same as a strided convolution of each channel on its own, as sums of slices.
    """
    here, right = x.unflatten(dim, (-1, 2)).unbind(dim + 1)
    left = F.pad(right.narrow(dim, 0, right.shape[dim] - 1).transpose(dim, -1), (1, 0)).transpose(dim, -1)
    return here / 2 + (left + right) / 4


def doubled(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Every place of a dimension and after it the mean of it and the next: zeros between, filtered, times two."""
    following = F.pad(x.narrow(dim, 1, x.shape[dim] - 1).transpose(dim, -1), (0, 1)).transpose(dim, -1)
    return torch.stack([x, (x + following) / 2], dim + 1).flatten(dim, dim + 1)


def spare(pixels: int, widths: Sequence[int]) -> int:
    """Pixels that the stages make more than are wanted: pictures are drawn so much larger and cropped."""
    most = BASE * 2 ** (len(widths) - 1)
    if not most // 2 < pixels <= most:
        raise ValueError(f"{len(widths)} stages make pictures of up to {most} pixels, not of {pixels}")
    return most - pixels


def count(pixels: int) -> int:
    """Stages that pictures of this size need."""
    return math.ceil(math.log2(max(pixels, BASE) / BASE)) + 1


def check(preset: str, pixels: int) -> None:
    """One line for pictures that a preset has no nets for.

    Raises:
        Wrong: with the presets that have.
    """
    if count(pixels) != len(PRESETS[preset].widths):
        fits = [f"--preset {name}" for name, one in PRESETS.items() if len(one.widths) == count(pixels)]
        what = f"preset {preset} is for pictures of {PRESETS[preset].pixels} pixels"
        raise Wrong(what, got=f"{pixels} pixels", try_=" or ".join([*fits, "--size small"]), usage=True)


class Generator(nn.Module):
    """Noise, and a class if there are any, to pictures: a learnt 4×4 basis, weighed by the noise, then stages.

    Args:
        pixels, channels: of the pictures
        widths, blocks, groups: as in a `Preset`
        classes: how many, or 0
    """

    def __init__(
        self, pixels: int, channels: int, *, widths: Sequence[int], blocks: int, groups: Sequence[int], classes: int = 0
    ):
        super().__init__()
        self.spare = spare(pixels, widths)
        self.noise, self.pixels = NOISE, pixels
        self.embed = nn.Embedding(classes, NOISE) if classes else None
        self.basis = nn.Parameter(torch.randn(widths[0], BASE, BASE))
        self.weigh = convolution(0, NOISE * (2 if classes else 1), widths[0], bias=False, gain=1)
        self.stages = nn.Sequential(*stages(widths, blocks, groups, up=True))
        self.finish = convolution(2, widths[-1], channels, 1, bias=False, gain=1)

    def forward(self, z_NZ: torch.Tensor, y_N: torch.Tensor | None = None) -> torch.Tensor:
        """(N, Z) and (N,) -> pictures (N, C, H, W), unbounded."""
        if self.embed is not None:
            z_NZ = torch.cat([z_NZ, self.embed(y_N)], 1)
        x = self.basis * self.weigh(z_NZ)[:, :, None, None]
        x, first = self.finish(self.stages(x.contiguous(memory_format=torch.channels_last))).float(), self.spare // 2
        return x[..., first : first + self.pixels, first : first + self.pixels]


class Critic(nn.Module):
    """Pictures to a logit each; with classes by projection (Miyato and Koyama 2018, arXiv 1802.05637).

    Args:
        as for `Generator`; widths from 4 pixels up
    """

    def __init__(
        self, pixels: int, channels: int, *, widths: Sequence[int], blocks: int, groups: Sequence[int], classes: int = 0
    ):
        super().__init__()
        self.spare = spare(pixels, widths)
        wide = widths[0]
        self.start = convolution(2, channels, widths[-1], 1, bias=False, gain=1)
        self.stages = nn.Sequential(*stages(widths[::-1], blocks, groups[::-1], up=False))
        self.gather = nn.Conv2d(wide, wide, BASE, groups=wide, bias=False)
        nn.init.normal_(self.gather.weight, std=1 / BASE)
        self.judge = convolution(0, wide, wide if classes else 1, bias=False, gain=1)
        self.embed = nn.Embedding(classes, wide) if classes else None

    def features(self, x_NCHW: torch.Tensor, y_N: torch.Tensor | None = None) -> torch.Tensor:
        """(N, C, H, W) -> the numbers (N, widths[0]) by which a picture is judged; its class comes in behind them."""
        h = self.stages(self.start(framed(x_NCHW, self.spare).contiguous(memory_format=torch.channels_last)))
        return self.gather(h).flatten(1)

    def forward(self, x_NCHW: torch.Tensor, y_N: torch.Tensor | None = None) -> torch.Tensor:
        """(N, C, H, W) and (N,) -> logits (N,)."""
        x = self.judge(self.features(x_NCHW))
        return x.squeeze(1) if self.embed is None else (x * self.embed(y_N)).sum(1) / math.sqrt(x.shape[1])


def stages(widths: Sequence[int], blocks: int, groups: Sequence[int], *, up: bool) -> list[nn.Module]:
    """Bottlenecks of each width with a resampling between."""
    layers: list[nn.Module] = []
    for stage, (width, group) in enumerate(zip(widths, groups, strict=True)):
        if stage:
            layers.append(Filtered(widths[stage - 1], width, up))
        layers += [Bottleneck(width, group, blocks * len(widths)) for _ in range(blocks)]
    return layers

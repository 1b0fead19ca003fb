"""The residual block and the trunk that every arm shares.

y = x + F(x) (He et al. 2015, arXiv 1512.03385), activation first (He et al. 2016, arXiv 1603.05027), no normalisation,
and the last layer of F at zero (Zhang et al. 2019, Fixup, arXiv 1901.09321), so that an untrained trunk of any depth is
the identity. One class serves vectors (dims=0), sequences (1) and pictures (2).

Shapes: N examples, C channels, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import nn

Resample = Literal["up", "down"] | None
SLOPE = 0.2  # of the leaky rectifier, as in GAN papers since DCGAN
RECTIFIED = math.sqrt(2 / (1 + SLOPE**2))  # gain that keeps the variance behind a leaky rectifier (He et al. 2015)


def activate(x: torch.Tensor) -> torch.Tensor:
    """Leaky ReLU with slope 0.2: a critic with dead units gives a generator no gradient."""
    return F.leaky_relu(x, SLOPE)


def convolution(
    dims: int, width: int, out: int, kernel: int = 3, *, groups: int = 1, bias: bool = True, gain: float | None = None
) -> nn.Linear | nn.Conv1d | nn.Conv2d:
    """A linear layer (dims=0), or a convolution that keeps the size.

    With a gain, weights N(0, gain² / fan in) and biases 0; without, as torch begins it (a gain of 1/√3, uniform): contests
    that began with larger signals collapsed (docs/log.md, 2026-11-23).
    """
    layer: nn.Linear | nn.Conv1d | nn.Conv2d
    if dims == 0:
        layer = nn.Linear(width, out, bias=bias)
    else:
        make = nn.Conv1d if dims == 1 else nn.Conv2d
        layer = make(width, out, kernel, padding=kernel // 2, groups=groups, bias=bias)
    if gain is not None:
        nn.init.normal_(layer.weight, std=gain / math.sqrt(layer.weight[0].numel()))
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return layer


def space_to_depth(x_NCHW: torch.Tensor) -> torch.Tensor:
    """(N, C, 2H, 2W) -> (N, 4C, H, W): nothing is lost, and convolutions at half the size cost a quarter."""
    return F.pixel_unshuffle(x_NCHW, 2).contiguous(memory_format=torch.channels_last)


class Resize(nn.Module):
    """Twice or half the size and another width: space to depth or depth to space, and a 1×1 convolution at the smaller size.

    Computed as what it is, one matrix product over the places of the smaller picture: on a CPU that takes half to two thirds
    of the time of a shuffle and a convolution, to which a test holds it equal.
    """

    def __init__(self, width: int, out: int, resample: Literal["up", "down"]):
        super().__init__()
        self.up = resample == "up"
        self.mix = convolution(2, width, 4 * out, 1) if self.up else convolution(2, 4 * width, out, 1)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        weight, bias = self.mix.weight, cast(torch.Tensor, self.mix.bias)  # each larger channel is four (2, 2) smaller ones
        x_NHWC = x_NCHW.permute(0, 2, 3, 1)  # as it lies in memory: places are the rows of a matrix
        n, height, width, channels = x_NHWC.shape
        if self.up:
            weight = weight.view(-1, 4, channels).transpose(0, 1).flatten(0, 1)
            x = F.linear(x_NHWC, weight, bias.view(-1, 4).t().flatten()).view(n, height, width, 2, 2, -1)
            x_NHWC = x.transpose(2, 3).reshape(n, 2 * height, 2 * width, -1)
        else:
            weight = weight.view(-1, channels, 4).transpose(1, 2).flatten(1)
            x = x_NHWC.reshape(n, height // 2, 2, width // 2, 2, channels).transpose(2, 3).flatten(3)
            x_NHWC = F.linear(x, weight, bias)
        return x_NHWC.permute(0, 3, 1, 2)


class Block(nn.Module):
    """A change of shape where one is asked for, then x + F(x) with F = activation, layer, activation, layer at zero.

    Args:
        width, out: channels in and out
        resample: "up" doubles the size, "down" halves it (pictures only)
        dims: 0 vectors, 1 sequences, 2 pictures
        norm: makes a normalisation from a width; none by default, because pictures of a batch must not see one another
        zero: start the last layer at zero
    """

    def __init__(
        self,
        width: int,
        out: int | None = None,
        *,
        resample: Resample = None,
        dims: int = 2,
        norm: Callable[[int], nn.Module] | None = None,
        zero: bool = True,
    ):
        super().__init__()
        out = width if out is None else out
        if resample is not None and dims != 2:
            raise ValueError(f"only pictures are resampled; dims is {dims}")
        if resample is not None:
            self.enter: nn.Module = Resize(width, out, resample)
        else:
            self.enter = nn.Identity() if out == width else convolution(dims, width, out, 1)
        self.norms = nn.ModuleList([norm(out), norm(out)] if norm else [nn.Identity(), nn.Identity()])
        self.first = convolution(dims, out, out, gain=RECTIFIED)
        self.last = convolution(dims, out, out, bias=False, gain=0 if zero else RECTIFIED)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.enter(x)
        h = self.first(activate(self.norms[0](x)))
        return x + self.last(activate(self.norms[1](h)))


class Residual(nn.Module):
    """x + F(norm(x)) for a branch F of any kind whose last layer begins at zero: attention, recurrence, a wider layer.

    Args:
        branch: F; what else it wants is handed on to it
        norm: of what enters it
    """

    def __init__(self, branch: nn.Module, norm: Callable[[torch.Tensor], torch.Tensor]):
        super().__init__()
        self.branch, self.norm = branch, norm

    def forward(self, x: torch.Tensor, *given: Any, **named: Any) -> torch.Tensor:
        return x + self.branch(self.norm(x), *given, **named)


class Trunk(nn.Sequential):
    """Stages of residual blocks; each stage after the first begins by resampling.

    Args:
        widths: channels of each stage, in order
        blocks: residual blocks in each stage
        resample: what happens between stages
        dims, norm: as for `Block`
    """

    def __init__(
        self,
        widths: Sequence[int],
        blocks: int = 1,
        *,
        resample: Resample = None,
        dims: int = 2,
        norm: Callable[[int], nn.Module] | None = None,
    ):
        layers: list[nn.Module] = []
        for stage, width in enumerate(widths):
            for block in range(blocks):
                enters = stage > 0 and block == 0
                before = widths[stage - 1] if enters else width
                layers.append(Block(before, width, resample=resample if enters else None, dims=dims, norm=norm))
        super().__init__(*layers)


def halvings(pixels: int, base: int = 8) -> int:
    """How often a picture is halved, at least once, until it is no larger than `base`: 28 -> 2, 32 -> 2, 64 -> 3."""
    return max(1, math.ceil(math.log2(pixels / base)))

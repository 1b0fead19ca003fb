"""A residual generator, critic and classifier of square pictures of any size from 8 to 128, grey or in colour.

Colour may have an alpha channel. All but a fine classifier see a picture as half-size pixels of four times the channels
(space-to-depth), so that no convolution runs at full size: on a CPU that is most of the speed. Sizes that do not halve evenly
are drawn slightly larger and cropped.

Shapes: N examples, Z noise, C channels, H height = W width, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from gannet.nets.residual import Block, Trunk, activate, convolution, halvings, space_to_depth

PLANES = 2  # of the picture that stands for a class in the critic


def stage_widths(width: int, stages: int, narrowest: int = 16) -> list[int]:
    """Channels from the smallest picture to the largest: halved at every doubling of the size, as cost would quadruple."""
    return [max(min(width, narrowest), width >> stage) for stage in range(stages)]


def check(pixels: int, channels: int) -> None:
    """One line for sizes that these nets cannot have."""
    if not 8 <= pixels <= 128 or channels not in (1, 3, 4):
        raise ValueError(f"pictures of 8 to 128 pixels and 1, 3 or 4 channels, not {pixels} pixels and {channels} channels")


def framed(x_NCHW: torch.Tensor, spare: int) -> torch.Tensor:
    """Pictures with `spare` more pixels either way, of the background's -1, so that they halve evenly."""
    before = spare // 2
    return F.pad(x_NCHW, (before, spare - before) * 2, value=-1.0) if spare else x_NCHW


def squash(x: torch.Tensor) -> torch.Tensor:
    """tanh that never dies: tanh(x) + x / 256.

    At high rates a plain tanh's inputs grow until every pixel is black or white and no gradient comes through. The least
    leak is enough, and a larger one lets noise into the empty background (docs/log.md, 2026-11-23). What is a little
    blacker than black is cut off when bytes are made.
    """
    return torch.tanh(x) + x / 256


class Generator(nn.Module):
    """Noise, and a class if there are any, to pictures.

    Args:
        pixels, channels: of the pictures
        classes: how many, or 0
        width: channels at the smallest size
        blocks: residual blocks at each size
        noise: numbers of noise Z
    """

    def __init__(self, pixels: int, channels: int, *, classes: int = 0, width: int = 32, blocks: int = 1, noise: int = 64):
        super().__init__()
        check(pixels, channels)
        stages = halvings(pixels)
        widths = stage_widths(width, stages)
        self.noise, self.pixels, self.base = noise, pixels, -(-pixels // 2**stages)
        self.embed = nn.Embedding(classes, noise) if classes else None
        if self.embed is not None:
            nn.init.normal_(self.embed.weight, std=0.3)  # at 1 it drowned the noise: one drawing for each class
        # What is to be drawn is decided here, by dense layers, which also are the cheapest arithmetic that a CPU has.
        dense = 8 * widths[0]
        self.plan = nn.Sequential(convolution(0, noise * (2 if classes else 1), dense), Block(dense, dims=0))
        self.start = convolution(0, dense, widths[0] * self.base**2)
        self.trunk = Trunk(widths, blocks, resample="up")
        self.finish = convolution(2, widths[-1], 4 * channels)

    def forward(self, z_NZ: torch.Tensor, y_N: torch.Tensor | None = None) -> torch.Tensor:
        """(N, Z) and (N,) -> pictures (N, C, H, W), mostly in [-1, 1]."""
        if self.embed is not None:
            z_NZ = torch.cat([z_NZ, self.embed(y_N)], 1)
        x = (
            self.start(activate(self.plan(z_NZ)))
            .unflatten(1, (-1, self.base, self.base))
            .contiguous(memory_format=torch.channels_last)
        )
        x = F.pixel_shuffle(self.finish(activate(self.trunk(x))), 2)
        spare = (x.shape[-1] - self.pixels) // 2
        return squash(x[..., spare : spare + self.pixels, spare : spare + self.pixels].float())


class Critic(nn.Module):
    """Pictures, and a class if there are any, to one logit each.

    A class is a learnt picture of its own, laid beside the one that is judged: drawings of one class then vary more than
    with a projection (Miyato and Koyama 2018, arXiv 1802.05637; docs/log.md, 2026-11-23). No last bias: in a relativistic
    contest its gradient is exactly zero.

    Args:
        pixels, channels, classes, width, blocks: as for `Generator`
    """

    def __init__(self, pixels: int, channels: int, *, classes: int = 0, width: int = 32, blocks: int = 1):
        super().__init__()
        check(pixels, channels)
        stages = halvings(pixels)
        widths = stage_widths(width, stages)[::-1]
        base = -(-pixels // 2**stages)
        self.spare = base * 2**stages - pixels
        self.side = base * 2 ** (stages - 1)
        self.embed = nn.Embedding(classes, PLANES * self.side**2) if classes else None
        self.start = convolution(2, 4 * channels + (PLANES if classes else 0), widths[0])
        self.trunk = Trunk(widths, blocks, resample="down")
        dense = 4 * widths[-1]  # all places at once: what a digit is shows in the whole of it
        self.look = nn.Sequential(nn.Flatten(), convolution(0, widths[-1] * base**2, dense), Block(dense, dims=0))
        self.judge = convolution(0, dense, 1, bias=False, gain=0)  # so that the first loss is the expected one

    def features(self, x_NCHW: torch.Tensor, y_N: torch.Tensor | None = None) -> torch.Tensor:
        """(N, C, H, W) and (N,) -> the numbers (N, 4 · widths[-1]) by which a picture is judged, beside its class's."""
        x_NCHW = space_to_depth(framed(x_NCHW, self.spare))
        if self.embed is not None:
            x_NCHW = torch.cat([x_NCHW, self.embed(y_N).unflatten(1, (PLANES, self.side, self.side))], 1)
        h = self.trunk(self.start(x_NCHW.contiguous(memory_format=torch.channels_last)))
        return activate(self.look(activate(h)))

    def forward(self, x_NCHW: torch.Tensor, y_N: torch.Tensor | None = None) -> torch.Tensor:
        """(N, C, H, W) and (N,) -> logits (N,)."""
        return self.judge(self.features(x_NCHW, y_N)).squeeze(1)


class Classifier(nn.Module):
    """Pictures to a logit for each class, by a residual trunk with batch normalisation and an average over all places.

    Args:
        pixels, channels: of the pictures
        classes: how many
        widths: channels at half, a quarter, an eighth … of the size; of a fine net at the whole, half, a quarter …
        blocks: residual blocks at each size
        fine: begin with every pixel, in place of four of them at once
    """

    def __init__(
        self,
        pixels: int,
        channels: int,
        classes: int,
        *,
        widths: Sequence[int] = (24, 48, 80),
        blocks: int = 1,
        fine: bool = False,
    ):
        super().__init__()
        check(pixels, channels)
        self.fine = fine
        self.spare = -pixels % 2 ** (len(widths) - fine)
        self.start = convolution(2, channels if fine else 4 * channels, widths[0])
        self.trunk = Trunk(widths, blocks, resample="down", norm=nn.BatchNorm2d)
        self.norm = nn.BatchNorm2d(widths[-1])
        self.name = convolution(0, widths[-1], classes)

    def places(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in [-1, 1] -> what is seen at each place (N, widths[-1], h, w): H and W halved for each width, in a fine
        net for each but the first."""
        x_NCHW = framed(x_NCHW, self.spare)
        x_NCHW = x_NCHW.contiguous(memory_format=torch.channels_last) if self.fine else space_to_depth(x_NCHW)
        return activate(self.norm(self.trunk(self.start(x_NCHW))))

    def features(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in [-1, 1] -> the averages (N, widths[-1]) from which classes are told."""
        return self.places(x_NCHW).mean((2, 3))

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in [-1, 1] -> logits (N, classes)."""
        return self.name(self.features(x_NCHW))

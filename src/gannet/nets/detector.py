"""A net that sees things in places: down to an eighth or sixteenth of the size and up again to a quarter.

Shapes: N pictures of C channels and P × P pixels, K classes, cells of 4 × 4 pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from gannet.errors import Wrong
from gannet.nets.residual import Block, Trunk, activate, convolution

STRIDE = 4  # pixels of a cell's sides
USUAL = 16.0  # pixels of a side that an untrained net expects
PRIOR = 0.01  # chance of a thing in a cell that an untrained net tells: there are few (Lin et al. 2017, arXiv 1708.02002, 4.1)


class Detector(nn.Module):
    """Pictures to a map of cells, each with a logit for each class, an offset of the middle, and the logarithm of both sides.

    Zhou et al. 2019 (Objects as Points, arXiv 1904.07850) with our blocks: the trunk goes down, its maps are resized and added
    on the way up, as in a feature pyramid (Lin et al. 2016, arXiv 1612.03144).

    Args:
        pixels, channels: of the pictures; pixels are a multiple of 4
        classes: how many
        widths: channels at a quarter of the size, an eighth, a sixteenth …
        blocks: residual blocks on the way down, at each size
    """

    def __init__(self, pixels: int, channels: int, classes: int, *, widths: Sequence[int] = (48, 96, 128), blocks: int = 2):
        super().__init__()
        if pixels % STRIDE or pixels < 4 * STRIDE:
            what = f"a detector's pictures have a multiple of {STRIDE} pixels, at least {4 * STRIDE}"
            raise Wrong(what, got=f"{pixels} pixels", try_="--pixels 128", usage=True)
        self.even = STRIDE * 2 ** (len(widths) - 1)
        self.classes = classes
        self.start = nn.Conv2d(channels, widths[0] // 2, 5, 2, padding=2, bias=False)
        self.norm = nn.BatchNorm2d(widths[0] // 2)
        self.enter = nn.Conv2d(widths[0] // 2, widths[0], 3, 2, padding=1)
        self.down, before = nn.ModuleList(), widths[0]
        for i, width in enumerate(widths):
            enters = Block(before, width, resample="down" if i else None, norm=nn.BatchNorm2d)
            self.down.append(nn.Sequential(enters, Trunk([width], blocks - 1, norm=nn.BatchNorm2d)))
            before = width
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.up = nn.ModuleList([Block(low, high, resample="up", norm=nn.BatchNorm2d) for low, high in pairs])
        self.join = nn.ModuleList([Block(high, norm=nn.BatchNorm2d) for _, high in pairs])
        self.last = nn.BatchNorm2d(widths[0])
        self.look = convolution(2, widths[0], 2 * widths[0])
        self.tell = convolution(2, 2 * widths[0], classes + 4, 1)
        nn.init.zeros_(self.tell.weight)
        assert self.tell.bias is not None
        with torch.no_grad():
            self.tell.bias.copy_(torch.tensor([math.log(PRIOR / (1 - PRIOR))] * classes + [0.0] * 4))

    def features(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """(N, C, P, P) in [-1, 1] -> what each cell is told by, (N, 2 · widths[0], P/4, P/4)."""
        pixels = x_NCHW.shape[2]
        spare = -pixels % self.even
        x = F.pad(x_NCHW, (0, spare, 0, spare), value=-1.0).contiguous(memory_format=torch.channels_last)
        x = self.enter(activate(self.norm(self.start(x))))
        maps = []
        for stage in self.down:
            x = stage(x)
            maps.append(x)
        for up, join, beside in zip(self.up, self.join, maps[-2::-1], strict=True):
            x = join(up(x) + beside)
        return activate(self.look(activate(self.last(x))))[..., : pixels // STRIDE, : pixels // STRIDE]

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """(N, C, P, P) in [-1, 1] -> (N, K + 4, P/4, P/4), float32: K logits; x and y of the middle from the cell's, in cells;
        logarithms of width and height over 16 pixels."""
        x = self.features(x_NCHW)
        with torch.autocast(x.device.type, enabled=False):  # eight bits of mantissa would move a box by a part of a pixel
            return self.tell(x.float())

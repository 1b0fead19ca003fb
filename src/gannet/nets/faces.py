"""A net that makes a vector of a face: near for pictures of one person, far for different people.

Shapes: N pictures, C channels, H = W pixels, D numbers of a vector, K people.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from gannet.nets.images import Classifier, check
from gannet.nets.residual import convolution


class Embedder(nn.Module):
    """Pictures to vectors: the classifier's residual trunk, then all places at once, for a face has its parts in places.

    The vector's numbers are normalised over the batch, as Deng et al. 2019 end (arXiv 1801.07698, section 3.1): untrained,
    different pictures then have different directions.

    Args:
        pixels, channels: of the pictures
        size: D
        widths: channels at half, a quarter, an eighth … of the picture's size
        blocks: residual blocks at each size
    """

    def __init__(self, pixels: int, channels: int, size: int = 128, *, widths: Sequence[int] = (24, 48, 96), blocks: int = 1):
        super().__init__()
        check(pixels, channels)
        base = -(-pixels // 2 ** len(widths))
        self.size = size
        self.trunk = Classifier(pixels, channels, 1, widths=widths, blocks=blocks)
        self.trunk.name = nn.Identity()  # type: ignore[assignment]
        self.gather = convolution(0, widths[-1] * base**2, size, bias=False)
        self.even = nn.BatchNorm1d(size, affine=False)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) in [-1, 1] -> vectors (N, size), of any length."""
        return self.even(self.gather(self.trunk.places(x_NCHW).flatten(1)))


class Known(nn.Module):
    """An embedder, and a direction for each person that it is taught with: what the margins are between.

    Args:
        embedder: pictures (N, C, H, W) -> vectors (N, D)
        people: K
        size: D
    """

    def __init__(self, embedder: nn.Module, people: int, size: int):
        super().__init__()
        self.embedder = embedder
        # Only directions count, and short ones turn faster: Adam's steps are all of one size.
        self.people_KD = nn.Parameter(0.05 * torch.randn(people, size))

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> vectors (N, D)."""
        return self.embedder(x_NCHW)

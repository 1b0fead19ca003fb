"""The tutorial's own nets, put right: dense layers only, with the skip that its residual block lacks (docs/tutorial.md)."""

from __future__ import annotations

import torch
from torch import nn

from gannet.nets.residual import Block, Trunk, activate, convolution


class Generator(nn.Module):
    """(N, 100) -> pictures (N, C, H, H) in [-1, 1]: dense, residual blocks of 128 units, dense to H·H with tanh."""

    def __init__(self, pixels: int, channels: int, *, width: int = 128, blocks: int = 2, noise: int = 100):
        super().__init__()
        self.noise, self.shape = noise, (channels, pixels, pixels)
        self.start = convolution(0, noise, width)
        self.trunk = Trunk([width], blocks, dims=0)
        self.finish = convolution(0, width, channels * pixels**2)

    def forward(self, z_NZ: torch.Tensor, y_N: torch.Tensor | None = None) -> torch.Tensor:
        """Noise to pictures; classes are ignored."""
        return torch.tanh(self.finish(activate(self.trunk(self.start(z_NZ))))).unflatten(1, self.shape)


class Critic(nn.Module):
    """Pictures (N, C, H, H) -> logits (N,): dense, residual blocks of 128 then 64 units, one output."""

    def __init__(self, pixels: int, channels: int, *, width: int = 128):
        super().__init__()
        self.start = convolution(0, channels * pixels**2, width)
        self.trunk = nn.Sequential(Block(width, dims=0), Block(width, width // 2, dims=0))
        self.judge = convolution(0, width // 2, 1, gain=0)  # so that the first loss is the expected one

    def forward(self, x_NCHW: torch.Tensor, y_N: torch.Tensor | None = None) -> torch.Tensor:
        """Logits; the tutorial's sigmoid is part of the loss."""
        return self.judge(activate(self.trunk(self.start(x_NCHW.flatten(1))))).squeeze(1)

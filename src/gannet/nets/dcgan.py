"""DCGAN (Radford et al. 2015, arXiv 1511.06434) for 28 or 32 grey or colour pixels, as its tutorials write it: the peer.

Strided and transposed convolutions, batch normalisation, weights N(0, 0.02). Where the paper has 64 pixels and a
1024-channel start, the small versions begin at 7 (or 8) pixels with 128 channels, like the common MNIST adaptations.
"""

from __future__ import annotations

import torch
from torch import nn


def initialise(layer: nn.Module) -> None:
    """Weights N(0, 0.02), normalisation scales N(1, 0.02) (section 4 of the paper)."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)


class Generator(nn.Module):
    """(N, 100) -> pictures (N, C, H, H) in [-1, 1]; H a multiple of 4."""

    def __init__(self, pixels: int, channels: int, *, width: int = 64, noise: int = 100):
        super().__init__()
        if pixels % 4:
            raise ValueError(f"this DCGAN doubles its pictures twice, so their size is a multiple of 4, not {pixels}")
        self.noise = noise
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(noise, 2 * width, pixels // 4, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, channels, 4, 2, 1),
            nn.Tanh(),
        )
        self.apply(initialise)

    def forward(self, z_NZ: torch.Tensor, y_N: torch.Tensor | None = None) -> torch.Tensor:
        """Noise to pictures; classes are ignored."""
        return self.layers(z_NZ[:, :, None, None])


class Critic(nn.Module):
    """Pictures (N, C, H, H) -> logits (N,)."""

    def __init__(self, pixels: int, channels: int, *, width: int = 64):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, pixels // 4),
        )
        self.apply(initialise)

    def forward(self, x_NCHW: torch.Tensor, y_N: torch.Tensor | None = None) -> torch.Tensor:
        """Logits, not probabilities: the sigmoid lives in the loss, where it cannot overflow."""
        return self.layers(x_NCHW).flatten()

"""Data that is drawn rather than found: known answers for tests, and something to train on within seconds."""

from __future__ import annotations

import math

import torch


def bars(n: int, *, pixels: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures with one bright bar, across (class 0) or down (class 1), at a random place and brightness.

    Returns:
        bytes (n, 1, pixels, pixels) and classes (n,) int64. Every picture has exactly one bright row or column.
    """
    random = torch.Generator().manual_seed(seed)
    at_N = torch.randint(pixels, (n,), generator=random)
    y_N = torch.randint(2, (n,), generator=random)
    light_N = torch.randint(160, 256, (n,), generator=random).to(torch.uint8)
    across = torch.zeros(n, 1, pixels, pixels, dtype=torch.uint8)
    across[torch.arange(n), 0, at_N] = light_N[:, None]
    return torch.where(y_N.bool()[:, None, None, None], across.transpose(2, 3), across), y_N


def ring(n: int, *, modes: int = 8, radius: float = 2.0, spread: float = 0.05, seed: int = 0) -> torch.Tensor:
    """Points (n, 2), float32, around `modes` places on a circle: the classic test of dropped modes."""
    random = torch.Generator().manual_seed(seed)
    angle_N = torch.randint(modes, (n,), generator=random) * (2 * math.pi / modes)
    centres = radius * torch.stack([angle_N.cos(), angle_N.sin()], 1)
    return centres + spread * torch.randn(n, 2, generator=random)

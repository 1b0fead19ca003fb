"""Differentiable augmentation of what a critic sees, for sets so small that it would learn them by heart.

Zhao et al. 2020 (DiffAugment, arXiv 2006.10738): real and generated pictures are changed alike before the critic sees
them, and gradients go through the change, so that a generator never learns to draw it. Two things are otherwise here: both
pictures of a pair get the *same* change, since a relativistic critic compares them, and a change is made with a
probability that follows how far the critic is ahead (Karras et al. 2020, ADA, arXiv 2006.06676, section 3.1).

Shapes: N examples, C channels (an alpha channel, the fourth, moves with the others and keeps its values), H = W.
"""

from __future__ import annotations

import torch

NUMBERS = 10  # uniform numbers that one example's change is made of


def change(x_NCHW: torch.Tensor, u_NU: torch.Tensor, p: float | torch.Tensor) -> torch.Tensor:
    """Pictures in [-1, 1], moved, resized, cut out and recoloured, each by its own numbers.

    Args:
        x_NCHW: pictures; outside of them is -1, the background
        u_NU: uniform numbers (N, NUMBERS) in [0, 1): the same numbers make the same change
        p: probability of each of the three kinds of change; 0 gives the pictures back as they are
    """
    x_NCHW, u = x_NCHW.float(), u_NU.to(x_NCHW.device)
    on = [(u[:, i] < p).to(x_NCHW.dtype) for i in range(3)]  # move, cut, recolour
    with torch.autocast(x_NCHW.device.type, enabled=False):  # in bfloat16 a pixel's place would be known to a few hundredths
        x_NCHW = moved(x_NCHW, u[:, 3:6] * 2 - 1, on[0])
        x_NCHW = cut(x_NCHW, u[:, 6:8], on[1])
        return recoloured(x_NCHW, u[:, 8:10] * 2 - 1, on[2])


def moved(
    x_NCHW: torch.Tensor, u_N3: torch.Tensor, on_N: torch.Tensor, far: float = 0.125, larger: float = 0.15
) -> torch.Tensor:
    """Shifted by up to an eighth of the size either way, and up to 15 % smaller or larger."""
    scale_N, shift_N2 = 1 + larger * u_N3[:, 2] * on_N, 2 * far * u_N3[:, :2] * on_N[:, None]
    down_NSS, across_NSS = (resampling(x_NCHW.shape[-1], scale_N, shift_N2[:, i]) for i in (1, 0))
    return down_NSS[:, None] @ (x_NCHW + 1) @ across_NSS[:, None].mT - 1


def resampling(size: int, scale_N: torch.Tensor, shift_N: torch.Tensor) -> torch.Tensor:
    """Bilinear sampling along one axis as a matrix (N, size of what comes out, size of what goes in), with 0 outside.

    Sides are from -1 to 1, and what comes out at x is what went in at scale · x + shift. As products of matrices a move has
    derivatives of any order, and on each device the same bits every time, which `grid_sample` has not.
    """
    at_S = torch.arange(size, device=scale_N.device)
    places_NS = scale_N[:, None] * ((2 * at_S + 1) / size - 1) + shift_N[:, None]
    places_NS = ((places_NS + 1) * size - 1) / 2  # in pixels
    return (1 - (places_NS[:, :, None] - at_S).abs()).clamp(min=0)


def cut(x_NCHW: torch.Tensor, u_N2: torch.Tensor, on_N: torch.Tensor, side: float = 0.4) -> torch.Tensor:
    """A square of 0.4 of the size, anywhere, made background."""
    size = x_NCHW.shape[-1]
    at_S = torch.arange(size, device=x_NCHW.device)
    inside = [((at_S - u_N2[:, i : i + 1] * size).abs() < side * size / 2) for i in range(2)]
    hole_NHW = (inside[0][:, :, None] & inside[1][:, None, :]).to(x_NCHW.dtype) * on_N[:, None, None]
    return (x_NCHW + 1) * (1 - hole_NHW[:, None]) - 1


def recoloured(x_NCHW: torch.Tensor, u_N2: torch.Tensor, on_N: torch.Tensor) -> torch.Tensor:
    """Contrast by up to a third less or more, and in colour the strength of colour from none to twice.

    Both work on what stands over the background: colours are multiplied, never moved, so that nothing shows through where
    alpha is 0.
    """
    colour, rest = (x_NCHW[:, :3], x_NCHW[:, 3:]) if x_NCHW.shape[1] >= 3 else (x_NCHW, x_NCHW[:, :0])
    contrast, strength = (
        (1 + u_N2[:, :1] * on_N[:, None] / 3)[..., None, None],
        (1 + u_N2[:, 1:] * on_N[:, None])[..., None, None],
    )
    colour = (colour + 1) * contrast
    if colour.shape[1] == 3:
        grey = colour.mean(1, keepdim=True)
        colour = grey + (colour - grey) * strength
    return torch.cat([colour - 1, rest], 1)

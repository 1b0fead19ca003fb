"""Muon for matrices, AdamW for the rest, as one optimizer.

Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) takes the momentum's nearest matrix with equal singular values for
the step. At the size of a small language model it learns from half the tokens (docs/log.md, 2026-11-24).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

A, B, C = 3.4445, -4.7750, 2.0315  # of the post: steepest at 0, and near 1 (0.7 to 1.2) from there on
ROUNDS = 5


def orthogonal(x_NHW: torch.Tensor) -> torch.Tensor:
    """For each matrix the one with the same singular vectors and singular values near 1, (N, H, W), by Newton and Schulz.

    In float32 on a CPU: many have no arithmetic in bfloat16 and imitate it at a tenth of the speed, or less.
    """
    dtype, tall = x_NHW.dtype, x_NHW.shape[1] > x_NHW.shape[2]
    x = x_NHW.mT if tall else x_NHW
    x = x.to(torch.float32 if x.device.type == "cpu" else torch.bfloat16)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=B, alpha=C), x, beta=A)
    return (x.mT if tall else x).to(dtype)


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov's momentum and Liu et al.'s size of a step (2025, arXiv 2502.16982, section 2.2): 0.2 √max(H, W) times
    the rate, about what AdamW's would be, so that one rate does for both.

    The same as `torch.optim.Muon(adjust_lr_fn="match_rms_adamw")`, which has no other arithmetic than bfloat16 and takes the
    matrices one by one; here those of one shape go together.

    Args:
        matrices: that are trained, each (H, W)
        lr: peak learning rate
        decay: decoupled weight decay
        momentum: share of the last step's that stays
    """

    def __init__(self, matrices: Iterable[nn.Parameter], lr: float, decay: float = 0.05, momentum: float = 0.95):
        super().__init__(matrices, {"lr": lr, "weight_decay": decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step of every matrix that has a gradient."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[nn.Parameter]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike.setdefault(matrix.shape, []).append(matrix)
            for shape, matrices in alike.items():
                ahead = [self._ahead(matrix, group["momentum"]) for matrix in matrices]
                size = group["lr"] * 0.2 * math.sqrt(max(shape))
                for matrix, step_HW in zip(matrices, orthogonal(torch.stack(ahead)), strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(step_HW, alpha=-size)

    def _ahead(self, matrix: nn.Parameter, momentum: float) -> torch.Tensor:
        """The gradient with the momentum that comes behind it; the momentum is moved on."""
        assert matrix.grad is not None
        state = self.state[matrix]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        state["momentum_buffer"].lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(state["momentum_buffer"], momentum)


class MuonAndAdamW:
    """Muon on the matrices within a net, AdamW on its embeddings, head, vectors and scales.

    It has what the engine asks of an optimizer: `param_groups`, `zero_grad`, `step`, and a state to save.

    Args:
        net: whose parameters are trained: all matrices but those of `nn.Embedding` and of a layer named "head", "judge…" are
            Muon's
        lr: of both
        decay: weight decay of the matrices
        betas: Adam's
    """

    def __init__(self, net: nn.Module, lr: float, decay: float = 0.05, betas: tuple[float, float] = (0.9, 0.95)):
        tables = {id(m.weight) for m in net.modules() if isinstance(m, nn.Embedding)}
        matrices, rest = [], []
        for name, parameter in net.named_parameters():
            inside = (
                parameter.ndim == 2 and id(parameter) not in tables and not name.split(".")[0].startswith(("head", "judge"))
            )
            (matrices if inside else rest).append(parameter)
        self.parts: dict[str, torch.optim.Optimizer] = {
            "muon": Muon(matrices, lr=lr, decay=decay),
            "adamw": torch.optim.AdamW(rest, lr=lr, betas=betas, weight_decay=0.0, fused=True),
        }

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Of both."""
        return [group for part in self.parts.values() for group in part.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Of both."""
        for part in self.parts.values():
            part.zero_grad(set_to_none=set_to_none)

    def step(self) -> None:
        """Of both."""
        for part in self.parts.values():
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Of both, by name."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse."""
        for name, part in self.parts.items():
            part.load_state_dict(state[name])

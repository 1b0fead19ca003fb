"""Muon for matrices, AdamW for the rest, as one optimizer.

Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) takes the momentum's nearest matrix with equal singular values for
the step. At the size of a small language model it learns from half the tokens (docs/log.md, 2026-11-24).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from gannet.errors import Wrong


class MuonAndAdamW:
    """Muon on the matrices within a net, AdamW on its embeddings, head, vectors and scales.

    It has what the engine asks of an optimizer: `param_groups`, `zero_grad`, `step`, and a state to save. Muon's steps are
    sized so that one rate does for both (Liu et al. 2025, arXiv 2502.16982, section 2.2).

    Args:
        net: whose parameters are trained: all matrices but those of `nn.Embedding` and of a layer named "head", "judge…" are
            Muon's
        lr: of both
        decay: weight decay of the matrices
        betas: Adam's
    """

    def __init__(self, net: nn.Module, lr: float, decay: float = 0.05, betas: tuple[float, float] = (0.9, 0.95)):
        if not hasattr(torch.optim, "Muon"):
            raise Wrong(
                "this recipe's optimizer, Muon, needs torch 2.9", got=f"torch {torch.__version__}", try_="pip install -U torch"
            )
        tables = {id(m.weight) for m in net.modules() if isinstance(m, nn.Embedding)}
        matrices, rest = [], []
        for name, parameter in net.named_parameters():
            inside = (
                parameter.ndim == 2 and id(parameter) not in tables and not name.split(".")[0].startswith(("head", "judge"))
            )
            (matrices if inside else rest).append(parameter)
        self.parts: dict[str, torch.optim.Optimizer] = {
            "muon": torch.optim.Muon(matrices, lr=lr, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
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

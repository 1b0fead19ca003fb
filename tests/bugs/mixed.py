"""`digits` after a careless refactoring: one reshape in the critic mixes the batch. The loss falls all the same."""

from typing import Literal

import torch
from torch import nn

from gannet import Recipe
from gannet.recipes.digits import digits


class Mixed(nn.Module):
    """Meant to swap two axes, and lays the batch out anew."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        return x.reshape(c, n, h, w).transpose(0, 1)


def mixed(size: Literal["tiny", "small"] = "small", data: str = "mnist") -> Recipe:
    """The recipe `digits` with one line too many."""
    made = digits(size, data)
    critic = made.objective.players["critic"].net
    critic.start = nn.Sequential(critic.start, Mixed())
    return made

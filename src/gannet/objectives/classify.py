"""Telling classes apart: cross-entropy with label smoothing and an averaged net.

Shapes: N examples, K classes.
"""

from __future__ import annotations

import copy
import functools
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from gannet.objectives import Loss, Player, follow
from gannet.rng import Rng


class Classify:
    """One player, the classifier.

    Args:
        net: pictures (N, C, H, W) -> logits (N, K)
        classes: K
        rate: peak learning rate
        decay: AdamW's weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101)
        smoothing: share of the target that is spread over all classes (Szegedy et al. 2015, arXiv 1512.00567, section 7)
        half_life: of the averaged net, in examples
    """

    def __init__(
        self,
        net: nn.Module,
        classes: int,
        *,
        rate: float = 4e-3,
        decay: float = 0.02,
        smoothing: float = 0.05,
        half_life: float = 10_000,
    ):
        make = functools.partial(torch.optim.AdamW, weight_decay=decay, fused=True)
        self.players = {"classifier": Player(net, rate=rate, make=make)}
        self.average = copy.deepcopy(net).requires_grad_(False).eval()
        self.classes, self.smoothing, self.half_life = classes, smoothing, half_life
        self.seen = torch.zeros((), dtype=torch.int64)  # examples behind the average

    def turns(self, progress: float) -> tuple[str, ...]:
        return ("classifier",)

    def loss(self, player: str, batch: Any, rng: Rng) -> Loss:
        x_NCHW, y_N = batch
        logits_NK = self.players[player].net(x_NCHW).float()
        right = (logits_NK.detach().argmax(1) == y_N).float().mean()
        loss_N = F.cross_entropy(logits_NK, y_N, label_smoothing=self.smoothing, reduction="none")
        return loss_N, None, {"accuracy": right}

    def expect(self) -> dict[str, float]:
        return {"classifier": math.log(self.classes)}

    def after(self, progress: float, examples: int) -> None:
        follow(self.average, self.players["classifier"].net, self.half_life, self.seen, examples)

    def nets(self) -> dict[str, nn.Module]:
        return {"classifier": self.average}

    def state(self) -> dict[str, torch.Tensor]:
        return {"seen": self.seen} | {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}

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
from scipy import special
from torch import nn

from gannet.data.images import to_float
from gannet.errors import Wrong
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
        mixup: alpha of the Beta distribution of how two pictures are mixed (Zhang et al. 2018, arXiv 1710.09412); 0: not at all
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
        mixup: float = 0.0,
    ):
        if not 0 <= smoothing < 1:
            raise Wrong("--smoothing is a share, from 0 to below 1", got=smoothing, try_="--smoothing 0.05", usage=True)
        if not 0 <= mixup < math.inf:
            raise Wrong("--mixup is 0 or above", got=mixup, try_="--mixup 0.2", usage=True)
        make = functools.partial(torch.optim.AdamW, weight_decay=decay, fused=True)
        self.players = {"classifier": Player(net, rate=rate, make=make)}
        self.average = copy.deepcopy(net).requires_grad_(False).eval()
        self.classes, self.smoothing, self.half_life, self.mixup = classes, smoothing, half_life, mixup
        self.seen = torch.zeros((), dtype=torch.int64)  # examples behind the average
        self.precision = "float32"  # of `logits`: a run sets it to what it was trained in

    def turns(self, progress: float) -> tuple[str, ...]:
        return ("classifier",)

    def loss(self, player: str, batch: Any, rng: Rng) -> Loss:
        x_NCHW, y_N = batch
        if not self.mixup:
            logits_NK = self.players[player].net(x_NCHW).float()
            right = (logits_NK.detach().argmax(1) == y_N).float().mean()
            return self.each(logits_NK, y_N), None, {"accuracy": right}
        # Each picture with the one that stands opposite: batches come shuffled.
        share = special.betaincinv(self.mixup, self.mixup, rng.uniform(len(y_N)).double().numpy())
        share_N = torch.from_numpy(share).float().to(x_NCHW.device)
        mixed = torch.lerp(x_NCHW.flip(0), x_NCHW, share_N[:, None, None, None])
        logits_NK = self.players[player].net(mixed).float()
        loss_N = share_N * self.each(logits_NK, y_N) + (1 - share_N) * self.each(logits_NK, y_N.flip(0))
        likelier = torch.where(share_N >= 0.5, y_N, y_N.flip(0))
        return loss_N, None, {"accuracy": (logits_NK.detach().argmax(1) == likelier).float().mean()}

    def each(self, logits_NK: torch.Tensor, y_N: torch.Tensor) -> torch.Tensor:
        """Cross-entropy with smoothed targets of each example, (N,)."""
        return F.cross_entropy(logits_NK, y_N, label_smoothing=self.smoothing, reduction="none")

    @torch.no_grad()
    def logits(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """What the averaged net says of byte pictures (N, C, H, W): logits (N, K), float32."""
        part = max(8, 500 * 28**2 // math.prod(x_NCHW.shape[2:]))  # as much memory for large pictures as for small ones
        device = next(self.average.parameters()).device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            parts = [self.average(to_float(x).to(device, memory_format=torch.channels_last)) for x in x_NCHW.split(part)]
        return torch.cat([part.float().cpu() for part in parts])

    def expect(self) -> dict[str, float]:
        return {"classifier": math.log(self.classes)}

    def after(self, progress: float, examples: int) -> None:
        follow(self.average, self.players["classifier"].net, self.half_life, self.seen, examples)

    def nets(self) -> dict[str, nn.Module]:
        return {"classifier": self.average}

    def state(self) -> dict[str, torch.Tensor]:
        return {"seen": self.seen} | {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}

"""Telling classes apart: cross-entropy with label smoothing and an averaged net.

Shapes: N examples, K classes.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from scipy import special
from torch import nn

from gannet.errors import Wrong
from gannet.objectives import Averaged, Loss
from gannet.rng import Rng


class Classify(Averaged):
    """One player, the classifier.

    Args:
        net: pictures (N, C, H, W) -> logits (N, K)
        classes: K
        rate: peak learning rate
        decay: weight decay
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
        super().__init__("classifier", net, rate=rate, decay=decay, half_life=half_life)
        self.classes, self.smoothing, self.mixup = classes, smoothing, mixup
        self.precision = "float32"  # of `logits`: a run sets it to what it was trained in

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

    def logits(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """What the averaged net says of byte pictures (N, C, H, W): logits (N, K), float32."""
        return torch.cat([part.cpu() for part in self.said(x_NCHW, self.precision)])

    def expect(self) -> dict[str, float]:
        return {"classifier": math.log(self.classes)}

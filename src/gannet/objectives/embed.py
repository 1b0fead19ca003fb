"""Telling people apart by vectors: a softmax over directions of people, with a margin that grows as the run goes on.

With θ the angle between a picture's vector and its person's direction, and a scale s, the logit of the right person is
s·cos(θ + m) (ArcFace: Deng et al. 2019, arXiv 1801.07698, equation 3), s·(cos θ - m) (CosFace: Wang et al. 2018, arXiv
1801.09414, equation 4), or between the two by the vector's length (AdaFace: Kim et al. 2022, arXiv 2204.00964, section 3.4);
that of the others s·cos of their angles. Shapes: N pictures, K people, D numbers of a vector.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from scipy import special
from torch import nn

from gannet.errors import Wrong
from gannet.nets.faces import Known
from gannet.objectives import Averaged, Loss
from gannet.rng import Rng

#: The papers' margins.
MARGINS = {"arcface": 0.5, "cosface": 0.35, "adaface": 0.4}
SPREAD = 0.333  # AdaFace's h: how far a vector's length reaches
REMEMBERED = 0.99  # of the lengths' mean and deviation, at each step


class Embed(Averaged):
    """One player: the embedding net with a direction for each person.

    Args:
        net: pictures (N, C, H, W) -> vectors (N, D)
        people: K
        size: D
        margin: arcface, cosface or adaface
        rate: peak learning rate
        decay: weight decay
        half_life: of the averaged net, in examples
        scale: s; without, what suits the number of people
        rise: the shares of the run between which the margin grows from 0 to its full size: from the start it keeps few people
            from being learnt at all
    """

    def __init__(
        self,
        net: nn.Module,
        people: int,
        size: int,
        *,
        margin: str = "cosface",
        rate: float = 4e-3,
        decay: float = 0.02,
        half_life: float = 10_000,
        scale: float | None = None,
        rise: tuple[float, float] = (0.25, 0.75),
    ):
        if margin not in MARGINS:
            raise Wrong("no such margin", got=margin, try_=", ".join(MARGINS), usage=True)
        rest: dict[str, Any] = {"rate": rate, "decay": decay, "half_life": half_life}
        super().__init__("recogniser", Known(net, people, size), part="embedder", **rest)
        self.classes, self.size, self.margin, self.rise = people, size, margin, rise
        self.scale = suitable(people) if scale is None else scale
        self.progress = torch.zeros((), dtype=torch.float64)
        self.lengths_2 = torch.tensor([math.sqrt(size), math.sqrt(size) / 10])  # mean and deviation, for adaface

    @property
    def width(self) -> float:
        """The margin as it stands."""
        first, last = self.rise
        return MARGINS[self.margin] * min(max((float(self.progress) - first) / (last - first), 0.0), 1.0)

    def loss(self, player: str, batch: Any, rng: Rng) -> Loss:
        x_NCHW, y_N = batch
        net = self.players[player].net
        e_ND = net(x_NCHW).float()
        with torch.autocast(e_ND.device.type, enabled=False):  # bfloat16 has no digits to spare for cosines
            cos_NK = F.normalize(e_ND) @ F.normalize(net.people_KD.float()).T  # type: ignore[operator, union-attr]
        cos_N = cos_NK.gather(1, y_N[:, None])[:, 0]
        long_N = self._long(e_ND.detach().norm(dim=1)) if self.margin == "adaface" else None
        right_N = marked(cos_N, self.margin, self.width, long_N)
        logits_NK = self.scale * cos_NK.scatter(1, y_N[:, None], right_N[:, None])
        right = (cos_NK.detach().argmax(1) == y_N).float().mean()
        return F.cross_entropy(logits_NK, y_N, reduction="none"), None, {"accuracy": right, "cosine": cos_N.detach().mean()}

    def _long(self, length_N: torch.Tensor) -> torch.Tensor:
        """How long vectors are beside the usual, -1 to 1 (N,); the usual is moved on, by this process's pictures."""
        if len(length_N) > 1:
            now_2 = torch.stack([length_N.mean(), length_N.std()]).to(self.lengths_2)
            self.lengths_2.lerp_(now_2, 1 - REMEMBERED)
        mean, deviation = self.lengths_2.to(length_N.device)
        return ((length_N - mean) / (deviation + 1e-3) * SPREAD).clamp(-1, 1)

    def embed(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        """The averaged net's vectors of byte pictures (N, C, H, W): (N, D), float32, of length 1."""
        if not len(x_NCHW):
            return torch.empty(0, self.size)
        return F.normalize(torch.cat([part.cpu() for part in self.said(x_NCHW)]))

    def expect(self) -> dict[str, float]:
        """At margin 0, of vectors that have nothing to do with the people's directions: ln of K times the mean of
        exp(s·cos θ), which for a direction of D numbers drawn at random is ₀F₁(D/2; s²/4)."""
        return {"recogniser": math.log(self.classes) + math.log(float(special.hyp0f1(self.size / 2, self.scale**2 / 4)))}

    def after(self, progress: float, examples: int) -> None:
        super().after(progress, examples)
        self.progress.fill_(progress)

    def state(self) -> dict[str, torch.Tensor]:
        return super().state() | {"progress": self.progress, "lengths": self.lengths_2}


def suitable(people: int) -> float:
    """A scale for so many people: half as much again as where the softmax is steepest, √2·ln(K - 1) (AdaCos: Zhang et al. 2019,
    arXiv 1905.00292, equation 12), since a margin has to be made up for; 4 to 64.

    The papers' 64 is for tens of thousands of people; on few, nothing converges with it.
    """
    return min(max(1.5 * math.sqrt(2) * math.log(max(people - 1, 2)), 4.0), 64.0)


def marked(cos_N: torch.Tensor, margin: str, m: float, long_N: torch.Tensor | None = None) -> torch.Tensor:
    """The right person's cosine made harder by a margin, (N,).

    Args:
        cos_N: cos θ of each picture and its person
        margin: arcface, cosface or adaface
        m: its size
        long_N: for adaface, how long each vector is, from -1 to 1
    """
    if margin == "cosface":
        return cos_N - m
    if margin == "arcface":
        return turned(cos_N, torch.full_like(cos_N, m))
    assert long_N is not None
    return turned(cos_N, -m * long_N) - (m * long_N + m)


def turned(cos_N: torch.Tensor, angle_N: torch.Tensor) -> torch.Tensor:
    """cos(θ + angle), which beyond 0 and π, where it would turn back, goes on as cos θ does."""
    sin_N = (1 - cos_N.square()).clamp(min=1e-4).sqrt()
    inside_N = cos_N * angle_N.cos() - sin_N * angle_N.sin()
    edge_N = angle_N.cos()
    below_N, above_N = cos_N + edge_N - 1, cos_N - edge_N + 1  # meet -1 at θ = π - angle, and 1 at θ = -angle
    beyond = (angle_N > 0) & (cos_N < -edge_N)
    before = (angle_N < 0) & (cos_N > edge_N)
    return torch.where(beyond, below_N, torch.where(before, above_N, inside_N))

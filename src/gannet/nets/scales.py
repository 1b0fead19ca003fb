"""What a net that plays knows of the sizes of numbers: those that it sees, and those that it is rewarded with.

It is part of the net, so that whoever has the net has the scales: the run folder, its average, an export.

Shapes: N examples, D numbers of an observation, R rows and C columns of one that is a table.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

FAR = 10.0  # standard deviations beyond which an observation is cut off
LEAST = 1e-3  # deviation that an observation is divided by at least


class Moments(nn.Module):
    """Running mean and variance of numbers (D,) by the parallel update of Chan, Golub and LeVeque (1979); D = 0: of one number.

    Args:
        size: D
        mean, variance: to begin with, worth `count` numbers
    """

    def __init__(self, size: int, mean: Any = 0.0, variance: Any = 1.0, count: float = 0.0):
        super().__init__()
        shape = (size,) if size else ()
        for name, value in (("mean", mean), ("variance", variance)):
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32).expand(shape).clone())
        self.register_buffer("count", torch.tensor(float(count)))
        self.mean: torch.Tensor
        self.variance: torch.Tensor
        self.count: torch.Tensor

    @torch.no_grad()
    def add(self, count: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Numbers that are new, by how many they are, their mean and their variance."""
        count, mean, variance = (t.to(self.mean) for t in (count, mean, variance))
        if not count > 0:
            return
        whole, apart = self.count + count, mean - self.mean
        share = count / whole
        self.variance.copy_((1 - share) * self.variance + share * variance + share * (1 - share) * apart.square())
        self.mean.add_(apart * share)
        self.count.copy_(whole)


class Scaled(nn.Module):
    """A net behind its scales.

    Args:
        net: observations (N, ...) -> (policy (N, A), value (N,)); vectors reach it less their mean, over their deviation, cut
            at ±10; pixels as they are: an `Agent` that sees by convolutions scales them itself, in its first layer. Of a net
            that reads a table (`net.numbers_of_a_row`) all rows have the same scales, or they could not be compared
        seen: what observations look like: {"mean", "variance"} to begin with, or None for pixels
        count: observations that this is worth

    Attributes:
        reward: moments of the discounted sum of rewards; its deviation is the unit that values are in
    """

    def __init__(self, net: nn.Module, seen: dict[str, Any] | None = None, count: float = 100.0):
        super().__init__()
        self.net = net
        self.seen = None if seen is None else Moments(len(seen["mean"]), seen["mean"], seen["variance"], count)
        self.reward = Moments(0)

    @property
    def moments(self) -> Moments | None:
        """Of what is seen, wherever they are kept: of vectors (D,), of frames (K,) as the net packs them."""
        return self.seen if self.seen is not None else getattr(self.net, "moments", None)

    @property
    def mean_CHW(self) -> torch.Tensor | None:
        """The mean frame (C, H, W), from 0 to 1; None of vectors, and of nets that know none."""
        return getattr(self.net, "mean_CHW", None)

    def prepared(self, x: torch.Tensor) -> torch.Tensor:
        """Observations as they reach the net: vectors (N, D) scaled, pixels as they are."""
        if self.seen is None:
            return x
        mean_D, variance_D = self._scales(self.seen)
        x_ND = (x.flatten(1) - mean_D) / variance_D.sqrt().clamp(min=LEAST)
        return x_ND.clamp(-FAR, FAR)

    def _scales(self, seen: Moments) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance of each number of a vector (D,); of a table those of its columns, in every row."""
        columns = getattr(self.net, "numbers_of_a_row", None)
        if columns is None:
            return seen.mean, seen.variance
        mean_RC = seen.mean.view(-1, columns)
        mean_C = mean_RC.mean(0)
        variance_C = seen.variance.view(-1, columns).mean(0) + (mean_RC - mean_C).square().mean(0)
        return mean_C.repeat(len(mean_RC)), variance_C.repeat(len(mean_RC))

    def forward(self, x: torch.Tensor) -> Any:
        """As the net within."""
        return self.net(self.prepared(x))

    def listens(self, x: torch.Tensor) -> torch.Tensor | None:
        """Which rows of a table the net listens to, (N, heads, R); None of nets that read none."""
        within = getattr(self.net, "listens", None)
        return None if within is None else within(self.prepared(x))

    def only_policy(self, x: torch.Tensor) -> torch.Tensor:
        """What to do, (N, A), and not what it is worth: for decisions that shall be quick."""
        alone = getattr(self.net, "only_policy", None)
        return self(x)[0] if alone is None else alone(self.prepared(x))

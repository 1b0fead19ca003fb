"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347).

A rollout is learnt from several times over, but only as far as the policy stays near the one that played it:

    L = -min(r A, clip(r, 1 - ε, 1 + ε) A) + c₁ (V - R)² / 2 - c₂ H            eq. 7 and 9, per example

with r = π(a|s) / π_old(a|s), A the advantage (eq. 11), R = A + V_old, and H the policy's entropy. What matters beside it, as
the authors' own code has it and Huang et al. ("The 37 implementation details of PPO", 2022) list it:

- advantages are normalised within each minibatch;
- values are clipped as ratios are: the larger one of (V - R)² and (V_clipped - R)² counts;
- the gradient's norm is clipped, Adam has ε = 1e-5, the policy's last layer begins near zero;
- an episode that was cut off is bootstrapped with the value of its true last observation, one that ended is not;
- steps that only reset an environment count for nothing.

Shapes: T steps, E environments, N examples, A actions or numbers of an action.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import nn

from gannet.data.play import Play, Rollout
from gannet.objectives import Loss
from gannet.objectives.playing import Playing, added, advantages, normal
from gannet.rng import Rng


class Samples(NamedTuple):
    """A rollout, ready to be learnt from, (T, E, ...) each; or a minibatch of it, (N, ...)."""

    seen: torch.Tensor
    did: torch.Tensor
    log_p: torch.Tensor
    value: torch.Tensor
    advantage: torch.Tensor
    counts: torch.Tensor


def surrogate(ratio_N: torch.Tensor, advantage_N: torch.Tensor, clip: float) -> torch.Tensor:
    """What is to be made large (N,): Schulman et al. 2017, eq. 7."""
    return torch.minimum(ratio_N * advantage_N, ratio_N.clamp(1 - clip, 1 + clip) * advantage_N)


def value_loss(value_N: torch.Tensor, before_N: torch.Tensor, target_N: torch.Tensor, clip: float | None) -> torch.Tensor:
    """Half the squared error of values (N,); with a clip, of the value or the clipped one, whichever is further off."""
    error_N = (value_N - target_N).square()
    if clip is not None:
        near_N = before_N + (value_N - before_N).clamp(-clip, clip)
        error_N = torch.maximum(error_N, (near_N - target_N).square())
    return error_N / 2


class PPO(Playing):
    """One player, the agent, policy and value in one net.

    Args:
        net, play: as for `Playing`
        clip: ε, how far a ratio may go from 1
        value: c₁, weight of the value's loss
        value_clip: how far a value may go from what it was, in the unit of scaled rewards; None: as far as it likes
        entropy: c₂, weight of the entropy
        trace: λ of the advantages
        named: rate, discount, rewards, half_life, … of `Playing`
    """

    def __init__(
        self,
        net: nn.Module,
        play: Play,
        *,
        clip: float = 0.2,
        value: float = 0.5,
        value_clip: float | None = 0.2,
        entropy: float = 0.01,
        trace: float = 0.95,
        **named: Any,
    ):
        super().__init__(net, play, **named)
        self.clip, self.value, self.value_clip, self.entropy, self.trace = clip, value, value_clip, entropy, trace

    def prepare(self, rollout: Rollout, rng: Rng) -> Samples:
        """A rollout with its advantages."""
        reward_TE = self.worth(rollout, rng)
        self.notice(rollout, rng)
        value_TE = torch.cat([rollout.kept["value"], self.value_after(rollout)[None]])
        ends = rollout.terminated_TE, rollout.truncated_TE
        advantage_TE = advantages(reward_TE, value_TE, *ends, discount=self.discount, trace=self.trace)
        kept = rollout.kept
        return Samples(
            self.packed(rollout.seen_TE[:-1]), rollout.did_TE, kept["log_p"], kept["value"], advantage_TE, rollout.counts_TE
        )

    def loss(self, player: str, batch: Samples, rng: Rng) -> Loss:
        policy, value_N = self.judged(self.laid(batch.seen))
        log_ratio_N = policy.log_p(batch.did) - batch.log_p
        ratio_N, entropy_N, counts_N = log_ratio_N.exp(), policy.entropy(), batch.counts.float()
        gain_N = surrogate(ratio_N, normal(batch.advantage, counts_N, rng), self.clip)
        error_N = value_loss(value_N, batch.value, batch.value + batch.advantage, self.value_clip)
        values_N = -gain_N + self.value * error_N - self.entropy * entropy_N
        with torch.no_grad():
            kl_N = ratio_N - 1 - log_ratio_N  # ≥ 0 each, and on average the divergence from the policy that played
            far_N = ((ratio_N - 1).abs() > self.clip).float()
            parts = torch.stack([-gain_N - self.entropy * entropy_N, error_N, entropy_N, kl_N, far_N]) * counts_N
            means = added(torch.cat([parts.sum(1), counts_N.sum()[None]]), rng)
            names = ("policy", "value", "entropy", "kl", "clipped")
            notes = dict(zip(names, means[:-1] / means[-1].clamp(min=1), strict=True))
        return values_N * counts_N, counts_N.clamp(min=1e-6), notes | self.lately()  # a minibatch of resets alone: 0, not 0/0

    def expect(self) -> dict[str, float]:
        """Of the policy alone: with ratio 1 and normalised advantages only the entropy is left, that of chance."""
        if self.play.actions is not None:
            return {"agent": -self.entropy * math.log(self.play.actions)}
        spread = float(self.net.net.log_deviation.detach().sum()) + (self.play.box or 0) * (1 + math.log(2 * math.pi)) / 2  # type: ignore
        return {"agent": -self.entropy * spread}

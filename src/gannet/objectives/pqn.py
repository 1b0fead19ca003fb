"""A parallelised Q-network: no target network, no replay but on request, many environments, a net that LayerNorm keeps steady.

Gallici et al. 2024 (arXiv 2407.04811). What matters, each tested: the targets are Q(lambda), computed backwards over the
rollout and cut where an episode ends; an episode that was cut off is bootstrapped, one that ended is not; the loss is the
squared error to them, they themselves have no gradient; exploration falls over the first part of a run. The net has to have
LayerNorm (`Agent(…, norm=True)`): without it and without a target network the targets run away.

Where a simulator is slow, a step is worth more updates than these: with `remember`, rollouts are kept and learnt from again
(Lin 1992, Machine Learning 8:293), their targets computed anew by the net of now, and then for all the epochs of a step, as
fitted Q-iteration does (Riedmiller 2005, "Neural fitted Q iteration"). That is not in the paper. A trace over what an older
policy did is off its policy; it is left uncorrected, as n-step returns from memory are elsewhere (Hessel et al. 2018,
arXiv 1710.02298), and so wants to be short.

Q comes out of the agent's two heads as value and advantages (Wang et al. 2016, arXiv 1511.06581, eq. 9), so that every agent's
net will do; the paper's has one head.

Shapes: T steps of a rollout, E environments, N samples, A actions.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import torch
from torch import nn

from gannet.data.play import Play, Rollout
from gannet.errors import Wrong
from gannet.objectives import Loss
from gannet.objectives.memory import Memory
from gannet.objectives.playing import ROWS, Choice, Decision, Playing, added
from gannet.rng import Rng

#: Numbers for games seen in pixels, as others train them (not measured here), and for vectors (CartPole, docs/imitate.md).
PIXELS: dict[str, Any] = {"rate": 2.5e-4, "last": 0.01, "exploration": 0.1, "trace": 0.65}
VECTORS: dict[str, Any] = {"rate": 1e-3, "last": 0.1, "exploration": 0.3, "trace": 0.95}
#: And for slow simulators, where a step is learnt from again and again (measured on roads, docs/drive.md).
REPLAY: dict[str, Any] = {"rate": 5e-4, "last": 0.05, "exploration": 0.1, "trace": 0.3, "remember": 15_360, "recall": 16}


def games(examples: int) -> dict[str, Any]:
    """And for games whose emulator is quick and whose points come long after what earned them (found on Pong, docs/log.md),
    in runs of so many agent steps; with a rate of 5e-4 and two epochs."""
    return {"last": 0.01, "exploration": 0.08, "trace": 0.8, "remember": min(204_800, examples), "recall": 4}


class Samples(NamedTuple):
    """A rollout, ready to be learnt from, (T, E, ...) each; or a minibatch of it, (N, ...)."""

    seen: torch.Tensor
    did: torch.Tensor
    target: torch.Tensor
    counts: torch.Tensor


def q_lambda(
    reward_TE: torch.Tensor,
    best_TE: torch.Tensor,
    terminated_TE: torch.Tensor,
    truncated_TE: torch.Tensor,
    *,
    discount: float,
    trace: float,
) -> torch.Tensor:
    """What Q of the action that was taken should have been, (T, E).

    R_t = r_t + discount · (trace · R_{t+1} + (1 - trace) · max_a Q(s_{t+1}, a)), from the last step backwards. An end cuts it:
    nothing comes after a termination; after a truncation, and after the rollout's last step, stands max_a Q alone. R_{t+1} of
    the next episode never leaks over an end. Exploring actions do not cut the trace (Peng's Q(lambda)), as in the paper.

    Args:
        reward_TE: of each step
        best_TE: max_a Q of each observation (T + 1, E), the one after the last step included. Where step t ended an episode,
            best_TE[t + 1] is of its true last observation.
        terminated_TE, truncated_TE: whether the episode ended with the step, or was cut off there; termination wins
        discount: of the future
        trace: lambda; 0 looks one step ahead, 1 as far as the rollout goes
    """
    target_TE = torch.empty_like(reward_TE)
    after_E = best_TE[-1]
    for t in range(len(reward_TE) - 1, -1, -1):
        next_E = torch.lerp(best_TE[t + 1], after_E, trace)
        next_E = torch.where(truncated_TE[t], best_TE[t + 1], next_E)
        after_E = target_TE[t] = reward_TE[t] + discount * torch.where(terminated_TE[t], 0.0, next_E)
    return target_TE


def exploring(progress: float, *, first: float = 1.0, last: float = 0.01, share: float = 0.1) -> float:
    """Chance of a random action: a straight line from `first` to `last` over this share of a run, then `last`."""
    return first + (last - first) * min(progress / share, 1.0) if share else last


def greedily(q_EA: torch.Tensor, chance: float, u_E: torch.Tensor, random_E: torch.Tensor) -> torch.Tensor:
    """Actions (E,): the best one, or, with this chance, any.

    Args:
        q_EA: Q of each action
        chance: epsilon
        u_E: uniform in [0, 1)
        random_E: what is done instead, in [0, A)
    """
    return torch.where(u_E < chance, random_E, q_EA.argmax(1))


def dueling(advantage_NA: torch.Tensor, value_N: torch.Tensor) -> torch.Tensor:
    """Q of each action (N, A): Wang et al. 2016, eq. 9."""
    return (value_N[:, None] + advantage_NA - advantage_NA.mean(1, keepdim=True)).float()


class PQN(Playing):
    """One player, the agent, whose net tells what each action is worth.

    Args:
        net, play: as for `Playing`; the net with LayerNorm
        first, last, exploration: chance of a random action: from the first to the last over this share of the run
        trace: lambda of the targets
        remember: steps of all environments that are learnt from again, 0 for none (the paper's); rollouts that are shorter than
            the play's, as preflight's, are not remembered
        recall: rollouts that are learnt from at each step of the loop, the newest among them
        named: discount, rewards, half_life, … of `Playing`; RAdam and the gradient's norm cut at 10, as in the paper

    Raises:
        Wrong: where actions are numbers rather than a choice.
    """

    lots = False

    def __init__(
        self,
        net: nn.Module,
        play: Play,
        *,
        first: float = 1.0,
        last: float = 0.01,
        exploration: float = 0.1,
        trace: float = 0.65,
        remember: int = 0,
        recall: int = 16,
        **named: Any,
    ):
        if play.actions is None:
            what = "a Q-network chooses among actions, and here one is made up of numbers"
            raise Wrong(what, got=f"{play.name}, {play.box} numbers", try_="--method ppo", usage=True)
        super().__init__(net, play, make=radam, clip=10.0, **named)
        self.first, self.last, self.exploration, self.trace = first, last, exploration, trace
        self.chance = first  # of a random action; set anew before every rollout
        self.remember = remember
        self.memory = Memory(play, remember, recall, self.packed) if remember else None

    def instead(self, net: nn.Module, play: Play) -> Self:
        other = super().instead(net, play)
        if self.memory is not None:
            other.memory = Memory(play, self.remember, self.memory.recalled, other.packed)
        return other

    def state(self) -> dict[str, torch.Tensor]:
        return super().state() | (self.memory.state() if self.memory is not None else {})

    def turns(self, progress: float) -> tuple[str, ...]:
        self.chance = exploring(progress, first=self.first, last=self.last, share=self.exploration)
        return super().turns(progress) * (self.memory.recalled if self.memory is not None else 1)

    def quality(self, x: torch.Tensor, net: nn.Module | None = None) -> torch.Tensor:
        """Q of each action (N, A) for observations (N, ...), by the trained net or another of its kind."""
        return dueling(*(self.net if net is None else net)(x))

    @torch.no_grad()
    def act(self, seen_E: torch.Tensor, rng: Rng, greedy: bool = False) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """What to do while training: the best action, or sometimes any; {"best": Q of the best (E,)} beside it; on the CPU."""
        seen_E, precision = self._seeing(seen_E)
        with precision:
            q_EA = self.quality(seen_E).cpu()
        u_E, random_E = rng.uniform(len(q_EA)), rng.integers(q_EA.shape[1], len(q_EA))
        return greedily(q_EA, 0.0 if greedy else self.chance, u_E, random_E), {"best": q_EA.amax(1)}

    @torch.no_grad()
    def decide(self, seen_E: torch.Tensor) -> Decision:
        """What the finished agent does on observations (E, ...): always the best action, and its Q as the value."""
        seen_E, precision = self._seeing(seen_E)
        with precision:
            advantage_EA, value_E = self.finished(seen_E)
        q_EA, did_E = dueling(advantage_EA, value_E).cpu(), Choice(advantage_EA.float()).best().cpu()  # as `best` has it
        p_EA = nn.functional.one_hot(did_E, q_EA.shape[1]).float()
        return Decision(did_E, p_EA, None, None, q_EA.amax(1) * self.unit(self.finished).cpu())

    @torch.no_grad()
    def prepare(self, rollout: Rollout, rng: Rng) -> Samples:
        """A rollout with the targets of its actions; with a memory, those that are recalled, one after another."""
        reward_TE = self.worth(rollout, rng)
        self.notice(rollout, rng)
        if self.memory is None or len(rollout.did_TE) != self.play.steps:
            best_TE = torch.cat([rollout.kept["best"], self.most(rollout.seen_TE[-1:])])
            return self._samples(rollout, reward_TE, best_TE)
        self.memory.add(rollout, rng)
        recalled = self.memory.recall(rng)
        parts = [self._samples(one, self.scaled(one.reward_TE), self.most(one.seen_TE)) for one in recalled]
        return Samples(*map(torch.cat, zip(*parts, strict=True)))

    def most(self, seen_TE: torch.Tensor) -> torch.Tensor:
        """Q of the best action (T, E) for observations (T, E, ...), by the trained net; on the CPU."""
        seen_N, precision = self._seeing(seen_TE.flatten(0, 1))
        with precision:
            return torch.cat([self.quality(x).amax(1).cpu() for x in seen_N.split(ROWS)]).unflatten(0, seen_TE.shape[:2])

    def _samples(self, rollout: Rollout, reward_TE: torch.Tensor, best_TE: torch.Tensor) -> Samples:
        ends = rollout.terminated_TE, rollout.truncated_TE
        target_TE = q_lambda(reward_TE, best_TE, *ends, discount=self.discount, trace=self.trace)
        return Samples(self.packed(rollout.seen_TE[:-1]), rollout.did_TE, target_TE, rollout.counts_TE)

    def loss(self, player: str, batch: Samples, rng: Rng) -> Loss:
        q_N = self.quality(batch.seen).gather(1, batch.did[:, None])[:, 0]
        counts_N = batch.counts.float()
        values_N = (q_N - batch.target).square() / 2
        with torch.no_grad():
            sums = added(torch.stack([(q_N * counts_N).sum(), (batch.target * counts_N).sum(), counts_N.sum()]), rng)
        notes = {"q": sums[0] / sums[2].clamp(min=1), "target": sums[1] / sums[2].clamp(min=1)}
        notes |= {"exploring": torch.tensor(self.chance)}
        return values_N * counts_N, counts_N.clamp(min=1e-6), notes | self.lately()

    def expect(self) -> dict[str, float]:
        return {}  # nobody knows before what rewards there are


def radam(net: nn.Module, lr: float) -> torch.optim.Optimizer:
    """RAdam (Liu et al. 2020, arXiv 1908.03265)."""
    return torch.optim.RAdam(net.parameters(), lr=lr)

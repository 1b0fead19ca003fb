"""What all agents share: acting, deciding, what must be remembered of a game, and rewards of a usual size.

Shapes: T steps, E environments, N examples, A actions or numbers of an action.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import nn

from gannet.data.play import Past, Play, Rollout, gathered
from gannet.nets.scales import Scaled
from gannet.objectives import Player, follow
from gannet.rng import Rng

LATELY = 100  # episodes behind the return and the length that are shown while training
LOOKS = 8  # frames of each environment and rollout that tell what frames are like: next to each other they differ little
ROWS = 1024  # observations that are judged at once, where there are many
LARGEST = 10.0  # scaled rewards are cut at it
Rewards = Literal["running", "sign", "plain"]


class Decision(NamedTuple):
    """What a finished agent does, and why (E rows, on the CPU).

    Attributes:
        did_E: the action: numbers (E,) int64, or (E, A) floats of which -1 to 1 is what the environment allows
        p_EA: chance of each action, where there is a choice
        mean_EA, deviation_EA: of a continuous action
        value_E: the discounted sum of rewards that is expected, in the rewards' own unit (of clipped rewards where they are)
    """

    did_E: torch.Tensor
    p_EA: torch.Tensor | None
    mean_EA: torch.Tensor | None
    deviation_EA: torch.Tensor | None
    value_E: torch.Tensor


class Choice:
    """A policy over A actions.

    Args:
        logits_NA: of each
    """

    def __init__(self, logits_NA: torch.Tensor):
        self.log_p_NA = logits_NA.log_softmax(1)

    def draw(self, rng: Rng) -> torch.Tensor:
        """An action for each row (N,), by inverting the distribution function."""
        sum_NA = self.log_p_NA.cpu().double().exp().cumsum(1)
        u_N1 = rng.uniform(len(sum_NA), 1).double() * sum_NA[:, -1:]
        return torch.searchsorted(sum_NA, u_N1, right=True)[:, 0].clamp(max=sum_NA.shape[1] - 1)

    def best(self) -> torch.Tensor:
        """The likeliest action (N,)."""
        return self.log_p_NA.argmax(1)

    def log_p(self, did_N: torch.Tensor) -> torch.Tensor:
        """Log chance of actions (N,)."""
        return self.log_p_NA.gather(1, did_N[:, None])[:, 0]

    def entropy(self) -> torch.Tensor:
        """In nats (N,)."""
        return -(self.log_p_NA.exp() * self.log_p_NA).sum(1)


class Gaussian:
    """A policy over A numbers, each independent of the others.

    Args:
        mean_NA: of each
        log_deviation_A: of each, the same for every observation
    """

    def __init__(self, mean_NA: torch.Tensor, log_deviation_A: torch.Tensor):
        self.mean_NA, self.log_deviation_NA = mean_NA, log_deviation_A.float().expand_as(mean_NA)

    def draw(self, rng: Rng) -> torch.Tensor:
        """An action for each row (N, A); it is cut to what the environment allows when it is played, not before."""
        z_NA = rng.normal(*self.mean_NA.shape)
        return self.mean_NA.cpu() + self.log_deviation_NA.exp().cpu() * z_NA

    def best(self) -> torch.Tensor:
        """The likeliest action (N, A)."""
        return self.mean_NA

    def log_p(self, did_NA: torch.Tensor) -> torch.Tensor:
        """Log density of actions (N,)."""
        z_NA = (did_NA - self.mean_NA) * (-self.log_deviation_NA).exp()
        return (-z_NA.square() / 2 - self.log_deviation_NA - math.log(2 * math.pi) / 2).sum(1)

    def entropy(self) -> torch.Tensor:
        """Differential entropy in nats (N,)."""
        return (self.log_deviation_NA + (1 + math.log(2 * math.pi)) / 2).sum(1)


def adam(net: nn.Module, lr: float) -> torch.optim.Optimizer:
    """Adam with the larger ε that agents are trained with: gradients of a policy are small and noisy."""
    return torch.optim.Adam(net.parameters(), lr=lr, eps=1e-5, fused=True)


class Playing:
    """What objectives that play share. They bring `prepare`, `loss` and `expect`.

    Args:
        net: observations (N, ...) -> (policy (N, A), value (N,)); with `log_deviation` (A,) where actions are continuous
        play: what is played
        rate: peak learning rate
        discount: γ, what a reward is worth a step later
        rewards: running: divided by the running deviation of their discounted sum; sign: -1, 0 or 1, as for Atari games;
            plain: as they are. The environments' own are told in any case
        half_life: of the averaged net, in agent steps; 0: the trained net is the model
        clip: largest norm of the gradient
        make: builds the optimizer from (net, lr=...); Adam with ε = 1e-5 where it is None
    """

    classes = 0
    #: It learns from the environment's own rewards.
    rewarded = True
    #: It has chances of its actions, and draws them by lot.
    lots = True

    def __init__(
        self,
        net: nn.Module,
        play: Play,
        *,
        rate: float = 2.5e-4,
        discount: float = 0.99,
        rewards: Rewards = "running",
        half_life: float = 0,
        clip: float | None = 0.5,
        make: Callable[..., torch.optim.Optimizer] | None = None,
    ):
        self.play, self.discount, self.rewards, self.half_life = play, discount, rewards, half_life
        scaled = Scaled(net, play.about or None)
        self.players = {"agent": Player(scaled, rate=rate, betas=(0.9, 0.999), clip=clip, make=make or adam)}
        self.average = copy.deepcopy(scaled).requires_grad_(False).eval() if half_life else None
        self.seen = torch.zeros((), dtype=torch.int64)  # agent steps behind the average
        self.precision = "float32"
        self.past = Past(play)
        self.discounted_E = torch.zeros(play.environments, dtype=torch.float64)  # sum of rewards so far, for their unit
        self.lately_K2 = torch.zeros(LATELY, 2, dtype=torch.float64)  # return and length of the last episodes
        self.ended = torch.zeros((), dtype=torch.int64)  # episodes so far
        self.pending: tuple[torch.Tensor, ...] | None = None  # moments of what was seen, added once the step is over

    @property
    def net(self) -> Scaled:
        """The net that is trained, behind its scales."""
        net = self.players["agent"].net
        assert isinstance(net, Scaled)
        return net

    @property
    def finished(self) -> Scaled:
        """The net that is judged: the average, or the trained one where there is none."""
        return self.average if self.average is not None else self.net

    def instead(self, net: nn.Module, play: Play) -> Self:
        """The same objective with another net, on another game, as if it began."""
        other = copy.copy(self)
        kept = {"discount": self.discount, "rewards": self.rewards, "half_life": self.half_life}
        player = self.players["agent"]
        Playing.__init__(other, net, play, rate=player.rate, clip=player.clip, make=player.make, **kept)
        return other

    # ---------------------------------------------------------------------------------------------------- the contract

    def turns(self, progress: float) -> tuple[str, ...]:
        return ("agent",) * (self.play.epochs * self.play.minibatches)

    def after(self, progress: float, examples: int) -> None:
        if self.pending is not None and self.net.moments is not None:
            # Not before: a rollout is learnt from with the scales that it was played with, so that its first ratio is 1.
            self.net.moments.add(*self.pending)
            self.pending = None
        if self.average is not None:
            follow(self.average, self.net, self.half_life, self.seen, examples)

    def nets(self) -> dict[str, nn.Module]:
        return {"agent": self.finished}

    def state(self) -> dict[str, torch.Tensor]:
        kept = {"discounted": self.discounted_E, "lately": self.lately_K2, "ended": self.ended, **self.past.state()}
        if self.average is not None:
            kept |= {"seen": self.seen} | {f"average.{name}": tensor for name, tensor in self.average.state_dict().items()}
        return kept

    # ------------------------------------------------------------------------------------------------ acting, deciding

    def judged(self, x: torch.Tensor, net: nn.Module | None = None) -> tuple[Choice | Gaussian, torch.Tensor]:
        """The policy and the values (N,) for observations (N, ...), by the trained net or another of its kind."""
        net = self.net if net is None else net
        policy_NA, value_N = net(self.looked(x))
        return self._policy(policy_NA, net), value_N.float()

    def looked(self, x: torch.Tensor) -> torch.Tensor:
        """Observations (N, ...) as the net is given them."""
        return x

    def _policy(self, policy_NA: torch.Tensor, net: nn.Module) -> Choice | Gaussian:
        if self.play.box is None:
            return Choice(policy_NA.float())
        return Gaussian(policy_NA.float(), net.net.log_deviation)  # type: ignore[union-attr, arg-type]

    def laid(self, x: torch.Tensor) -> torch.Tensor:
        """Pictures channels last, where the net does not lay them itself: faster, and a net that was loaded gives what the
        trained one did, to the last bit."""
        plain = x.ndim == 4 and not hasattr(self.net.net, "packed")
        return x.contiguous(memory_format=torch.channels_last) if plain else x

    def packed(self, seen_TE: torch.Tensor) -> torch.Tensor:
        """Observations (T, E, ...) as the net reads them, where it says how: once, for all the epochs that look at them.

        What is packed already stays as it is.
        """
        pack = getattr(self.net.net, "packed", None)
        return seen_TE if pack is None else pack(seen_TE.flatten(0, 1)).unflatten(0, seen_TE.shape[:2])

    def counted(self, seen_TE: torch.Tensor) -> torch.Tensor:
        """Observations (T, E, ...) as their moments count them (T, E, D): frames packed, from 0 to 1; vectors as they are."""
        return self.packed(seen_TE).float() / 255 if self.play.bytes else seen_TE.flatten(2).double()

    def _seeing(self, x: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Observations on the net's device, and the precision that it computes in."""
        device = next(self.net.parameters()).device
        return self.laid(x.to(device)), torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    @torch.no_grad()
    def act(self, seen_E: torch.Tensor, rng: Rng, greedy: bool = False) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """What to do while training, and what must be remembered of it.

        Args:
            seen_E: observations (E, ...)
            rng: chance, for all processes' environments
            greedy: the likeliest action instead

        Returns:
            actions (E,) or (E, A); {"log_p": (E,), "value": (E,)}; on the CPU.
        """
        seen_E, precision = self._seeing(seen_E)
        with precision:
            policy, value_E = self.judged(seen_E)
        did_E = policy.best().cpu() if greedy else policy.draw(rng)
        log_p_E = policy.log_p(did_E.to(value_E.device))
        return did_E, {"log_p": log_p_E.cpu(), "value": value_E.cpu()}

    @torch.inference_mode()
    def best(self, seen_E: torch.Tensor) -> torch.Tensor:
        """What `decide` holds for best, (E,) or (E, A), on the CPU, and nothing else of it: at batch 1 in half the time."""
        seen_E, precision = self._seeing(seen_E)
        with precision:
            return self._policy(self.finished.only_policy(self.looked(seen_E)), self.finished).best().cpu()

    @torch.no_grad()
    def decide(self, seen_E: torch.Tensor) -> Decision:
        """What the finished agent does on observations (E, ...), and why: nothing is left to chance."""
        seen_E, precision = self._seeing(seen_E)
        with precision:
            policy, value_E = self.judged(seen_E, self.finished)
        value_E = (value_E * self.unit(self.finished)).cpu()
        if isinstance(policy, Choice):
            return Decision(policy.best().cpu(), policy.log_p_NA.exp().cpu(), None, None, value_E)
        return Decision(policy.best().cpu(), None, policy.mean_NA.cpu(), policy.log_deviation_NA.exp().cpu(), value_E)

    # ----------------------------------------------------------------------------------------- what a rollout tells all

    def unit(self, net: Scaled | None = None) -> torch.Tensor:
        """What rewards are divided by, ()."""
        moments = (net or self.net).reward
        known = moments.count > 0 and moments.variance > 1e-8
        return moments.variance.sqrt() if self.rewards == "running" and known else torch.ones_like(moments.variance)

    @torch.no_grad()
    def worth(self, rollout: Rollout, rng: Rng) -> torch.Tensor:
        """Rewards as the agent learns from them (T, E), after the unit has taken notice of these."""
        if self.rewards == "running":
            self._weigh(rollout, rng)
        return self.scaled(rollout.reward_TE)

    def scaled(self, reward_TE: torch.Tensor) -> torch.Tensor:
        """Rewards of the environment as the agent learns from them, in the unit of now."""
        if self.rewards == "sign":
            return reward_TE.sign()
        if self.rewards == "plain":
            return reward_TE
        return (reward_TE / self.unit().cpu()).clamp(-LARGEST, LARGEST)

    def _weigh(self, rollout: Rollout, rng: Rng) -> None:
        """Take notice of how large rewards are."""
        reward_TE = gathered(rollout.reward_TE, rng).double()
        ended_TE = gathered(rollout.terminated_TE | rollout.truncated_TE, rng)
        counts_TE = gathered(rollout.counts_TE, rng)
        sums = []
        for reward_E, ended_E in zip(reward_TE, ended_TE, strict=True):
            self.discounted_E.mul_(self.discount).add_(reward_E)
            sums.append(self.discounted_E.clone())
            self.discounted_E.mul_(~ended_E)
        some_N = torch.stack(sums)[counts_TE]
        if len(some_N):
            self.net.reward.add(torch.tensor(float(len(some_N))), some_N.mean(), some_N.var(unbiased=False))

    @torch.no_grad()
    def notice(self, rollout: Rollout, rng: Rng) -> None:
        """Take notice of how large the numbers are that were seen; it counts from the next step on."""
        if self.net.moments is None:
            return
        length = len(rollout.seen_TE) - 1
        every = max(1, length // LOOKS) if self.play.bytes else 1
        x_TED = self.counted(rollout.seen_TE[list(range(length - 1, -1, -every))])  # not the first: games may only begin there
        means_E2D = gathered(torch.stack([x_TED.mean(0), x_TED.square().mean(0)], 1)[None], rng)[0]
        mean_D, square_D = means_E2D.mean(0)
        count = torch.tensor(float(len(x_TED) * self.play.environments))
        self.pending = (count, mean_D, (square_D - mean_D.square()).clamp(min=0))

    def heard(self, episodes: list[tuple[float, int]]) -> None:
        """Take notice of episodes that have ended: return and length of each."""
        for episode in episodes:
            self.lately_K2[int(self.ended) % LATELY] = torch.tensor(episode, dtype=torch.float64)
            self.ended += 1

    def lately(self) -> dict[str, torch.Tensor]:
        """Mean return and length of the last hundred episodes; nothing before the first has ended."""
        many = min(int(self.ended), LATELY)
        if not many:
            return {}
        return dict(zip(("return", "length"), self.lately_K2[:many].mean(0), strict=True))

    @torch.no_grad()
    def value_after(self, rollout: Rollout) -> torch.Tensor:
        """What the trained net expects from where the rollout ends (E,)."""
        seen_E, precision = self._seeing(rollout.seen_TE[-1])
        with precision:
            return self.judged(seen_E)[1].cpu()


def advantages(
    reward_TE: torch.Tensor,
    value_TE: torch.Tensor,
    terminated_TE: torch.Tensor,
    truncated_TE: torch.Tensor,
    *,
    discount: float,
    trace: float,
) -> torch.Tensor:
    """Generalised advantage estimates (T, E): Schulman et al. 2017 (arXiv 1707.06347), eq. 11 and 12.

    Args:
        reward_TE: of each step (T, E)
        value_TE: before each step and after the last (T + 1, E); after one that ended an episode, of its true last observation
        terminated_TE: nothing comes after: that value counts as 0
        truncated_TE: it was only cut off: that value counts, and the sum ends with it
        discount, trace: γ and λ
    """
    ended_TE = terminated_TE | truncated_TE
    delta_TE = reward_TE + discount * value_TE[1:] * ~terminated_TE - value_TE[:-1]
    out_TE, sum_E = torch.empty_like(delta_TE), torch.zeros_like(delta_TE[0])
    for t in range(len(delta_TE) - 1, -1, -1):
        sum_E = delta_TE[t] + discount * trace * ~ended_TE[t] * sum_E
        out_TE[t] = sum_E
    return out_TE


def added(numbers: torch.Tensor, rng: Rng) -> torch.Tensor:
    """A tensor added up over all processes."""
    if rng.world > 1:
        import torch.distributed as dist

        # Cards speak to one another by a library that knows nothing of what lies beside them.
        there = numbers.to("cuda") if dist.get_backend() == "nccl" else numbers
        dist.all_reduce(there)
        return there.to(numbers.device)
    return numbers


def normal(values_N: torch.Tensor, counts_N: torch.Tensor, rng: Rng) -> torch.Tensor:
    """Values less their mean over their deviation, both over those of all processes that count (N,)."""
    n, total, square = added(torch.stack([counts_N.sum(), (values_N * counts_N).sum(), (values_N**2 * counts_N).sum()]), rng)
    mean = total / n.clamp(min=1)
    deviation = (square / n.clamp(min=1) - mean.square()).clamp(min=0).sqrt()
    return (values_N - mean) / (deviation + 1e-8)


__all__ = ["ROWS", "Choice", "Decision", "Gaussian", "Playing", "Rewards", "adam", "added", "advantages", "normal"]

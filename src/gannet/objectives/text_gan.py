"""The contest of a writer and its opponent over texts, after a warm-up by likelihood.

No contest from scratch beats likelihood and a temperature (Caccia et al. 2020, "Language GANs Falling Short",
arXiv 1811.02549), so likelihood comes first, is kept as `warmed`, and every curve of the contest belongs beside that of the
warmed writer. Three paths:

- policy: a relativistic critic of texts and of tokens, and policy gradients on the writer's own texts, on a leash to the warmed
  writer: the recipe of Ye et al. 2025 (GAD, arXiv 2511.10643) at our size, with the dense rewards of de Masson d'Autume et al.
  2019 (ScratchGAN, arXiv 1905.09922);
- gumbel: relaxed choices, so that the critic's gradient goes through the writing itself (Nie et al. 2019, RelGAN, ICLR);
- cot: no critic but a mediator of both kinds of text, towards which the writer goes (Lu et al. 2019, arXiv 1804.03782).

Shapes: N texts, T tokens of a text, V vocabulary, Z numbers of noise.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import nn

from gannet.data.text import Batch, Vocabulary
from gannet.nets.sequence import Memory, TextCritic, Writer
from gannet.objectives import Loss, Player, follow
from gannet.objectives.language import Language, choose, negative_log_likelihood, written
from gannet.rng import Rng

Path = Literal["policy", "gumbel", "cot"]
NEVER = -1e4  # a logit of no chance at all; finite, so that 0 · log 0 is 0 and not nan


@dataclass(frozen=True)
class Play:
    """How a path is played.

    Attributes:
        opponent_steps: of the critic or the mediator, for each step of the writer
        rate: peak rate of the writer in the contest, as absolute a number as the warm-up's
        opponent_rate: the critic's or the mediator's
        leash: weight of KL(writer || warmed)
        anchor: weight of the likelihood of real text in the writer's step
        drift: weight of the critic's squared logits, of the whole and of the tokens (Karras et al. 2018, arXiv 1710.10196,
            appendix A.1, hold the mean where it is with such a term): a critic that was right for long must not go on saying so
            when it is wrong, or the two go round each other
    """

    opponent_steps: int
    rate: float
    opponent_rate: float
    leash: float = 0.0
    anchor: float = 0.0
    drift: float = 0.1


PLAYS: dict[str, Play] = {
    "policy": Play(opponent_steps=3, rate=5e-4, opponent_rate=4e-3, leash=0.1, anchor=0.1),
    "gumbel": Play(opponent_steps=3, rate=2e-4, opponent_rate=4e-3, anchor=0.1),
    "cot": Play(opponent_steps=1, rate=1e-3, opponent_rate=1e-3),
}


@contextlib.contextmanager
def still(net: nn.Module) -> Iterator[None]:
    """A net without dropout for a while: what judges a choice must be what made it. Recurrent layers stay as they are, since
    their kernels on a GPU take no gradient otherwise; dropout is never theirs."""
    was = {module: module.training for module in net.modules()}
    for module in was:
        module.training = module.training and isinstance(module, nn.RNNBase)
    try:
        yield
    finally:
        for module, training in was.items():
            module.training = training


def mean_there(values_NT: torch.Tensor, there_NT: torch.Tensor) -> torch.Tensor:
    """The mean of each row over what is there, 0 where nothing is, (N,)."""
    return (values_NT * there_NT).sum(1) / there_NT.sum(1).clamp(min=1)


def relative(
    above: tuple[torch.Tensor, torch.Tensor], below: tuple[torch.Tensor, torch.Tensor], both_NT: torch.Tensor
) -> torch.Tensor:
    """-log sigma(above - below) of pairs of texts (N,): half for the whole, half for the tokens, a mean over those places that
    are there in both (Jolicoeur-Martineau 2018, arXiv 1807.00734, section 4.1; Bradley and Terry's model of comparisons).

    Halves, so that a critic that knows nothing loses ln 2 on each pair whatever their lengths.

    Args:
        above, below: logits of wholes (N,) and of tokens (N, T); above is what is to be taken for real
        both_NT: which places are there in both texts
    """
    whole_N = F.softplus(below[0].float() - above[0].float())
    each_NT = F.softplus(below[1].float() - above[1].float())
    return (whole_N + mean_there(each_NT, both_NT)) / 2


def rewards_of(whole_N: torch.Tensor, each_NT: torch.Tensor, there_NT: torch.Tensor) -> torch.Tensor:
    """What each token of a text earns (N, T): its own logit over the text's length, and the whole text's at the last one.

    The logits themselves and not their sigmoids: the critic learns differences alone, so what 0 means is arbitrary, a common
    offset goes out with the baseline, and a sigmoid would flatten wherever the offset happened to drift. Tokens' logits are
    divided by how many there are: all of them together then weigh as much as the whole, as in the critic's own loss. The critic
    reads both ways, so an early token's logit knows of later choices, which rewards to go do not: a bias that is accepted.
    """
    last_NT = there_NT & ~F.pad(there_NT[:, 1:], (0, 1))
    return (each_NT / there_NT.sum(1, keepdim=True).clamp(min=1) + last_NT * whole_N[:, None]) * there_NT


def to_go(rewards_NT: torch.Tensor, discount: float = 1.0) -> torch.Tensor:
    """Rewards from each token on, sum over s ≥ t of discount^(s - t) r_s, (N, T) (Sutton et al. 2000)."""
    sums, sum_N = [], torch.zeros_like(rewards_NT[:, 0])
    for reward_N in reversed(rewards_NT.unbind(1)):
        sum_N = reward_N + discount * sum_N
        sums.append(sum_N)
    return torch.stack(sums[::-1], 1)


def others_mean(values_NT: torch.Tensor, there_NT: torch.Tensor, y_N: torch.Tensor | None = None) -> torch.Tensor:
    """At each place the mean over the other texts that are there (N, T): a baseline that does not know the text's own choice,
    and so leaves the gradient's expectation alone (Kool et al. 2019, "Buy 4 REINFORCE samples").

    Args:
        values_NT, there_NT: rewards to go, and where they count
        y_N: class; where another text of the same class is there, only those count. A text alone is its own baseline: with
            nothing to compare it with, nothing is learnt
    """
    values_NT, one_NT = values_NT * there_NT, there_NT.to(values_NT.dtype)
    others_NN = 1 - torch.eye(len(values_NT), dtype=values_NT.dtype, device=values_NT.device)
    sum_NT, n_NT = others_NN @ values_NT, others_NN @ one_NT
    if y_N is not None:
        alike_NN = others_NN * (y_N[:, None] == y_N)
        n_alike_NT = alike_NN @ one_NT
        sum_NT = torch.where(n_alike_NT > 0, alike_NN @ values_NT, sum_NT)
        n_NT = torch.where(n_alike_NT > 0, n_alike_NT, n_NT)
    return torch.where(n_NT > 0, sum_NT / n_NT.clamp(min=1), values_NT)


def divergence(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """KL(p || q) of two distributions by their logarithms, exact over the last dimension, in nats."""
    return torch.linalg.vecdot(log_p.exp(), log_p - log_q)


def policy_loss(log_p_NT: torch.Tensor, advantage_NT: torch.Tensor, there_NT: torch.Tensor) -> torch.Tensor:
    """-A log p of each text's tokens, added up (N,): its gradient is REINFORCE's (Williams 1992; PPO's clipped ratio, Schulman
    et al. 2017, arXiv 1707.06347, eq. 7, has the same at its first step on fresh texts)."""
    return -(log_p_NT * advantage_NT.detach() * there_NT).sum(1)


def relaxed(logits_NV: torch.Tensor, u_NV: torch.Tensor, sharpness: float, straight: bool = True) -> torch.Tensor:
    """A choice with a gradient, as shares of the tokens (N, V) (Jang et al. 2017, arXiv 1611.01144, eq. 2).

    Args:
        logits_NV: the likelihoods of the choice
        u_NV: uniform in [0, 1); -log(-log u) is Gumbel's
        sharpness: inverse temperature
        straight: the shares are those of one token, all of it, and the gradient that of the relaxed ones
    """
    tiny = torch.finfo(torch.float32).tiny
    gumbel_NV = -(-u_NV.clamp(min=tiny).log()).clamp(min=tiny).log()
    soft_NV = ((logits_NV.float() + gumbel_NV) * sharpness).softmax(1)
    if not straight:
        return soft_NV
    hard_NV = F.one_hot(soft_NV.argmax(1), soft_NV.shape[1]).to(soft_NV.dtype)
    return hard_NV + soft_NV - soft_NV.detach()


class TextGan(Language):
    """A writer that is warmed up by likelihood and then plays against a critic, or towards a mediator.

    Args:
        net: the writer, tokens (N, T) -> logits of the next (N, T, V)
        vocabulary: of its tokens
        critic: of the paths policy and gumbel
        path: policy, gumbel or cot
        play: how it is played; without, PLAYS[path]
        warm: share of the run that is warm-up
        opponent_alone: share of the run, behind the warm-up, in which the critic or the mediator learns alone
        discount: of rewards to go
        sharpest: inverse temperature that relaxed choices come to in the end; it rises from 1 as its powers (Nie et al. 2019)
        straight: relaxed choices hand on one token each, and only their gradient is relaxed
        longest, whole, rate, decay, half_life: as for `Language`
    """

    def __init__(
        self,
        net: Writer,
        vocabulary: Vocabulary,
        *,
        critic: TextCritic | None = None,
        path: Path = "policy",
        play: Play | None = None,
        warm: float = 0.6,
        opponent_alone: float = 0.03,
        discount: float = 1.0,
        sharpest: float = 100.0,
        straight: bool = True,
        **words: Any,
    ):
        super().__init__(net, vocabulary, **words)
        self.path, self.play = path, PLAYS[path] if play is None else play
        self.warm, self.opponent_alone, self.discount = warm, opponent_alone, discount
        self.sharpest, self.straight, self.sharpness = sharpest, straight, 1.0
        self.contest = False  # as the last `turns` found it
        self.warmed = copy.deepcopy(self.average)
        self.is_warmed = torch.zeros((), dtype=torch.bool)  # a tensor so that a resume restores it
        rate = self.play.opponent_rate
        if path == "cot":
            made = copy.deepcopy(net)
            self.players["mediator"] = Player(made, rate=rate, clip=1.0, make=self.players["writer"].make)
        else:
            if critic is None:
                raise ValueError(f"the path {path} needs a critic")
            self.players["critic"] = Player(critic, rate=rate, clip=1.0, make=self.players["writer"].make)
        self.opponent = "mediator" if path == "cot" else "critic"

    @property
    def writer(self) -> Writer:
        """The net that is being trained."""
        return cast(Writer, self.players["writer"].net)

    def turns(self, progress: float) -> tuple[str, ...]:
        self.contest = progress >= self.warm
        done = max(0.0, (progress - self.warm) / max(1 - self.warm, 1e-9))
        self.sharpness = self.sharpest ** min(done, 1.0)
        player = self.players["writer"]
        player.share = self.play.rate / player.rate if self.contest else 1.0
        if not self.contest:
            return ("writer",)
        alone = progress < self.warm + self.opponent_alone
        return (self.opponent,) * self.play.opponent_steps + (() if alone else ("writer",))

    def after(self, progress: float, examples: int) -> None:
        follow(self.average, self.writer, self.half_life, self.seen, examples)
        if progress < self.warm:
            self.is_warmed.fill_(False)  # a finished run that was lengthened warms up once more
        elif not self.is_warmed:
            # The contest starts from what is judged, so that the leash begins at 0; the mediator from there, too.
            for net in (self.warmed, self.writer, *(p.net for name, p in self.players.items() if name == "mediator")):
                net.load_state_dict(self.average.state_dict())
            self.is_warmed.fill_(True)

    def nets(self) -> dict[str, nn.Module]:
        return super().nets() | {"warmed": self.warmed}

    def state(self) -> dict[str, torch.Tensor]:
        kept = {f"warmed.{name}": tensor for name, tensor in self.warmed.state_dict().items()}
        return super().state() | {"is_warmed": self.is_warmed} | kept

    def before(self) -> TextGan:
        """The same objective with the warmed writer for the finished one: whatever judges the one can judge the other."""
        other = copy.copy(self)
        other.average = self.warmed
        return other

    def expect(self) -> dict[str, float]:
        # A pair's two halves are each ln 2, and the mean of them is the critic's loss.
        return super().expect() | {self.opponent: math.log(2) if self.opponent == "critic" else math.log(len(self.vocabulary))}

    def loss(self, player: str, batch: Any, rng: Rng) -> Loss:
        if player == "writer" and not self.contest:
            return super().loss(player, batch, rng)
        return getattr(self, f"{player}_loss" if player != "writer" else f"{self.path}_loss")(batch, rng)

    # --- what is written -------------------------------------------------------------------------------------------------

    def kinds_of(self, batch: Batch) -> torch.Tensor | None:
        """Classes that the written texts take, the real ones', (N,) or None."""
        return batch.y_N if self.classes else None

    def noise_of(self, batch: Batch, rng: Rng) -> torch.Tensor | None:
        """Fresh noise for a batch's written texts (N, Z), or None."""
        size = self.writer.noise
        return rng.normal(len(batch.tokens_NT), size).to(batch.tokens_NT.device) if size else None

    def texts(self, batch: Batch, rng: Rng, z_NZ: torch.Tensor | None = None) -> Batch:
        """As many texts as the batch has, by the writer at temperature 1, each begun with the real one's first token."""
        n, length = batch.there_NT.shape
        u_NT = rng.uniform(n, length).to(batch.tokens_NT.device)
        start_NT, end = batch.tokens_NT[:, :1], self.vocabulary.end
        open_N = torch.ones(n, dtype=torch.bool, device=start_NT.device)
        told, there = [start_NT[:, 0]], []

        def pick(logits_NV: torch.Tensor, number: int) -> torch.Tensor:
            return choose(self.possible(logits_NV), u_NT[:, number])

        with still(self.writer):
            for next_N in written(self.writer, start_NT, pick, length, y_N=self.kinds_of(batch), z_NZ=z_NZ):
                told.append(torch.where(open_N, next_N, end))
                there.append(open_N)
                if not self.whole:
                    open_N = open_N & (next_N != end)
                    if not open_N.any():
                        break
        short = length - len(there)
        tokens_NT = F.pad(torch.stack(told, 1), (0, short), value=end)
        return Batch(tokens_NT, F.pad(torch.stack(there, 1), (0, short), value=False), batch.y_N)

    def relaxed_texts(
        self, batch: Batch, rng: Rng
    ) -> tuple[torch.Tensor, torch.Tensor, Batch, torch.Tensor, torch.Tensor | None]:
        """The same with a gradient through all of it.

        Returns:
            shares of the tokens (N, T, V), which are there (N, T), the likeliest tokens as texts, logits (N, T, V) that they
            were chosen by, and the noise. What comes behind the first end is not there.
        """
        n, length = batch.there_NT.shape
        device, end, y_N = batch.tokens_NT.device, self.vocabulary.end, self.kinds_of(batch)
        z_NZ = self.noise_of(batch, rng)
        memory: Memory = []
        new: torch.Tensor = batch.tokens_NT[:, :1]
        open_N = torch.ones(n, dtype=torch.bool, device=device)
        shares, logits, there = [], [], []
        with still(self.writer):
            for _ in range(length):
                logits_NV = self.possible(self.writer(new, y_N, z_NZ, memory)[:, -1], NEVER)
                share_NV = relaxed(logits_NV, rng.uniform(n, self.writer.tokens).to(device), self.sharpness, self.straight)
                shares.append(share_NV)
                logits.append(logits_NV)
                there.append(open_N)
                new = share_NV[:, None]
                if not self.whole:
                    open_N = open_N & (share_NV.argmax(1) != end)
        shares_NTV, there_NT = torch.stack(shares, 1), torch.stack(there, 1)
        ids_NT = shares_NTV.detach().argmax(2).masked_fill(~there_NT, end)
        texts = Batch(torch.cat([batch.tokens_NT[:, :1], ids_NT], 1), there_NT, batch.y_N)
        return shares_NTV, there_NT, texts, torch.stack(logits, 1), z_NZ

    def judged(self, ids: torch.Tensor, there_NT: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The critic's logits of texts (N,) and of their tokens (N, T), in float32.

        Args:
            ids: tokens (N, T), without the first, or shares (N, T, V)
            there_NT: which tokens are text
            batch: whose classes they have
        """
        whole_N, each_NT = self.players["critic"].net(ids, there_NT, self.kinds_of(batch))
        return whole_N.float(), each_NT.float()

    # --- the opponent's turn ---------------------------------------------------------------------------------------------

    def critic_loss(self, batch: Batch, rng: Rng) -> Loss:
        with torch.no_grad():
            if self.path == "gumbel":
                fake_ids, there_NT, *_ = self.relaxed_texts(batch, rng)
            else:
                texts = self.texts(batch, rng, self.noise_of(batch, rng))
                fake_ids, there_NT = texts.tokens_NT[:, 1:], texts.there_NT
        real = self.judged(batch.tokens_NT[:, 1:], batch.there_NT, batch)
        fake = self.judged(fake_ids, there_NT, batch)
        right_N = (real[0] > fake[0]).float() + 0.5 * (real[0] == fake[0])
        both_NT = batch.there_NT & there_NT
        right_each_N = mean_there((real[1] > fake[1]).float(), both_NT)
        notes = {"right": right_N.mean(), "right_each": right_each_N.mean()}
        sizes = [whole_N.square() for whole_N, _ in (real, fake)]
        sizes += [mean_there(real[1].square(), batch.there_NT), mean_there(fake[1].square(), there_NT)]
        return relative(real, fake, both_NT) + self.play.drift * torch.stack(sizes).mean(0), None, notes

    def mediator_loss(self, batch: Batch, rng: Rng) -> Loss:
        """Likelihood of every second text of the batch and of written ones in the others' places (Lu et al. 2019, eq. 8)."""
        own = self.texts(batch, rng, self.noise_of(batch, rng))
        real_N = torch.arange(len(batch.y_N), device=batch.y_N.device) % 2 == 0
        mixed = Batch(
            torch.where(real_N[:, None], batch.tokens_NT, own.tokens_NT),
            torch.where(real_N[:, None], batch.there_NT, own.there_NT),
            batch.y_N,
        )
        return super().loss("mediator", mixed, rng)

    # --- the writer's turn -----------------------------------------------------------------------------------------------

    def told(self, net: Writer, texts: Batch, z_NZ: torch.Tensor | None) -> torch.Tensor:
        """Log-probabilities of a net at each place of texts (N, T, V), as they were drawn: without dropout and without what is
        ruled out."""
        torch.clear_autocast_cache()  # what was cast where nothing is learnt has no gradient, as far as torch 2.11 at least
        with still(net):
            return self.possible(net(texts.tokens_NT[:, :-1], self.kinds_of(texts), z_NZ), NEVER).log_softmax(2)

    def held(
        self, loss_N: torch.Tensor, log_p_NTV: torch.Tensor, texts: Batch, z_NZ: Any, batch: Batch, rng: Rng
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """A writer's loss with the leash and the anchor, (N,), and what is noted on every path.

        Both are sums over a text's tokens, divided by the T places that the batch has, whatever is there: so a mean over texts
        is the mean of what a text costs. The leash's gradient is that of the probabilities at the places that were visited;
        which places those are is the reward's matter.
        """
        places = batch.there_NT.shape[1]
        with torch.no_grad():
            log_q_NTV = self.told(self.warmed, texts, z_NZ)
        with torch.set_grad_enabled(self.play.leash > 0):
            kl_NT = divergence(log_p_NTV, log_q_NTV) * texts.there_NT
        if self.play.leash:
            loss_N = loss_N + self.play.leash * kl_NT.sum(1) / places
        if self.play.anchor:
            nll_NTV = self.writer(batch.tokens_NT[:, :-1], self.kinds_of(batch), self.noise_of(batch, rng))
            loss_N = loss_N + self.play.anchor * negative_log_likelihood(nll_NTV, batch).sum(1) / places
        with torch.no_grad():
            entropy_NT = -torch.linalg.vecdot(log_p_NTV.exp(), log_p_NTV)
            last_N = texts.tokens_NT[:, 1:].masked_fill(~texts.there_NT, -1) == self.vocabulary.end
            notes = {
                "divergence": mean_there(kl_NT, texts.there_NT).mean(),
                "entropy": mean_there(entropy_NT, texts.there_NT).mean(),
                "ended": last_N.any(1).float().mean(),
            }
        return loss_N, notes

    def policy_loss(self, batch: Batch, rng: Rng) -> Loss:
        z_NZ = self.noise_of(batch, rng)
        texts = self.texts(batch, rng, z_NZ)
        with torch.no_grad(), still(self.players["critic"].net):
            whole_N, each_NT = self.judged(texts.tokens_NT[:, 1:], texts.there_NT, texts)
            rewards_NT = rewards_of(whole_N, each_NT, texts.there_NT)
            advantage_NT = self.advantages(rewards_NT, texts)
        log_p_NTV = self.told(self.writer, texts, z_NZ)
        log_p_NT = log_p_NTV.gather(2, texts.tokens_NT[:, 1:, None])[..., 0]
        loss_N = policy_loss(log_p_NT, advantage_NT, texts.there_NT) / batch.there_NT.shape[1]
        loss_N, notes = self.held(loss_N, log_p_NTV, texts, z_NZ, batch, rng)
        return loss_N, None, notes | {"reward": rewards_NT.sum(1).mean()}

    def advantages(self, rewards_NT: torch.Tensor, texts: Batch) -> torch.Tensor:
        """Rewards to go, less what the others earn from the same place on, by their deviation (N, T).

        A deviation below a tenth of a logit counts as that: a critic that sees no difference must not have its rounding errors
        blown up into a lesson.
        """
        there_NT = texts.there_NT
        to_go_NT = to_go(rewards_NT, self.discount)
        advantage_NT = (to_go_NT - others_mean(to_go_NT, there_NT, self.kinds_of(texts))) * there_NT
        variance = advantage_NT.square().sum() / there_NT.sum().clamp(min=1)
        return advantage_NT / variance.sqrt().clamp(min=0.1)

    def gumbel_loss(self, batch: Batch, rng: Rng) -> Loss:
        shares_NTV, there_NT, texts, logits_NTV, z_NZ = self.relaxed_texts(batch, rng)
        fake = self.judged(shares_NTV, there_NT, batch)
        with torch.no_grad():
            real = self.judged(batch.tokens_NT[:, 1:], batch.there_NT, batch)
        loss_N = relative(fake, real, batch.there_NT & there_NT)
        loss_N, notes = self.held(loss_N, logits_NTV.log_softmax(2), texts, z_NZ, batch, rng)
        return loss_N, None, notes | {"reward": fake[0].detach().mean(), "sharpness": torch.tensor(self.sharpness)}

    def cot_loss(self, batch: Batch, rng: Rng) -> Loss:
        """KL(writer || mediator) at each place of the writer's own texts (Lu et al. 2019, eq. 10), and its gradient through the
        writer's probabilities there alone."""
        z_NZ = self.noise_of(batch, rng)
        texts = self.texts(batch, rng, z_NZ)
        with torch.no_grad():
            log_m_NTV = self.told(cast(Writer, self.players["mediator"].net), texts, z_NZ)
        log_p_NTV = self.told(self.writer, texts, z_NZ)
        apart_NT = divergence(log_p_NTV, log_m_NTV) * texts.there_NT
        loss_N, notes = self.held(apart_NT.sum(1) / batch.there_NT.shape[1], log_p_NTV, texts, z_NZ, batch, rng)
        return loss_N, None, notes | {"apart": mean_there(apart_NT.detach(), texts.there_NT).mean()}

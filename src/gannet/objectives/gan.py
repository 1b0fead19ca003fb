"""Generative adversarial networks: a generator and a critic, four contests, three penalties, one averaged generator.

Goodfellow et al. 2014 (arXiv 1406.2661). The default is R3GAN's objective (Huang et al. 2024, arXiv 2501.05441):
relativistic pairs with zero-centred gradient penalties on real and on generated pictures.

Shapes: N examples, B examples of a part of the batch, C channels, H height, W width, Z numbers of noise.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from gannet.objectives import Loss, Player, follow
from gannet.objectives.augment import NUMBERS
from gannet.rng import Rng

SIDES = {"both": (0, 1), "real": (0,), "fake": (1,)}  # of a pair
CHUNK = 64  # pictures that are drawn at once
Logits = torch.Tensor
Critic = Callable[[torch.Tensor, torch.Tensor | None], Logits]  # pictures (N, C, H, W), classes (N,) or None -> (N,)
Augment = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
Change = tuple[torch.Tensor, torch.Tensor] | None  # numbers of the augmentation (N, NUMBERS), and its probability; or none


@dataclass(frozen=True)
class Contest:
    """What each side wants of the critic's logits on a pair of a real and a generated example.

    Attributes:
        critic, generator: (real_N, fake_N) -> loss per pair (N,)
        expect: both losses where the critic gives every example the logit 0
        paired: True where the generator's loss looks at real examples too
    """

    critic: Callable[[Logits, Logits], torch.Tensor]
    generator: Callable[[Logits, Logits], torch.Tensor]
    expect: dict[str, float]
    paired: bool = False


#: log D(x) + log(1 - D(G(z))) for the critic, and -log D(G(z)) for the generator (Goodfellow et al. 2014, section 3),
#: with D = sigmoid(logit) folded into softplus, which does not overflow.
nonsaturating = Contest(
    critic=lambda real, fake: F.softplus(-real) + F.softplus(fake),
    generator=lambda real, fake: F.softplus(-fake),
    expect={"critic": 2 * math.log(2), "generator": math.log(2)},
)

#: Hinge (Lim and Ye 2017, arXiv 1705.02894; Miyato et al. 2018, arXiv 1802.05957).
hinge = Contest(
    critic=lambda real, fake: F.relu(1 - real) + F.relu(1 + fake),
    generator=lambda real, fake: -fake,
    expect={"critic": 2.0, "generator": 0.0},
)

#: Wasserstein (Arjovsky et al. 2017, arXiv 1701.07875); wants `lipschitz` as its penalty and several critic steps.
wasserstein = Contest(
    critic=lambda real, fake: fake - real,
    generator=lambda real, fake: -fake,
    expect={"critic": 0.0, "generator": 0.0},
)

#: Relativistic pairs (Jolicoeur-Martineau 2018, arXiv 1807.00734): only differences of logits count,
#: so that no mode can be dropped without cost, and a last bias of the critic would have a gradient of exactly zero.
relativistic = Contest(
    critic=lambda real, fake: F.softplus(fake - real),
    generator=lambda real, fake: F.softplus(real - fake),
    expect={"critic": math.log(2), "generator": math.log(2)},
    paired=True,
)


def zero_centred(critic: Critic, x_NCHW: torch.Tensor, y_N: torch.Tensor | None) -> torch.Tensor:
    """||grad_x D(x)||^2 for each example, (N,), by double backward (Mescheder et al. 2018, arXiv 1801.04406: R1 on
    real examples; R2 is the same on generated ones)."""
    x_NCHW = x_NCHW.detach().requires_grad_()
    (slope,) = torch.autograd.grad(critic(x_NCHW, y_N).sum(), x_NCHW, create_graph=True)
    return slope.flatten(1).square().sum(1)


def squared_slope(near_N: Logits, here_N: Logits, sigma: float) -> torch.Tensor:
    """The same by finite differences: ((D(x + sigma·n) - D(x)) / sigma)^2 with noise n ~ N(0, I), (N,).

    In expectation over n equal to `zero_centred` up to O(sigma^2) (Lin et al. 2025, arXiv 2501.08316). No double
    backward, so any layer will do.

    Args:
        near_N, here_N: D(x + sigma·n) and D(x), both in float32 or better
        sigma: the step
    """
    return ((near_N - here_N) / sigma).square()


def lipschitz(critic: Critic, real_NCHW: torch.Tensor, fake_NCHW: torch.Tensor, y_N: Any, mix_N: torch.Tensor) -> torch.Tensor:
    """(||grad D|| - 1)^2 on points between real and generated, (N,) (WGAN-GP: Gulrajani et al. 2017, arXiv 1704.00028)."""
    t = mix_N.view(-1, *[1] * (real_NCHW.ndim - 1))
    between = torch.lerp(real_NCHW, fake_NCHW.detach(), t).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between, y_N).sum(), between, create_graph=True)
    return (slope.flatten(1).norm(dim=1) - 1).square()


def suggest_gamma(pixels: int, channels: int, batch: int) -> float:
    """A penalty weight for R1 + R2 where none is given.

    R3GAN's published weights per input value rise with resolution: 1.6e-5 at 32 pixels (CIFAR-10), 1.6e-4 at 64,
    7.6e-4 at 256 (FFHQ), so the weight itself about as resolution^3.9, at batches of 256 to 512. Smaller batches have
    noisier critics and want more, here by 1 / sqrt(batch). The constant is set so that 28 grey pixels at batch 32 get
    0.3; at batch 64, 0.1 and 0.3 were as good (docs/log.md). A starting point, not a law: `gamma` overrules it.
    """
    wide = max(pixels, 28)  # below that the rule has no ground, and pictures of 8 pixels lost their variety by it
    return round(0.3 * channels * (wide / 28) ** 3.9 * math.sqrt(32 / batch), 6)


@dataclass(frozen=True)
class Settling:
    """How a contest ends: from this share of a run on the generator is slower and the critic freer.

    At equal rates the two players go round one another without end, and an average of the generator over that is a blur of
    what it passes. A generator that the critic can follow goes round no more; then longer averages pay (docs/log.md,
    2026-11-24). From the beginning it would only learn slowly.

    Attributes:
        after: share of the run
        rate: what the generator's rate is multiplied by from there on
        gamma: what the penalty's weight is multiplied by
        least: examples that must have been seen: short runs are still learning, and in three minutes it did harm
    """

    after: float = 0.8
    rate: float = 0.3
    gamma: float = 0.25
    least: int = 400_000


#: What contests of our residual nets are played with, whatever is drawn (docs/log.md, 2026-11-24).
PLAY: dict[str, Any] = {
    "clip": 2,
    "half_life": 6_000,
    "others": (2_000, 12_000, 25_000, 50_000, 100_000),
    "settling": Settling(),
}


@dataclass(frozen=True)
class Course:
    """A number that goes from `first` to `last` by half a cosine over `decay` examples and then stays."""

    first: float
    last: float
    decay: int

    def __call__(self, examples: int) -> float:
        return self.last + (self.first - self.last) * (1 + math.cos(math.pi * min(examples / self.decay, 1))) / 2


class Gan:
    """The contest of a generator and a critic.

    Args:
        generator: net (z_NZ, y_N or None) -> pictures (N, C, H, W); has `.noise`, the number Z of noise values
        critic: net (pictures, y_N or None) -> logits (N,)
        contest: what each side wants
        penalty: "differences" (R1 + R2 by finite differences), "exact" (R1 + R2 by double backward),
            "lipschitz" (WGAN-GP) or "none"
        gamma: weight of the penalty
        penalised: whose slopes R1 and R2 hold down: "both", "real" (R1 alone) or "fake" (R2 alone)
        sigma: step of the finite differences, in units of the pictures' range [-1, 1]
        share: one example in `share` is penalised by finite differences
        again: the generator's turn goes on with the pictures that the critic has just judged and with the logits that it
            gave the real ones, which saves a pass through either net; else each turn has fresh ones, as in R3GAN
        rate, betas: of both players
        clip: largest norm of either player's gradient, or None
        augment: (pictures, uniform numbers (N, NUMBERS), probability) -> pictures, before the critic sees them
            (gannet.objectives.augment.change), for small sets; a pair's two pictures get the same numbers
        target: how far the critic may be ahead, as the mean sign of a pair's difference; beyond it the probability of
            augmentation rises, below it falls, by 1 in `ramp` examples, up to `most`
        critic_steps: steps of the critic for each of the generator
        half_life: of the generator's running average, in examples; early on at most a twentieth of those seen; 0: no average
        others: half-lives of more averages, of which `choose` takes one in the end: which length is best nobody knows before
        classes: how many, or 0
        settling: how the contest ends, or None
        courses: what changes with the examples seen, of gamma, beta2 (of both players), half_life and strength (the
            probability of augmentation, which then follows no critic); R3GAN changes them all
    """

    def __init__(
        self,
        generator: nn.Module,
        critic: nn.Module,
        *,
        contest: Contest = relativistic,
        penalty: str = "differences",
        gamma: float = 0.1,
        penalised: str = "both",
        sigma: float = 0.05,
        share: int = 8,
        again: bool = True,
        rate: float = 2e-4,
        betas: tuple[float, float] = (0.0, 0.99),
        clip: float | None = None,
        augment: Augment | None = None,
        target: float = 0.6,
        ramp: int = 100_000,
        most: float = 0.8,
        critic_steps: int = 1,
        half_life: float = 20_000,
        others: Sequence[float] = (),
        classes: int = 0,
        settling: Settling | None = None,
        courses: Mapping[str, Course] | None = None,
        make: Callable[..., torch.optim.Optimizer] | None = None,
    ):
        if penalty not in ("differences", "exact", "lipschitz", "none"):
            raise ValueError(f"penalty is {penalty!r}; it may be differences, exact, lipschitz or none")
        if penalised not in SIDES:
            raise ValueError(f"penalised is {penalised!r}; it may be {', '.join(SIDES)}")
        self.players = {
            "critic": Player(critic, rate=rate, betas=betas, clip=clip, make=make),
            "generator": Player(generator, rate=rate, betas=betas, clip=clip, make=make),
        }
        still = copy.deepcopy(generator).requires_grad_(False).eval()
        self.averages: dict[float, nn.Module] = {float(life): copy.deepcopy(still) for life in (half_life, *others)}
        self.chosen = torch.tensor(float(half_life), dtype=torch.float64)  # half-life of the one that is judged
        self.noise = cast(int, generator.noise)
        self.contest, self.penalty = contest, penalty
        self.gamma, self.sigma, self.share, self.sides = gamma, sigma, share, SIDES[penalised]
        self.again = again
        self.augment, self.target, self.ramp, self.most = augment, target, ramp, most
        self.strength = torch.zeros(())  # probability of augmentation; a tensor so that a resume restores it
        #: pictures, classes, their augmentation, logits of the real ones
        self.judged: tuple[torch.Tensor, torch.Tensor | None, Change, Logits] | None = None
        self.critic_steps, self.half_life, self.classes = critic_steps, half_life, classes
        self.settling, self.settled = settling, False
        self.courses = dict(courses or {})
        if unknown := self.courses.keys() - {"gamma", "beta2", "half_life", "strength"}:
            raise ValueError(f"no course changes {', '.join(sorted(unknown))}")
        self.seen = torch.zeros((), dtype=torch.int64)  # examples behind the average; a tensor so that a resume restores it
        # Batch statistics would leak between real and generated examples that go through the critic together.
        self.joint = not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in critic.modules())

    @property
    def generator(self) -> nn.Module:
        return self.players["generator"].net

    @property
    def average(self) -> nn.Module:
        """The averaged generator that is judged and drawn with."""
        return self.averages[float(self.chosen)]

    @average.setter
    def average(self, net: nn.Module) -> None:
        self.averages[float(self.chosen)] = net

    @property
    def critic(self) -> nn.Module:
        return self.players["critic"].net

    def turns(self, progress: float) -> tuple[str, ...]:
        if self.settling is not None:
            self.settled = progress >= self.settling.after and int(self.seen) >= self.settling.least
            self.players["generator"].share = self.settling.rate if self.settled else 1.0
        return ("critic",) * self.critic_steps + ("generator",)

    def expect(self) -> dict[str, float]:
        return dict(self.contest.expect)

    def draw(self, n: int, y_N: torch.Tensor | None, rng: Rng, device: torch.device) -> torch.Tensor:
        """n pictures from the generator that is being trained."""
        return self.generator(rng.normal(n, self.noise).to(device), y_N)

    def steer(self) -> None:
        """Set what changes with the examples seen."""
        now = {name: course(int(self.seen)) for name, course in self.courses.items()}
        self.gamma = now.get("gamma", self.gamma)
        if "strength" in now:
            self.strength.fill_(now["strength"])
        if "beta2" in now:
            for player in self.players.values():
                for group in player.optimizer.param_groups:
                    group["betas"] = (group["betas"][0], now["beta2"])

    def loss(self, player: str, batch: Any, rng: Rng) -> Loss:
        self.steer()
        real, y_N = batch
        y_N = y_N if self.classes else None
        if player == "generator":
            return self.generator_loss(real, y_N, rng)
        return self.critic_loss(real, y_N, rng)

    def change(self, n: int, rng: Rng, device: torch.device) -> Change:
        """What the augmentation of n pairs is made of."""
        return (rng.uniform(n, NUMBERS).to(device), self.strength.clone()) if self.augment else None

    def changed(self, x_NCHW: torch.Tensor, change: Change) -> torch.Tensor:
        """Pictures as the critic sees them."""
        return x_NCHW if self.augment is None or change is None or change[1] == 0 else self.augment(x_NCHW, *change)

    def adapt(self, real_N: Logits, fake_N: Logits, world: int = 1) -> None:
        """More augmentation where the critic is too far ahead, less where it is not; equal on all `world` processes."""
        ahead = torch.stack([(real_N - fake_N).sign().sum(), torch.tensor(float(len(real_N)), device=real_N.device)])
        if world > 1:  # preflight looks on one process while the others wait
            torch.distributed.all_reduce(ahead)
        step = float(ahead[1]) / self.ramp
        self.strength.add_(step if ahead[0] > self.target * ahead[1] else -step).clamp_(0, self.most)

    def generator_loss(self, real: torch.Tensor, y_N: torch.Tensor | None, rng: Rng) -> Loss:
        if self.judged is not None:
            (fake, y_N, change, real_logits), self.judged = self.judged, None
            return self.contest.generator(real_logits, self.critic(self.changed(fake, change), y_N).float()), None, {}
        fake, change = self.draw(len(real), y_N, rng, real.device), self.change(len(real), rng, real.device)
        fake_logits = self.critic(self.changed(fake, change), y_N).float()
        real_logits = fake_logits
        if self.contest.paired:
            with torch.no_grad():  # its gradient with respect to the generator is zero
                real_logits = self.critic(self.changed(real, change), y_N).float()
        return self.contest.generator(real_logits, fake_logits), None, {}

    def critic_loss(self, real: torch.Tensor, y_N: torch.Tensor | None, rng: Rng) -> Loss:
        n, some = len(real), slice(None, None, self.share)
        with torch.set_grad_enabled(self.again):
            drawn = self.draw(n, y_N, rng, real.device).float()
        fake = drawn.detach()
        part, near = [(real[some], fake[some])[side] for side in self.sides], []
        if self.penalty == "differences":
            noise = [rng.normal(*x.shape).to(x.device) for x in part]
            near = [x + self.sigma * n for x, n in zip(part, noise, strict=True)]
        change = self.change(n, rng, real.device)
        y_B, change_B = y_N if y_N is None else y_N[some], change and (change[0][some], change[1])
        # Slopes are taken with respect to the pictures before their augmentation, as in R3GAN.
        groups = [(self.changed(x, change), y_N) for x in (real, fake)]
        beside = [(self.changed(x, change_B), y_B) for x in near]
        # One pass for all, unless it runs in bfloat16, in which a difference of two logits is noise.
        single = not torch.is_autocast_enabled(real.device.type)
        logits = self.judge(groups + (beside if single else []))
        self.judged = (drawn, y_N, change, logits[0].detach()) if self.again else None
        contest = self.contest.critic(logits[0], logits[1])
        seen = {"real": logits[0].detach().mean(), "fake": logits[1].detach().mean()}
        if self.augment is not None and "strength" not in self.courses:
            self.adapt(logits[0].detach(), logits[1].detach(), rng.world)
        if self.augment is not None:
            seen["augmented"] = self.strength.clone()
        if self.penalty == "none":
            return contest, None, seen

        with torch.autocast(real.device.type, enabled=False):
            if self.penalty == "differences":
                if not single:
                    logits = [*logits[:2], *self.judge(beside)]
                    here = self.judge([(self.changed(x, change_B), y_B) for x in part])
                else:
                    here = [logits[side][some] for side in self.sides]
                slopes = [squared_slope(a, b, self.sigma) for a, b in zip(logits[2:], here, strict=True)]
                penalty = torch.zeros_like(contest)
                penalty[some] = torch.stack(slopes).sum(0) * (n / len(slopes[0]) / 2)
            elif self.penalty == "exact":

                def critic(x: torch.Tensor, y: torch.Tensor | None) -> Logits:
                    return self.critic(self.changed(x, change), y)

                penalty = torch.stack([zero_centred(critic, (real, fake)[side], y_N) for side in self.sides]).sum(0) / 2
            else:
                penalty = lipschitz(self.critic, groups[0][0], groups[1][0], y_N, rng.uniform(n).to(real.device))
        seen |= {"contest": contest.detach().mean(), "penalty": penalty.detach().mean()}
        gamma = self.gamma * (self.settling.gamma if self.settling is not None and self.settled else 1)
        return contest + gamma * penalty, None, seen

    def judge(self, groups: list[tuple[torch.Tensor, torch.Tensor | None]]) -> list[Logits]:
        """The critic's logits on several groups of pictures, in one pass where groups cannot influence one another."""
        if not self.joint:
            return [self.critic(x, y).float() for x, y in groups]
        x = torch.cat([x for x, _ in groups])
        y = torch.cat([y for _, y in groups if y is not None]) if groups[0][1] is not None else None
        return list(self.critic(x, y).float().split([len(x) for x, _ in groups]))

    def after(self, progress: float, examples: int) -> None:
        course = self.courses.get("half_life")
        for life, average in self.averages.items():
            length = life if course is None or life != self.half_life else course(examples)
            follow(average, self.generator, length, self.seen.clone(), examples)
        self.seen.fill_(examples)

    def choose(self, score: Callable[[], float]) -> float:
        """Let every average be judged in turn, lower is better, and leave the best one chosen.

        Returns:
            its half-life. Averages of many lengths cost next to nothing while training, and their best length differs by
            run (Karras et al. 2024, arXiv 2312.02696, section 3, rebuild any length afterwards; here it is one of a few).
        """
        found = {}
        for life in self.averages:
            self.chosen.fill_(life)
            found[life] = score()
        self.chosen.fill_(min(found, key=found.__getitem__))
        return float(self.chosen)

    def nets(self) -> dict[str, nn.Module]:
        return {"generator": self.average, "critic": self.critic}

    def state(self) -> dict[str, torch.Tensor]:
        rest = {"seen": self.seen, "strength": self.strength, "chosen": self.chosen}
        averages = self.averages.items()
        return rest | {f"average {life:g}.{name}": t for life, net in averages for name, t in net.state_dict().items()}

    def noises(self, n: int, seed: int, first: int = 0) -> torch.Tensor:
        """The noise of n pictures of a seed, from chunk `first` on, (n, Z); that of a picture is the same whatever n is."""
        return torch.cat([Rng(seed, first + i, "sample").normal(CHUNK, self.noise) for i in range(-(-n // CHUNK))])[:n]

    def kinds(self, n: int, label: int | torch.Tensor | None = None) -> torch.Tensor | None:
        """Classes of n pictures, (n,): one for all, a class for each (n,), or by turns; None where none are learnt."""
        if not self.classes:
            return None
        return torch.arange(n) % self.classes if label is None else torch.as_tensor(label).expand(n).clone()

    @torch.no_grad()
    def paint(self, z_NZ: torch.Tensor, y_N: torch.Tensor | None = None) -> torch.Tensor:
        """Pictures (N, C, H, W) in [-1, 1] from these noises, by the averaged generator.

        The net runs on chunks of a fixed size, so that a picture does not depend on how many others there are.
        """
        device, parts = next(self.average.parameters()).device, []
        for first in range(0, len(z_NZ), CHUNK):
            z, y = (None if v is None else v[first : first + CHUNK] for v in (z_NZ, y_N))
            assert z is not None
            spare = [0] * (CHUNK - len(z))  # the first once more
            z, y = (None if v is None else torch.cat([v, v[spare]]).to(device) for v in (z, y))
            parts.append(self.average(z, y).float().cpu())
        return torch.cat(parts)[: len(z_NZ)]

    @torch.no_grad()
    def rate(self, x_NCHW: torch.Tensor, y_N: torch.Tensor | None = None) -> Logits:
        """The critic's logits of pictures in [-1, 1], (N,), a chunk at a time; as it stands, nothing in it is changed."""
        device, training = next(self.critic.parameters()).device, self.critic.training
        self.critic.eval()
        kinds = [None] * -(-len(x_NCHW) // CHUNK) if y_N is None else y_N.split(CHUNK)
        pairs = zip(x_NCHW.split(CHUNK), kinds, strict=True)
        rated = [self.critic(x.to(device), None if y is None else y.to(device)).float().cpu() for x, y in pairs]
        self.critic.train(training)
        return torch.cat(rated)

    def sample(
        self, n: int, seed: int, label: int | torch.Tensor | None = None, truncation: float = 1.0, best_of: int = 1
    ) -> torch.Tensor:
        """n pictures (n, C, H, W) in [-1, 1] from the averaged generator; picture k is the same whatever n is.

        Args:
            n, seed: of the noise
            label: with classes: one for all, a class for each (n,), or without either class k mod K for picture k
            truncation: what noise is multiplied by: below 1, pictures are more usual and more alike
            best_of: so many are drawn for each picture, and the critic rejects all but the one it takes most for real
        """
        whole = -(-n // CHUNK) * CHUNK  # whole chunks, or a net that looks at its batch would draw k otherwise for another n
        y_N = self.kinds(whole)
        if y_N is not None and label is not None:
            y_N[:n] = torch.as_tensor(label)
        if best_of == 1:
            return self.paint(self.noises(whole, seed) * truncation, y_N)[:n]
        kept = []
        for chunk in range(whole // CHUNK):
            z = self.noises(CHUNK * best_of, seed, chunk * best_of) * truncation
            y = None if y_N is None else y_N[chunk * CHUNK : (chunk + 1) * CHUNK].repeat_interleave(best_of)
            x = self.paint(z, y)
            first = self.rate(x, y).view(CHUNK, best_of).argmax(1)
            kept.append(x.view(CHUNK, best_of, *x.shape[1:])[torch.arange(CHUNK), first])
        return torch.cat(kept)[:n]

"""The contests against their formulas, the penalties against naive twins, and the expected losses."""

from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch
from torch import nn

from gannet import recipe
from gannet.data import images
from gannet.data.images import Batch
from gannet.nets.images import Critic, Generator
from gannet.objectives import gan
from gannet.rng import Rng
from gannet.training import checkpoint, loop
from gannet.training.engine import Engine

REAL, FAKE = torch.tensor([2.0, -1.0, 0.5]), torch.tensor([-3.0, 1.5, 0.0])
log, sigmoid = torch.log, torch.sigmoid
FORMULAS = {  # written as the papers write them
    "nonsaturating": (-(log(sigmoid(REAL)) + log(1 - sigmoid(FAKE))), -log(sigmoid(FAKE))),
    "hinge": ((1 - REAL).clamp(min=0) + (1 + FAKE).clamp(min=0), -FAKE),
    "wasserstein": (FAKE - REAL, -FAKE),
    "relativistic": (-log(sigmoid(REAL - FAKE)), -log(sigmoid(FAKE - REAL))),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_contests_are_their_formulas(name: str) -> None:
    contest = getattr(gan, name)
    critic, generator = FORMULAS[name]
    assert torch.allclose(contest.critic(REAL, FAKE), critic)
    assert torch.allclose(contest.generator(REAL, FAKE), generator)


@pytest.mark.parametrize("name", FORMULAS)
def test_contests_expect_what_a_silent_critic_gives(name: str) -> None:
    contest, silent = getattr(gan, name), torch.zeros(1)
    assert contest.critic(silent, silent).item() == pytest.approx(contest.expect["critic"])
    assert contest.generator(silent, silent).item() == pytest.approx(contest.expect["generator"])


def test_expected_values_by_hand() -> None:
    assert gan.nonsaturating.expect == pytest.approx({"critic": 2 * math.log(2), "generator": math.log(2)})
    assert gan.relativistic.expect == pytest.approx({"critic": math.log(2), "generator": math.log(2)})


@pytest.fixture
def wave() -> nn.Module:
    """A smooth critic of 12 numbers in float64, so that only the method's own error shows."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0)).double()


def test_exact_penalty_against_a_loop(wave: nn.Module) -> None:
    x = torch.randn(4, 3, 2, 2, dtype=torch.float64)
    naive = []
    for one in x:
        one = one[None].clone().requires_grad_()
        wave(one).backward()
        naive.append(one.grad.square().sum())
    assert torch.allclose(gan.zero_centred(lambda x, y: wave(x), x, None), torch.stack(naive))


def test_differences_equal_the_exact_penalty_up_to_sigma_squared(wave: nn.Module) -> None:
    # E over n ~ N(0, I) is taken exactly enough by antithetic pairs of many draws, the same for each sigma.
    x = torch.randn(1, 3, 2, 2, dtype=torch.float64)
    exact = gan.zero_centred(lambda x, y: wave(x), x, None).item()
    n = torch.randn(200_000, 3, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    noise = torch.cat([n, -n])
    slope = torch.autograd.functional.jacobian(lambda x: wave(x), x).flatten()
    first_order = (noise.flatten(1) @ slope).square().mean().item()  # what sigma -> 0 gives with these draws
    with torch.no_grad():
        estimate = {s: gan.squared_slope(wave(x + s * noise), wave(x), s).mean().item() for s in (0.4, 0.2, 0.1, 0.05)}
    errors = [abs(value - first_order) for value in estimate.values()]
    for wide, narrow in itertools.pairwise(errors):
        assert 3.5 < wide / narrow < 4.5, errors  # half the step, a quarter of the error
    assert estimate[0.05] == pytest.approx(exact, rel=0.01)


def test_lipschitz_penalty_of_a_known_slope() -> None:
    def critic(x, y):
        return 3 * x.flatten(1)[:, 0]

    x = torch.randn(4, 1, 2, 2)
    assert torch.allclose(gan.lipschitz(critic, x, x + 1, None, torch.rand(4)), torch.full((4,), 4.0))


def small(**words) -> gan.Gan:
    torch.manual_seed(0)
    return gan.Gan(Generator(8, 1, width=8), Critic(8, 1, width=8), **words)


def awaken(objective: gan.Gan) -> None:
    """Move the layers that start at zero: they would hide what a penalty measures."""
    for parameter in objective.critic.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)


def batch(n: int = 8) -> Batch:
    return Batch(torch.rand(n, 1, 8, 8) * 2 - 1, torch.zeros(n, dtype=torch.int64))


@pytest.mark.parametrize("penalty", ["differences", "exact", "lipschitz", "none"])
def test_each_player_moves_only_its_own_net(penalty: str) -> None:
    objective = small(penalty=penalty)
    for player in objective.players:
        for net in (objective.generator, objective.critic):
            net.zero_grad()
        values, weights, _ = objective.loss(player, batch(), Rng(0, 0, player))
        assert values.shape == (8,)
        assert weights is None
        own = list(objective.players[player].net.parameters())
        values.mean().backward(inputs=own)
        assert all(p.grad is not None for p in own)
    # the critic's step sees generated pictures without their history
    values, _, _ = objective.loss("critic", batch(), Rng(0, 0, "critic"))
    slopes = torch.autograd.grad(values.sum(), list(objective.generator.parameters()), allow_unused=True)
    assert all(slope is None for slope in slopes)


def test_differences_in_the_loss_are_the_naive_ones() -> None:
    objective, x = small(gamma=2.0, sigma=0.1, share=4), batch(8)
    awaken(objective)
    values, _, seen = objective.loss("critic", x, Rng(0, 0, "critic"))
    rng = Rng(0, 0, "critic")
    with torch.no_grad():
        fake, critic = objective.generator(rng.normal(8, 64)), objective.critic
        expected = nn.functional.softplus(critic(fake) - critic(x.x_NCHW))
        for group in (x.x_NCHW[::4], fake[::4]):
            moved = group + 0.1 * rng.normal(2, 1, 8, 8)
            expected[::4] += 2.0 * ((critic(moved) - critic(group)) / 0.1).square() * 4 / 2
    assert torch.allclose(values, expected, rtol=1e-3, atol=1e-5)
    assert seen["penalty"] > 0


@pytest.mark.parametrize("side", ["real", "fake"])
@pytest.mark.parametrize("penalty", ["exact", "differences"])
def test_one_side_alone_is_penalised_where_asked(side: str, penalty: str) -> None:
    """R1 + R2 is R1 alone plus R2 alone; and R1 alone is the exact slope at real pictures, times gamma / 2."""
    losses, example = {}, batch(16)
    for sides in ("both", "real", "fake"):
        objective = small(penalty=penalty, gamma=3.0, penalised=sides, share=1, sigma=0.01)
        awaken(objective)
        values, *_ = objective.loss("critic", example, Rng(0, 0, "critic"))
        losses[sides] = (values.detach() - objective.contest.critic(*logits_of(objective, example))).mean().item()
    if penalty == "exact":
        assert losses["both"] == pytest.approx(losses["real"] + losses["fake"], rel=1e-4)
    objective = small(gamma=3.0)
    awaken(objective)
    shown = example.x_NCHW if side == "real" else objective.draw(16, None, Rng(0, 0, "critic"), torch.device("cpu"))
    exact = 1.5 * gan.zero_centred(objective.critic, shown, None).mean().item()
    assert losses[side] == pytest.approx(exact, rel=1e-4 if penalty == "exact" else 0.5)


def logits_of(objective: gan.Gan, example: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the real and of the drawn pictures of a critic's turn."""
    with torch.no_grad():
        fake = objective.draw(len(example.x_NCHW), None, Rng(0, 0, "critic"), torch.device("cpu"))
        return objective.critic(example.x_NCHW), objective.critic(fake)


def test_unknown_sides() -> None:
    with pytest.raises(ValueError, match="penalised is 'neither'"):
        small(penalised="neither")


def test_the_penalty_is_float32_under_autocast() -> None:
    # One step so small that bfloat16 logits (8 bits) cannot hold their difference; real pictures only, which are
    # the same in both precisions.
    objective, x = small(sigma=1e-3, share=1), batch(8).x_NCHW
    awaken(objective)
    critic = objective.critic
    with torch.no_grad():
        moved = x + 1e-3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
        plain = gan.squared_slope(critic(moved), critic(x), 1e-3).mean()
        with torch.autocast("cpu", torch.bfloat16):
            rounded = gan.squared_slope(critic(moved).float(), critic(x).float(), 1e-3).mean()
    assert not 0.5 < rounded / plain < 2  # what the engine's precision alone would give
    with torch.autocast("cpu", torch.bfloat16):
        kept = objective.loss("critic", Batch(x, torch.zeros(8)), Rng(0, 0, "critic"))[2]["penalty"]
    with torch.no_grad():
        full = objective.loss("critic", Batch(x, torch.zeros(8)), Rng(0, 0, "critic"))[2]["penalty"]
    assert kept == pytest.approx(full.item(), rel=0.2)  # the generated half is drawn in bfloat16


def test_a_relativistic_last_bias_has_no_gradient() -> None:
    bias = torch.zeros(1, requires_grad=True)
    gan.relativistic.critic(REAL + bias, FAKE + bias).sum().backward()
    assert bias.grad.item() == 0


def test_the_average_follows_with_its_half_life() -> None:
    objective = small(half_life=100)
    objective.after(0.5, 1_000_000)  # starts as a copy, then the generator jumps by 1
    before = copy.deepcopy(objective.average)
    with torch.no_grad():
        for p in objective.generator.parameters():
            p += 1
    for p, q in zip(objective.average.parameters(), objective.generator.parameters(), strict=True):
        p.data.copy_(q.data - 1)
    objective.after(0.5, 1_000_100)
    for old, new in zip(before.parameters(), objective.average.parameters(), strict=True):
        assert torch.allclose(new - old, torch.full_like(old, 0.5), atol=1e-5)


def test_early_on_the_average_forgets_the_untrained_start() -> None:
    objective = small(half_life=1e9)
    before = copy.deepcopy(objective.average)
    with torch.no_grad():
        for p in objective.generator.parameters():
            p += 1
    for examples in range(10, 1000, 10):
        objective.after(0, examples)
    for old, new in zip(before.parameters(), objective.average.parameters(), strict=True):
        assert torch.allclose(new - old, torch.ones_like(old), atol=0.01)


def test_batch_statistics_keep_real_and_generated_apart() -> None:
    critic = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 1), nn.Flatten(0))

    class Judge(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = critic

        def forward(self, x, y=None):
            return self.net(x)

    objective = gan.Gan(Generator(8, 1, width=8), Judge(), penalty="none")
    assert not objective.joint
    x = batch(8).x_NCHW
    alone, beside = objective.judge([(x, None)])[0], objective.judge([(x, None), (x * 5, None)])[0]
    assert torch.equal(alone, beside)


def test_picture_k_is_the_same_whatever_n_is() -> None:
    objective = small()
    many = objective.sample(150, seed=3)
    for n in (1, 5, 64, 65):
        assert torch.equal(objective.sample(n, seed=3), many[:n])
    assert not torch.equal(objective.sample(5, seed=4), many[:5])


def test_gamma_is_suggested_from_pixels_and_batch() -> None:
    assert gan.suggest_gamma(28, 1, 32) == gan.suggest_gamma(8, 1, 32) == 0.3
    assert gan.suggest_gamma(64, 3, 32) > gan.suggest_gamma(32, 3, 32) > gan.suggest_gamma(32, 3, 128)


@pytest.mark.parametrize("name", ["digits", "tutorial"])
def test_the_first_loss_is_the_expected_one(name: str) -> None:
    made = recipe.build(recipe.find(name), recipe.resolve(recipe.find(name), {"size": "tiny", "data": "bars"}))
    for player, expected in made.objective.expect().items():
        values, _, _ = made.objective.loss(player, made.data.batch(64, Rng(0, 0, player)), Rng(0, 0, player))
        assert values.mean().item() == pytest.approx(expected, abs=1e-6)  # exactly: the critic begins silent


def test_drawings_of_one_class_differ() -> None:
    """A generator that learns classes and forgets its noise has a healthy loss; only its samples tell.

    At least half the deviation of real pictures, mean over classes. With a class embedding of N(0, 1) this was 0.10 and
    0.07 on seeds 0 and 1, with N(0, 0.3²) 0.41 and 0.46; real pictures have 0.55 (docs/log.md, 2026-11-23).
    """
    torch.manual_seed(0)
    data, engine = images.load("bars"), Engine()
    generator, critic = Generator(8, 1, classes=2, width=16), Critic(8, 1, classes=2, width=16)
    objective = gan.Gan(generator, critic, gamma=0.3, rate=4e-3, classes=2)
    engine.prepare(objective)
    loop.fit(objective, data, engine, batch=32, steps=600, schedule=recipe.cosine, seed=0)
    drawn = torch.stack([objective.sample(64, 0, label).std(0).mean() for label in (0, 1)]).mean()
    real = torch.stack([images.to_float(data.x_NCHW[data.labels_N == label]).std(0).mean() for label in (0, 1)]).mean()
    assert drawn > real / 2


def test_unknown_penalty() -> None:
    with pytest.raises(ValueError, match="'r3'"):
        small(penalty="r3")


def test_the_generators_turn_goes_on_with_what_the_critic_judged() -> None:
    """Against the same by hand: the same pictures, the real logits from before the critic's step."""
    objective, real = small(), batch()
    awaken(objective)
    rng = Rng(0, 3, "critic")
    drawn = objective.generator(Rng(0, 3, "critic").normal(8, objective.noise))
    with torch.no_grad():
        before = objective.critic(real.x_NCHW)
    objective.loss("critic", real, rng)
    awakened = objective.players["critic"].optimizer
    for parameter in objective.critic.parameters():
        parameter.grad = torch.ones_like(parameter)
    awakened.step()
    values, _, _ = objective.loss("generator", batch(), Rng(0, 3, "generator"))
    by_hand = gan.relativistic.generator(before, objective.critic(drawn))
    assert torch.allclose(values, by_hand, atol=1e-5)
    values.mean().backward()
    assert all(p.grad is not None for p in objective.generator.parameters())
    assert objective.judged is None  # once only: the next turn without a critic's draws its own
    fresh, _, _ = objective.loss("generator", real, Rng(0, 4, "generator"))
    assert not torch.allclose(fresh, values)


def test_fresh_pictures_for_each_turn_where_asked() -> None:
    objective = small(again=False)
    objective.loss("critic", batch(), Rng(0, 0, "critic"))
    assert objective.judged is None


def test_the_average_that_scores_best_is_chosen() -> None:
    objective = small(half_life=5, others=(1, 50))
    for step in range(1, 4000):
        with torch.no_grad():
            objective.generator.finish.bias.fill_(step)
        objective.after(0.0, step)
    bias = {life: average.finish.bias.mean().item() for life, average in objective.averages.items()}
    assert bias[1] > bias[5] + 1 > bias[50] + 10  # a longer one lies further behind
    assert objective.average is objective.averages[5]
    assert objective.choose(lambda: -objective.average.finish.bias.mean().item()) == 1
    assert objective.nets()["generator"] is objective.averages[1]
    assert {life: average.finish.bias.mean().item() for life, average in objective.averages.items()} == bias  # all are kept
    other = small(half_life=5, others=(1, 50))
    checkpoint.unpack(other, {"step": 1, **checkpoint.pack(objective)})
    assert other.average is other.averages[1] and other.average.finish.bias.mean().item() == bias[1]
    assert objective.choose(lambda: objective.average.finish.bias.mean().item()) == 50
    assert small(half_life=7).choose(lambda: 0.0) == 7


def test_courses_steer_what_they_name_and_survive_a_resume() -> None:
    courses = {
        "gamma": gan.Course(1.0, 0.1, 1000),
        "beta2": gan.Course(0.9, 0.99, 1000),
        "strength": gan.Course(0.0, 0.5, 1000),
        "half_life": gan.Course(1.0, 400.0, 1000),
    }
    objective = small(courses=courses, augment=lambda x, u, p: x, half_life=400.0)

    def now() -> list[float]:
        objective.loss("critic", batch(), Rng(0, 0, "critic"))
        beta = objective.players["critic"].optimizer.param_groups[0]["betas"][1]
        return [objective.gamma, beta, float(objective.strength)]

    assert now() == pytest.approx([1.0, 0.9, 0.0])
    objective.after(0.5, 500)
    assert now() == pytest.approx([0.55, 0.945, 0.25])
    kept = copy.deepcopy(checkpoint.pack(objective))
    objective.after(1.0, 2000)
    assert now() == pytest.approx([0.1, 0.99, 0.5])
    checkpoint.unpack(objective, kept)
    assert now() == pytest.approx([0.55, 0.945, 0.25])


def test_the_averages_length_follows_its_course() -> None:
    objective = small(half_life=400.0, courses={"half_life": gan.Course(1.0, 1.0, 10)})
    with torch.no_grad():
        for parameter in objective.generator.parameters():
            parameter.add_(1.0)
    objective.after(0.5, 1000)  # a half-life of one picture: a thousand pictures later nothing of the old is left
    assert all(torch.equal(a, b) for a, b in zip(objective.average.parameters(), objective.generator.parameters(), strict=True))


def test_unknown_course() -> None:
    with pytest.raises(ValueError, match="no course changes colour"):
        small(courses={"colour": gan.Course(0, 1, 10)})


def test_a_contest_settles_at_the_end_of_a_long_run() -> None:
    objective = small(rate=1e-2, gamma=2.0, settling=gan.Settling(least=1000))
    awaken(objective)
    settled = {}
    for progress, seen in ((0.5, 5000), (0.8, 500), (0.8, 5000), (0.5, 5000)):
        objective.seen.fill_(seen)
        assert objective.turns(progress) == ("critic", "generator")
        values, _, notes = objective.loss("critic", batch(), Rng(0, 0, "critic"))
        settled[progress, seen] = objective.settled
        weight = ((values.mean() - notes["contest"]) / notes["penalty"]).item()
        late = (progress, seen) == (0.8, 5000)
        rates = {name: player.rate * player.share for name, player in objective.players.items()}
        assert rates == pytest.approx({"critic": 1e-2, "generator": 3e-3 if late else 1e-2})
        assert weight == pytest.approx(0.5 if late else 2.0, rel=0.01)
    assert settled == {(0.5, 5000): False, (0.8, 500): False, (0.8, 5000): True}

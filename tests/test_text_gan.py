"""Contests over texts: each formula beside a naive twin, and toys that each path repairs."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch

from gannet.data.text import Batch, Vocabulary
from gannet.nets.sequence import TextCritic, Transformer
from gannet.objectives import text_gan
from gannet.objectives.text_gan import Play, TextGan
from gannet.rng import Rng
from gannet.training import checkpoint, loop
from gannet.training.engine import Engine

PATHS = ("policy", "gumbel", "cot")


class Letters:
    """Texts of `length` letters, each drawn by itself with the chances given, as a data set."""

    def __init__(self, chances: tuple[float, ...], length: int = 4, classes: int = 0):
        self.chances, self.length, self.classes = torch.tensor([0.0, 0.0, *chances]), length, classes

    def batch(self, n: int, rng: Rng) -> Batch:
        u_NT = rng.uniform(n, self.length)
        ids_NT = torch.searchsorted(self.chances.cumsum(0), u_NT, right=True).clamp(max=len(self.chances) - 1)
        tokens_NT = torch.nn.functional.pad(ids_NT, (1, 1))  # the end, 0, on either side
        there_NT = torch.ones(n, self.length + 1, dtype=torch.bool)
        return Batch(tokens_NT, there_NT, torch.arange(n) % max(1, self.classes))


def made(path: Any = "policy", letters: str = "abc", *, length: int = 4, classes: int = 0, **more: Any) -> TextGan:
    torch.manual_seed(0)
    vocabulary = Vocabulary("characters", ["", "?", *letters])
    context = length + 1
    nets = {name: more.pop(name) for name in ("noise", "dropout") if name in more}
    net = Transformer(len(vocabulary), width=16, layers=1, heads=2, context=context, classes=classes, **nets)
    critic = TextCritic(len(vocabulary), width=16, layers=1, heads=2, context=context, classes=classes)
    words = {"longest": context, "rate": 1e-2, "half_life": 50, "critic": None if path == "cot" else critic}
    return TextGan(net, vocabulary, path=path, **words | more)


def shaken(objective: TextGan) -> TextGan:
    """With every zero layer at something else, so that all gradients flow."""
    torch.manual_seed(1)
    with torch.no_grad():
        for net in {
            id(n): n for n in [*(p.net for p in objective.players.values()), objective.average, objective.warmed]
        }.values():
            for parameter in net.parameters():
                parameter.add_(0.3 * torch.randn_like(parameter))
    return objective


def trained(objective: TextGan, data: Letters, steps: int, **more: Any) -> TextGan:
    words = {"batch": 32, "schedule": lambda progress, examples: 1.0, "seed": 0}
    loop.fit(objective, data, Engine(cpu=True), steps=steps, **words | more)
    return objective


def test_rewards_to_go_equal_loops() -> None:
    rewards_NT = torch.randn(3, 5)
    found_NT = text_gan.to_go(rewards_NT, 0.9)
    for i in range(3):
        for t in range(5):
            naive = sum(0.9 ** (s - t) * float(rewards_NT[i, s]) for s in range(t, 5))
            assert float(found_NT[i, t]) == pytest.approx(naive, abs=1e-5)


def test_rewards_stand_where_text_is() -> None:
    there_NT = torch.tensor([[True, True, False], [True, True, True]])
    found_NT = text_gan.rewards_of(torch.tensor([10.0, 20.0]), torch.tensor([[1.0, 2.0, 9.0], [3.0, 6.0, 9.0]]), there_NT)
    assert found_NT.tolist() == [[0.5, 11.0, 0.0], [1.0, 2.0, 23.0]]


@pytest.mark.parametrize("classes", [0, 3])
def test_baseline_equals_loops(classes: int) -> None:
    values_NT, there_NT = torch.randn(7, 4), torch.rand(7, 4) > 0.4
    there_NT[:, 3] = torch.arange(7) == 2  # one text alone
    y_N = torch.arange(7) % 3 if classes else None
    found_NT = text_gan.others_mean(values_NT, there_NT, y_N)
    for i in range(7):
        for t in range(4):
            others = [j for j in range(7) if j != i and there_NT[j, t]]
            alike = [j for j in others if y_N is None or y_N[j] == y_N[i]] or others
            if there_NT[i, t]:
                naive = sum(float(values_NT[j, t]) for j in alike) / len(alike) if alike else float(values_NT[i, t])
                assert float(found_NT[i, t]) == pytest.approx(naive, abs=1e-5)


def test_divergence_equals_loops() -> None:
    a, b = torch.randn(2, 3, 5), torch.randn(2, 3, 5)
    a[..., 1] = b[..., 1] = text_gan.NEVER  # ruled out on both sides: adds nothing
    p, q = a.softmax(2), b.softmax(2)
    found = text_gan.divergence(a.log_softmax(2), b.log_softmax(2))
    for i in range(2):
        for t in range(3):
            naive = sum(float(p[i, t, v]) * math.log(float(p[i, t, v] / q[i, t, v])) for v in (0, 2, 3, 4))
            assert float(found[i, t]) == pytest.approx(naive, abs=1e-5)


def test_relativistic_loss_equals_loops() -> None:
    real, fake = (torch.randn(3), torch.randn(3, 4)), (torch.randn(3), torch.randn(3, 4))
    both_NT = torch.tensor([[True, True, False, False], [True, True, True, True], [True, False, False, False]])
    found_N = text_gan.relative(real, fake, both_NT)
    for i in range(3):
        at = [t for t in range(4) if both_NT[i, t]]
        each = [-math.log(1 / (1 + math.exp(float(fake[1][i, t] - real[1][i, t])))) for t in at]
        whole = -math.log(1 / (1 + math.exp(float(fake[0][i] - real[0][i]))))
        assert float(found_N[i]) == pytest.approx((whole + sum(each) / len(each)) / 2, abs=1e-5)


def test_policy_gradient_is_unbiased() -> None:
    """Two tokens of two letters, a reward for each pair of them: the exact gradient of its expectation is known."""
    torch.manual_seed(0)
    theta = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)  # first token; second after 0; second after 1
    reward = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)  # of the pair, earned at its second token
    early = torch.tensor([0.7, -0.4], dtype=torch.float64)  # of the first token
    first, second = theta[0].softmax(0), theta[1:].softmax(1)
    expected = (first * early).sum() + (first[:, None] * second * reward).sum()
    (exact,) = torch.autograd.grad(expected, theta)
    total, groups, n = torch.zeros_like(theta), 400, 64
    for _ in range(groups):
        with torch.no_grad():
            a_N = torch.multinomial(theta[0].softmax(0), n, replacement=True)
            b_N = torch.multinomial(theta[1:].softmax(1)[a_N], 1)[:, 0]
            there_NT = torch.ones(n, 2, dtype=torch.bool)
            to_go_NT = text_gan.to_go(torch.stack([early[a_N], reward[a_N, b_N]], 1))
            advantage_NT = to_go_NT - text_gan.others_mean(to_go_NT, there_NT)
        log_p_NT = torch.stack([theta[0].log_softmax(0)[a_N], theta[1:].log_softmax(1)[a_N, b_N]], 1)
        total -= torch.autograd.grad(text_gan.policy_loss(log_p_NT, advantage_NT, there_NT).mean(), theta)[0]
    assert torch.allclose(total / groups, exact, atol=0.04)


def test_log_probabilities_are_those_that_texts_were_drawn_by() -> None:
    """How often letters come first is what `told` says, dropout or not, and nothing is written that must not be."""
    objective = shaken(made(dropout=0.5))
    batch = Letters((0.5, 0.3, 0.2)).batch(2_000, Rng(0, 0, "x"))
    objective.writer.train()
    texts = objective.texts(batch, Rng(1, 0, "x"))
    p_V = objective.told(objective.writer, texts, None)[0, 0].exp()
    counts_V = torch.bincount(texts.tokens_NT[:, 1], minlength=5) / 2_000
    assert torch.allclose(counts_V, p_V, atol=0.04) and counts_V[1] == 0
    assert objective.writer.training
    ended_N = (texts.tokens_NT[:, 1:] == 0) & texts.there_NT
    assert (ended_N.sum(1) <= 1).all()  # one end, and behind it nothing
    for row, there in zip(texts.tokens_NT[:200, 1:].tolist(), texts.there_NT[:200].tolist(), strict=True):
        length = row.index(0) + 1 if 0 in row else len(row)
        assert there == [t < length for t in range(len(row))]


def test_sharp_choices_are_argmax() -> None:
    logits_NV, u_NV = torch.randn(50, 6), torch.rand(50, 6)
    best = (logits_NV - (-u_NV.log()).log()).argmax(1)
    assert torch.allclose(
        text_gan.relaxed(logits_NV, u_NV, 1e5, straight=False), torch.nn.functional.one_hot(best, 6).float(), atol=1e-3
    )
    straight = text_gan.relaxed(logits_NV.requires_grad_(), u_NV, 1.0)
    assert torch.allclose(straight, torch.nn.functional.one_hot(best, 6).float(), atol=1e-6)
    (slope,) = torch.autograd.grad((straight * torch.arange(6.0)).sum(), logits_NV)
    assert slope.abs().sum() > 0


def test_choices_follow_their_chances() -> None:
    logits_V = torch.tensor([0.0, 1.0, -1.0])
    u = torch.rand(20_000, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(text_gan.relaxed(logits_V.expand(20_000, 3), u, 5.0).mean(0), logits_V.softmax(0), atol=0.015)


def test_relaxed_writing_reaches_the_first_token_through_the_last() -> None:
    """The critic's view of the last token alone moves the writer, and each token's shares are what the unrolled net chose."""
    objective = shaken(made("gumbel", noise=4))
    objective.turns(0.9)
    shares, there, texts, logits, z = objective.relaxed_texts(Letters((0.5, 0.3, 0.2)).batch(8, Rng(0, 0, "x")), Rng(2, 0, "x"))
    again = objective.told(objective.writer, texts, z)
    assert torch.allclose(torch.where(there[..., None], again - logits.log_softmax(2), 0), torch.zeros(()), atol=1e-3)
    (slope,) = torch.autograd.grad(shares[:, -1, 2].sum(), objective.writer.mood.weight, retain_graph=True)
    assert slope.abs().sum() > 0
    first = objective.writer.embed.weight
    (slope,) = torch.autograd.grad((shares * torch.randn_like(shares)).sum(), first)
    assert slope[0].abs().sum() > 0


def test_cooperative_gradient_is_that_of_the_explicit_sum() -> None:
    objective = shaken(made("cot"))
    objective.players["mediator"].net.load_state_dict(shaken(made("cot", letters="abc")).warmed.state_dict())
    with torch.no_grad():
        objective.players["mediator"].net.head.weight.mul_(0.3)
    objective.turns(0.9)
    batch = Letters((0.5, 0.3, 0.2)).batch(5, Rng(0, 0, "x"))
    loss_N, _, _ = objective.loss("writer", batch, Rng(3, 0, "x"))
    texts = objective.texts(batch, Rng(3, 0, "x"))
    net, mediator = objective.writer, objective.players["mediator"].net
    naive = torch.zeros(())
    for i in range(5):
        for t in range(5):
            if texts.there_NT[i, t]:
                prefix = texts.tokens_NT[i : i + 1, : t + 1]
                possible = [0, 2, 3, 4]
                p, q = (n(prefix)[0, -1, possible].softmax(0) for n in (net, mediator))
                naive = naive + (p * (p.log() - q.log().detach())).sum()
    parameters = list(net.parameters())
    ours, theirs = torch.autograd.grad(loss_N.sum() * 5, parameters), torch.autograd.grad(naive, parameters)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("path", PATHS)
def test_first_losses_are_as_expected(path: str) -> None:
    objective = made(path, classes=2, noise=3 if path == "gumbel" else 0)
    batch = Letters((0.5, 0.3, 0.2), classes=2).batch(8, Rng(0, 0, "x"))
    for player, expected in objective.expect().items():
        with torch.no_grad():
            loss_N, weights_N, _ = objective.loss(player, batch, Rng(0, 0, player))
        weights_N = torch.ones_like(loss_N) if weights_N is None else weights_N
        assert float((loss_N * weights_N).sum() / weights_N.sum()) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("path", PATHS)
def test_order_of_play(path: str) -> None:
    """Likelihood alone first, then the opponent alone, then both; the warmed writer is the average at the switch, for good."""
    objective, data = made(path, warm=0.5, opponent_alone=0.1), Letters((0.5, 0.3, 0.2))
    opponent = objective.players[objective.opponent].net
    first = (objective.opponent,) * objective.play.opponent_steps
    assert [objective.turns(p) for p in (0, 0.49, 0.5, 0.7)] == [("writer",), ("writer",), first, (*first, "writer")]
    start = copy.deepcopy(opponent.state_dict())
    trained(objective, data, 20, stop=9)
    assert not objective.is_warmed and all(torch.equal(start[k], v) for k, v in opponent.state_dict().items())
    trained(objective, data, 20, start=9, stop=10)
    kept = {k: v.clone() for k, v in objective.warmed.state_dict().items()}
    assert objective.is_warmed and all(torch.equal(kept[k], v) for k, v in objective.average.state_dict().items())
    assert all(torch.equal(kept[k], v) for k, v in objective.writer.state_dict().items())
    trained(objective, data, 20, start=10)
    assert all(torch.equal(kept[k], v) for k, v in objective.warmed.state_dict().items())
    assert any(not torch.equal(kept[k], v) for k, v in objective.writer.state_dict().items())
    assert any(not torch.equal(start[k], v) for k, v in opponent.state_dict().items())
    assert objective.before().average is objective.warmed and objective.nets()["warmed"] is objective.warmed
    trained(objective, data, 60, start=20, stop=21)  # lengthened: it warms up once more, and that warm-up is the one it has
    assert not objective.is_warmed
    trained(objective, data, 60, start=29, stop=31)
    again = objective.warmed.state_dict()
    assert objective.is_warmed and any(not torch.equal(kept[k], v) for k, v in again.items())


@pytest.mark.parametrize("path", PATHS)
def test_resumes_exactly(path: str) -> None:
    data = Letters((0.5, 0.3, 0.2))
    at_once = trained(made(path, dropout=0.2), data, 10)
    first = trained(made(path, dropout=0.2), data, 10, stop=8)
    second = made(path, dropout=0.2)
    checkpoint.unpack(second, copy.deepcopy(checkpoint.pack(first)))
    trained(second, data, 10, start=8)
    for name, player in at_once.players.items():
        others = second.players[name].net.state_dict()
        assert all(torch.equal(value, others[key]) for key, value in player.net.state_dict().items())
    assert all(torch.equal(value, second.state()[key]) for key, value in at_once.state().items())


@pytest.mark.parametrize("path", PATHS)
def test_losses_are_functions_of_the_rng(path: str) -> None:
    objective = shaken(made(path))
    objective.turns(0.9)
    batch = Letters((0.5, 0.3, 0.2)).batch(6, Rng(0, 0, "x"))
    for player in objective.players:
        first = objective.loss(player, batch, Rng(5, 0, "x"))[0]
        torch.manual_seed(77)
        assert torch.equal(first, objective.loss(player, batch, Rng(5, 0, "x"))[0])
        assert not torch.equal(first, objective.loss(player, batch, Rng(6, 0, "x"))[0])


def test_drift_is_the_mean_square_of_logits() -> None:
    objective, batch = shaken(made(play=Play(1, 1e-3, 1e-3, drift=1.0))), Letters((0.5, 0.3, 0.2)).batch(4, Rng(0, 0, "x"))
    objective.players["critic"].net.eval()
    with torch.no_grad():
        with_N, _, _ = objective.loss("critic", batch, Rng(0, 0, "x"))
        objective.play = Play(1, 1e-3, 1e-3, drift=0.0)
        without_N, _, _ = objective.loss("critic", batch, Rng(0, 0, "x"))
        own, expected = objective.texts(batch, Rng(0, 0, "x")), torch.zeros(4)
        for texts in (batch, own):
            whole_N, each_NT = objective.judged(texts.tokens_NT[:, 1:], texts.there_NT, batch)
            for i in range(4):
                each = [float(each_NT[i, t]) ** 2 for t in range(5) if texts.there_NT[i, t]]
                expected[i] += (float(whole_N[i]) ** 2 + sum(each) / len(each)) / 4
    assert torch.allclose(with_N - without_N, expected, atol=1e-4)


def test_continuous_texts_never_end() -> None:
    objective = shaken(made(whole=True))
    batch = Letters((0.5, 0.3, 0.2)).batch(32, Rng(0, 0, "x"))
    batch.tokens_NT[:, 0] = 3
    texts = objective.texts(batch, Rng(0, 0, "x"))
    assert texts.there_NT.all() and (texts.tokens_NT[:, 0] == 3).all() and (texts.tokens_NT[:, 1:] >= 2).all()


def test_classes_are_the_batch_s() -> None:
    """A writer and a critic of two classes play; the written texts are those that the batch's classes ask for."""
    objective = shaken(made(classes=2))
    data = Letters((0.5, 0.3, 0.2), classes=2)
    objective.turns(0.9)
    loss_N, _, notes = objective.loss("writer", data.batch(8, Rng(0, 0, "x")), Rng(0, 0, "x"))
    assert torch.isfinite(loss_N).all() and {"reward", "divergence", "entropy", "ended"} <= notes.keys()


def share_of_a(objective: TextGan) -> float:
    """Of the letters that the averaged writer writes."""
    letters = [token for text in objective.ids(600, 0) for token in text]
    return letters.count(2) / max(1, len(letters))


@pytest.mark.parametrize("path", PATHS)
def test_a_contest_repairs_a_writer(path: str) -> None:
    """Warmed up on letters of which 20 % are a, it comes to the data's 70 % by the contest alone, without likelihood."""
    play = Play(opponent_steps=1, rate=1e-2 if path == "cot" else 1e-3, opponent_rate=1e-2)
    objective = made(path, letters="ab", warm=0.2, play=play, sharpest=2.0)
    trained(objective, Letters((0.2, 0.8)), 250, stop=50)
    before = share_of_a(objective)
    trained(objective, Letters((0.7, 0.3)), 250, start=50)
    after = share_of_a(objective)
    assert abs(before - 0.2) < 0.1 and abs(after - 0.7) < 0.15, (before, after)

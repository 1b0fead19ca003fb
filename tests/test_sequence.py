"""Nets of sequences: each clever piece beside a naive one, what sees what, and writing with and without memory."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from gannet.nets.sequence import Attention, Recurrent, TextCritic, Transformer, Writer, angles, plain_norm, turned
from gannet.objectives.language import choose, written
from gannet.objectives.muon import Muon, MuonAndAdamW, orthogonal
from gannet.preflight import check_causality
from gannet.preflight.case import perturb

NETS: dict[str, Any] = {
    "transformer": lambda **more: Transformer(11, width=16, layers=2, heads=2, context=12, **more),
    "tied": lambda **more: Transformer(11, width=16, layers=2, heads=2, context=12, tied=True, **more),
    "gru": lambda **more: Recurrent(11, width=16, layers=2, context=12, **more),
    "lstm": lambda **more: Recurrent(11, width=16, layers=2, kind="lstm", context=12, **more),
}


def net(name: str, **more: Any) -> Writer:
    torch.manual_seed(0)
    made = perturb(NETS[name](**more)).eval()
    assert isinstance(made, Writer)
    return made


def some(n: int = 3, t: int = 9) -> torch.Tensor:
    return torch.randint(11, (n, t), generator=torch.Generator().manual_seed(1))


def test_root_mean_square_is_one() -> None:
    x = torch.randn(5, 7, dtype=torch.float64) * 3
    assert torch.allclose(plain_norm(x), x / x.square().mean(-1, keepdim=True).sqrt())


def test_positions_turn_pairs_of_numbers_and_products_see_distances_alone() -> None:
    size, x = 6, torch.randn(1, 1, 9, 6)
    at = angles(size, 9)
    for t in range(9):
        for d in range(size // 2):
            a = t * 10_000 ** (-2 * d / size)
            one = x[0, 0, t, [d, d + size // 2]]
            by_hand = torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]]) @ one
            assert torch.allclose(turned(x, at)[0, 0, t, [d, d + size // 2]], by_hand, atol=1e-5)
    q, k = torch.randn(2, 1, 1, 1, size)
    here = [turned(q.expand(1, 1, 9, size), at)[0, 0, t] @ turned(k.expand(1, 1, 9, size), at)[0, 0, t - 3] for t in (3, 8)]
    assert here[0] == pytest.approx(float(here[1]), abs=1e-4)


@pytest.mark.parametrize("causal", [True, False])
@torch.no_grad()
def test_attention_is_what_the_sums_say(causal: bool) -> None:
    torch.manual_seed(0)
    layer = perturb(Attention(8, 2, causal=causal))
    assert isinstance(layer, Attention)
    x, at = torch.randn(2, 5, 8), angles(4, 5)
    q, k, v = layer.ask(x).chunk(3, -1)
    out = torch.zeros(2, 5, 8)
    for n in range(2):
        for h in range(2):
            own = slice(4 * h, 4 * h + 4)

            def ready(part: torch.Tensor, own: slice = own, n: int = n) -> torch.Tensor:
                return turned(plain_norm(part[n, :, own]), at)

            queries, keys = ready(q) * layer.scale[h].exp(), ready(k)
            for t in range(5):
                seen = range(t + 1) if causal else range(5)
                weight = torch.tensor([float(queries[t] @ keys[s]) / math.sqrt(4) for s in seen]).softmax(0)
                out[n, t, own] = sum(w * v[n, s, own] for w, s in zip(weight, seen, strict=True))
    assert torch.allclose(layer(x, at), layer.tell(out), atol=1e-5)


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("more", [{}, {"classes": 3, "noise": 4}], ids=["plain", "prefixed"])
def test_the_future_is_not_seen_and_the_past_is(name: str, more: dict[str, int]) -> None:
    made, ids = net(name, **more), some()
    y, z = torch.tensor([0, 1, 2]), torch.randn(3, 4)
    wishes = (y, z) if more else ()
    before = made(ids, *wishes)
    changed = ids.clone()
    changed[:, 5] = (changed[:, 5] + 1) % 11
    after = made(changed, *wishes)
    assert torch.allclose(before[:, :5], after[:, :5], atol=1e-6)
    assert (before[:, 5:] - after[:, 5:]).abs().amax((0, 2)).min() > 1e-4
    if more:
        for others in ((y.flip(0), z), (y, z + 1)):
            assert (made(ids, *others)[0, 0] - before[0, 0]).abs().max() > 1e-4  # from the first token on
    shares = nn.functional.one_hot(ids, 11).float()
    assert torch.allclose(made(shares, *wishes), before, atol=1e-5)


def test_causality_is_traced_by_backprop() -> None:
    assert all(check_causality(net(name), some()).verdict == "pass" for name in NETS)


@pytest.mark.parametrize("name", NETS)
def test_an_untrained_net_knows_nothing(name: str) -> None:
    torch.manual_seed(0)
    logits = NETS[name]()(some())
    assert torch.equal(logits, torch.zeros(3, 9, 11))


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("length", [5, 30])
def test_writing_with_memory_is_writing_without(name: str, length: int) -> None:
    made, start = net(name, classes=3, noise=4), some(3, 4)
    wishes = {"y_N": torch.tensor([0, 1, 2]), "z_NZ": torch.randn(3, 4, generator=torch.Generator().manual_seed(2))}

    def told(cached: bool) -> tuple[list[torch.Tensor], torch.Tensor]:
        seen: list[torch.Tensor] = []

        def pick(logits_NV: torch.Tensor, number: int) -> torch.Tensor:
            seen.append(logits_NV)
            return logits_NV.argmax(1)

        return seen, torch.stack(list(written(made, start, pick, length, cached=cached, **wishes)))

    (fast, one), (slow, two) = told(True), told(False)
    assert torch.equal(one, two) and len(one) == length
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(fast, slow, strict=True))


def test_too_long_a_text_is_refused() -> None:
    with pytest.raises(ValueError, match="looks at 12 at most"):
        net("transformer")(some(1, 13))
    with pytest.raises(ValueError, match="does not fall into"):
        Transformer(11, width=18, heads=4)


def test_choices_follow_the_distribution() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]])).expand(20_000, 4)
    u = (torch.arange(20_000) + 0.5) / 20_000

    def shares(**wishes: float) -> list[float]:
        return (torch.bincount(choose(logits, u, **wishes), minlength=4) / 20_000).tolist()

    assert shares() == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=1e-3)
    squared = [p**2 for p in (0.5, 0.3, 0.15, 0.05)]
    assert shares(temperature=0.5) == pytest.approx([p / sum(squared) for p in squared], abs=1e-3)
    assert shares(top_p=0.79) == pytest.approx([0.625, 0.375, 0, 0], abs=1e-3)  # 0.5 alone does not reach it
    assert shares(top_p=0.4) == [1, 0, 0, 0]
    assert shares(temperature=0) == [1, 0, 0, 0]
    assert int(choose(torch.tensor([[0.0, -math.inf]]), torch.tensor([1 - 2**-24]))) == 0


def test_the_critic_reads_both_ways_and_no_padding() -> None:
    torch.manual_seed(0)
    critic = perturb(TextCritic(11, width=16, layers=2, heads=2, context=12, classes=3)).eval()
    ids, y = some(), torch.tensor([0, 1, 2])
    there = torch.arange(9) < torch.tensor([[9], [6], [4]])
    whole, each = critic(ids, there, y)
    assert whole.shape == (3,) and each.shape == (3, 9)
    padded = torch.where(there, ids, (ids + 3) % 11)
    again, each_again = critic(padded, there, y)
    assert torch.allclose(whole, again, atol=1e-5) and torch.allclose(each[there], each_again[there], atol=1e-5)
    late = ids.clone()
    late[0, 8] = (late[0, 8] + 1) % 11
    assert (critic(late, there, y)[1][0, 0] - each[0, 0]).abs() > 1e-5  # the first token's logit sees the last
    shares = nn.functional.one_hot(ids, 11).float()
    assert torch.allclose(critic(shares, there, y)[0], whole, atol=1e-5)
    assert torch.equal(TextCritic(11)(ids)[0], torch.zeros(3))


@pytest.mark.parametrize("name", NETS)
def test_muon_takes_the_matrices_within_and_adam_the_rest(name: str) -> None:
    made = net(name, classes=2)
    optimizer = MuonAndAdamW(made, 1e-3)
    inside = {id(p) for group in optimizer.parts["muon"].param_groups for p in group["params"]}
    assert inside
    for key, parameter in made.named_parameters():
        assert (id(parameter) in inside) == (parameter.ndim == 2 and not key.startswith(("embed", "kind", "head"))), key
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(made.parameters()))


def test_a_muon_step_has_the_singular_vectors_of_the_momentum_and_singular_values_near_one() -> None:
    for shape in ((3, 6, 6), (2, 4, 9), (2, 9, 4)):
        x_NHW = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
        made_NHW = orthogonal(x_NHW)
        for x_HW, made_HW in zip(x_NHW, made_NHW, strict=True):
            u_HK, _, v_KW = torch.linalg.svd(x_HW, full_matrices=False)
            within_KK = u_HK.T @ made_HW @ v_KW.T
            assert torch.allclose(within_KK, within_KK.diag().diag(), atol=1e-4)
            assert (within_KK.diag() > 0.3).all() and (within_KK.diag() < 1.3).all()


def test_muon_takes_the_steps_of_the_reference() -> None:
    gauss = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=gauss) for shape in ((6, 6), (4, 12), (12, 4), (6, 6))]
    ours, theirs = ([torch.nn.Parameter(x.clone()) for x in start] for _ in range(2))
    optimizers: tuple[torch.optim.Optimizer, ...] = (
        Muon(ours, lr=0.02, decay=0.1),
        torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"),
    )
    for _ in range(5):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = other.grad = torch.randn(mine.shape, generator=gauss)
        for optimizer in optimizers:
            optimizer.step()
    for mine, other, begun in zip(ours, theirs, start, strict=True):  # torch's is in bfloat16
        assert (mine - other).norm() < 0.02 * (mine - begun).norm()


def test_muon_goes_on_where_it_was_saved() -> None:
    def steps(made: Writer, optimizer: MuonAndAdamW, first: int, last: int) -> None:
        for step in range(first, last):
            ids = torch.randint(11, (4, 10), generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            nn.functional.cross_entropy(made(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).backward()
            optimizer.step()

    one = net("transformer").train()
    straight = MuonAndAdamW(one, 1e-2)
    steps(one, straight, 0, 6)
    two = net("transformer").train()
    broken = MuonAndAdamW(two, 1e-2)
    steps(two, broken, 0, 3)
    saved = {key: value.clone() for key, value in two.state_dict().items()}, broken.state_dict()
    three = net("transformer").train()
    three.load_state_dict(saved[0])
    other = MuonAndAdamW(three, 1e-2)
    other.load_state_dict(saved[1])
    steps(three, other, 3, 6)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), three.parameters(), strict=True))
